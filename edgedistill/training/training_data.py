"""Training data of a stage: items with their right answers and the teachers' signals, as padded batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch

from edgedistill.arrays import Booleans, Floats, Integers, positions
from edgedistill.contracts.answers import References
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Distribution, concatenated
from edgedistill.contracts.items import Items, joined
from edgedistill.contracts.task import Task
from edgedistill.signals.inference import to_tensors
from edgedistill.signals.recorded import HiddenSignal, Shards, to_tensor
from edgedistill.signals.soft_targets import SoftTargets


@dataclass(frozen=True)
class TrainingData:
    """Training data of one stage by split: items, and the teachers' signals. An example is sampled whole, with all its
    items, unless the task trains on items separately."""

    items: tuple[Items, ...]
    references: tuple[References, ...]
    examples: Integers
    """(N, 2) split index and example index, or item index if items are sampled."""
    tokens: str | None
    """The input that holds the tokenizer's tokens."""
    soft_targets: tuple[SoftTargets | None, ...]
    hidden: tuple[HiddenSignal | None, ...]
    embeddings: tuple[Shards | None, ...]
    """(items, E) each."""
    weights: tuple[Floats | None, ...]
    """(examples,) weight of each; None: equal."""
    trust: tuple[Floats | None, ...]
    """(decisions,) weight of the teacher on each; None: equal."""
    oversampled: bool = False
    """Whether `weights` are sampling frequencies instead of loss weights."""
    apart: bool = False
    """Whether items are sampled instead of examples."""

    @classmethod
    def plain(cls, items: Sequence[Items], task: Task) -> TrainingData:
        """All examples of these splits, without a teacher."""
        none = (None,) * len(items)
        apart = task.data.apart
        drawn = [np.arange(len(own)) if apart else np.unique(own.example) for own in items]
        examples = [(split, number) for split, own in enumerate(drawn) for number in own]
        return cls(
            items=tuple(items),
            references=tuple(task.data.references(own) for own in items),
            examples=np.array(examples, dtype=np.int64).reshape(-1, 2),
            tokens=items[0].token_column,
            soft_targets=none,
            hidden=none,
            embeddings=none,
            weights=none,
            trust=none,
            apart=apart,
        )

    @cached_property
    def lengths(self) -> Integers:
        """(N,) tokens of each example's longest item, or of each item."""
        if self.apart:
            lengths = [own.lengths for own in self.items]
            return np.array([lengths[split][item] for split, item in self.examples], dtype=np.int64)
        longest = []
        for own in self.items:
            of_example = np.zeros(int(own.example.max(initial=-1)) + 1, np.int64)
            np.maximum.at(of_example, own.example, own.lengths)
            longest.append(of_example)
        return np.array([longest[split][example] for split, example in self.examples], dtype=np.int64)

    @property
    def draws(self) -> Floats | None:
        """(N,) sampling frequency of each example (or item), with mean 1; None: each once."""
        if not self.oversampled:
            return None
        owners = [(split, self.items[split].example[n] if self.apart else n) for split, n in self.examples]
        return np.array([1.0 if (own := self.weights[split]) is None else own[e] for split, e in owners])

    def fetch(self, numbers: Sequence[int]) -> Batch:
        """One padded batch with its signals; examples of several splits are grouped by split."""
        chosen = self.examples[np.asarray(numbers)]
        chosen = chosen[np.argsort(chosen[:, 0], kind="stable")]
        parts = [
            _Part(self, int(split), own if self.apart else self.items[split].of_examples(own))
            for split in np.unique(chosen[:, 0])
            for own in [chosen[chosen[:, 0] == split, 1]]
        ]
        together = joined([part.items for part in parts]) if len(parts) > 1 else parts[0].items
        every = np.arange(len(together))
        real = together.real(every)
        starts = np.cumsum([0, *(len(part.items) for part in parts)])
        owners = [part.owners + start for part, start in zip(parts, starts, strict=False)]
        reals = [real[start : start + len(part.items)] for part, start in zip(parts, starts, strict=False)]
        hidden = [part.hidden(own) for part, own in zip(parts, reals, strict=True)]
        return Batch(
            inputs=to_tensors(together.inputs(every)),
            targets=to_tensors(together.targets(every)),
            mask_BT=torch.from_numpy(real.astype(np.int64)),
            item_R=torch.from_numpy(np.concatenate(owners)),
            known_R=torch.from_numpy(
                np.concatenate([self.references[part.split].known[part.decisions] for part in parts])
            ),
            tokens=self.tokens,
            teacher=concatenated(said) if (said := [own for part in parts if (own := part.teacher())]) else None,
            teacher_hidden={layer: torch.cat([to_tensor(own[layer]) for own in hidden]) for layer in hidden[0]},
            teacher_embedding_BE=_together([part.embeddings() for part in parts]),
            weight_R=_together([part.weights() for part in parts]),
            trust_R=_together([part.trust() for part in parts]),
        )


class _Part:
    """The items of a batch that come from one split."""

    def __init__(self, data: TrainingData, split: int, chosen: Integers) -> None:
        self.split, self.chosen, self._data = split, chosen, data
        self.items = data.items[split].take(chosen)
        references = data.references[split]
        self.decisions = positions(references.item, chosen)
        counts = np.bincount(references.item[self.decisions], minlength=int(chosen.max()) + 1)[chosen]
        self.owners = np.repeat(np.arange(len(chosen)), counts)

    def teacher(self) -> Distribution | None:
        signal = self._data.soft_targets[self.split]
        return None if signal is None else signal.distribution(self.decisions)

    def hidden(self, real: Booleans) -> dict[int, Floats]:
        signal = self._data.hidden[self.split]
        return {} if signal is None else signal.padded(self.chosen, real)

    def embeddings(self) -> Floats | None:
        values = self._data.embeddings[self.split]
        return None if values is None else values.rows(self.chosen)  # type: ignore[return-value]

    def weights(self) -> Floats | None:
        weights = self._data.weights[self.split]
        if weights is None or self._data.oversampled:
            return None
        return weights[self._data.references[self.split].example[self.decisions]]

    def trust(self) -> Floats | None:
        trust = self._data.trust[self.split]
        return None if trust is None else trust[self.decisions]


def _together(parts: Sequence[Floats | None]) -> torch.Tensor | None:
    """One tensor; None without values."""
    there = [to_tensor(part) for part in parts if part is not None]
    return torch.cat(there) if there else None


def labelled(data: TrainingData) -> TrainingData:
    """Only the examples (or items) with a label."""
    known = [
        set((references.item[references.known] if data.apart else references.examples).tolist())
        for references in data.references
    ]
    return replace(data, examples=data.examples[[example in known[split] for split, example in data.examples.tolist()]])
