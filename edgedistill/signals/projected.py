"""Projects a teacher's distributions from its own tokens onto a student's trimmed tokens, per decision.

Every student item is a window of a text. The teacher reads the same span (`vocabulary.passages`), with branches for
tokens that could end where the text's own do not; its distributions are then converted to the student's decisions
(`vocabulary.projection`). Decisions for which that is not possible have no teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Integers
from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.sequences import Sequences
from edgedistill.contracts.task import Encoder, Head, Task
from edgedistill.signals.inference import autocast, evaluating
from edgedistill.signals.recorded import Shards
from edgedistill.store.records.models import ProjectionFacts
from edgedistill.vocabulary.alignment import Alignment, align, branched
from edgedistill.vocabulary.passages import Texts
from edgedistill.vocabulary.projection import project
from edgedistill.vocabulary.re_encoding import ReEncoding
from edgedistill.vocabulary.trimming import cut_from

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from transformers import PreTrainedModel

    from edgedistill.store.progress import Progress

TAUGHT = "taught"
"""Tensor (D,) in files of projected signals: 1, or why a decision has no teacher."""
TAUGHT_SO, SPANNED, UNKNOWN = 1, 0, 2
"""Projected; a trimmed token spans a teacher token boundary there; too much probability is on continuations that were
not evaluated."""
ProjectedVisitor = Callable[[Integers, Dense, Integers], None]
"""(decisions, log-probabilities of the student's tokens (D, K), (D,) `TAUGHT`)."""
_TOKENS_AT_ONCE = 4096
"""Of a batch, padding included."""


@dataclass(frozen=True, eq=False)
class Window:
    """A student item in both tokenizations."""

    alignment: Alignment
    rows: Integers
    """(D,) positions of its decisions in the alignment."""
    decisions: Integers
    """(D,) their indices."""

    @property
    def length(self) -> int:
        """The teacher's input tokens."""
        return len(self.alignment.start)


@dataclass(frozen=True)
class Projector:
    """A teacher and a student with a subset of its tokens.

    Args:
        rows: the split's raw rows.
        own: encoder with the teacher's tokens.
        trimmed: encoder with the student's tokens.
    """

    model: PreTrainedModel
    task: Task
    rows: Dataset
    own: Encoder
    trimmed: Encoder
    re_encoding: ReEncoding

    def windows(self, examples: Integers, skipped: int, count: int) -> list[Window]:
        """`count` items of these examples after the first `skipped`, with decisions numbered from 0."""
        found: list[Window] = []
        decisions = 0
        for batch in self.rows.select(examples).iter(_ROWS):
            for window in self._of_rows(batch):
                skipped -= 1
                if skipped >= 0 or len(found) == count:
                    continue
                numbers = window.decisions + (decisions - int(window.decisions[0]) if len(window.decisions) else 0)
                decisions += len(numbers)
                found.append(Window(window.alignment, window.rows, numbers))
        return found

    def _of_rows(self, batch: Mapping[str, Sequence[object]]) -> Iterator[Window]:
        sequences = self.task.data.sequences
        assert sequences is not None, "the plan projects signals of tasks whose decisions are tokens"
        own, trimmed = sequences(batch, self.own), sequences(batch, self.trimmed)
        decisions = np.searchsorted(trimmed.item, np.arange(len(trimmed.example) + 1))
        texts: dict[int, Texts] = {}
        for item, example in enumerate(trimmed.example.tolist()):
            if example not in texts:
                texts = {example: Texts(self.re_encoding, own.of_example(example), trimmed.of_example(example))}
            numbers = np.arange(decisions[item], decisions[item + 1])
            first, behind = int(trimmed.first[item]), _behind(trimmed, item, numbers)
            passage = texts[example].passage(first, behind)
            alignment = align(self.re_encoding, passage.own, passage.trimmed, branches=True)
            yield Window(alignment, trimmed.after[numbers] - first + passage.before, numbers)

    def visit(
        self,
        windows: Sequence[Window],
        visit: ProjectedVisitor,
        *,
        bf16: bool = False,
        progress: Progress | None = None,
        label: str = "",
    ) -> None:
        """Call `visit` with the decisions of each window.

        Args:
            bf16: whether the teacher's states are computed with bf16 autocast.
        """
        head = self.task.model.head
        assert head is not None, "a task with sequences has it"
        layer = head(self.model)
        windows = [window for window in windows if len(window.decisions)]
        lengths = np.array([window.length for window in windows])
        with evaluating(self.model, len(windows), progress, label) as done:
            for chosen in _batches(lengths):
                hidden = self._read([windows[number].alignment for number in chosen], bf16)
                for number, states in zip(chosen, hidden, strict=True):
                    window = windows[number]
                    log_p = _log_p(states[: window.length], layer, self.re_encoding.tokens)
                    said = project(log_p, window.alignment, self.re_encoding)
                    taught = np.where(said.mask.cpu().numpy(), TAUGHT_SO, UNKNOWN)
                    taught[~window.alignment.mask] = SPANNED
                    visit(window.decisions, Dense(said.log_p[window.rows]), taught[window.rows])
                done(len(chosen))

    def _read(self, alignments: Sequence[Alignment], bf16: bool) -> torch.Tensor:
        """(B, T, H) in float32."""
        import torch

        read = self.task.model.read
        assert read is not None, "a task with sequences has it"
        width = max(len(alignment.start) for alignment in alignments)
        tokens, positions = (np.zeros((len(alignments), width), np.int64) for _ in range(2))
        seen = np.broadcast_to(np.eye(width, dtype=np.bool_), (len(alignments), width, width)).copy()
        for number, alignment in enumerate(alignments):
            count = len(alignment.start)
            tokens[number, :count], positions[number, :count], seen[number, :count, :count] = branched(alignment)
        device = next(self.model.parameters()).device
        given = (torch.from_numpy(array).to(device) for array in (tokens, positions, seen))
        with autocast(device, bf16):
            return read(self.model, *given).float()


_ROWS = 64
"""Rows to encode at once."""


def re_encoding_of(tokenizer: Path, trimmed: Path) -> ReEncoding:
    """A teacher's tokens expressed in those of a tokenizer trimmed from its own, possibly in several steps.

    Args:
        tokenizer: folder of the teacher's.
        trimmed: folder of the other.

    Raises:
        UserError: it was not, or is not byte-level BPE or BPE with byte fallback.
    """
    import json

    whole, smaller = (
        json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) for folder in (tokenizer, trimmed)
    )
    return ReEncoding.of(whole, cut_from(whole, smaller))


def counted(files: Sequence[Path]) -> ProjectionFacts:
    """Number of decisions in these shards with a teacher."""
    why = Shards.of(files, TAUGHT).every()
    spanned, unknown = (int((why == reason).sum()) for reason in (SPANNED, UNKNOWN))
    return ProjectionFacts(decisions=len(why), spanned=spanned, unknown=unknown)


def taught(files: Sequence[Path]) -> Booleans:
    """(D,) which decisions of these shards have a teacher."""
    return np.asarray(Shards.of(files, TAUGHT).every() == TAUGHT_SO)


def _behind(sequences: Sequences, item: int, decisions: Integers) -> int:
    """The end of the span of tokens that an item's decisions use, in its example."""
    return int(sequences.after[decisions[-1]] if len(decisions) else sequences.first[item]) + 1


def _batches(lengths: Integers) -> Iterator[list[int]]:
    """Windows of similar length, longest first."""
    batch: list[int] = []
    for number in np.argsort(-lengths, kind="stable").tolist():
        if batch and lengths[batch[0]] * (len(batch) + 1) > _TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _log_p(states: torch.Tensor, layer: Head, tokens: int) -> torch.Tensor:
    """(N, V) log-probabilities after these states (N, H), over the columns that are tokens."""
    return layer.on(states).first(tokens).dense().logits_RC.float().log_softmax(-1)
