"""Trains a student (or teacher) through one stage: batches by length, accelerate, bit-exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

from edgedistill.arrays import Booleans, Floats, Integers, positions
from edgedistill.contracts.answers import References
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Distribution, concatenated
from edgedistill.contracts.items import Items, joined
from edgedistill.contracts.metric import Metric
from edgedistill.contracts.task import Task
from edgedistill.errors import UserError
from edgedistill.recipe.schema import Compute, Schedule
from edgedistill.signals.batching import length_buckets
from edgedistill.signals.inference import to_tensors
from edgedistill.signals.recorded import HiddenSignal, Shards, to_tensor
from edgedistill.signals.soft_targets import SoftTargets
from edgedistill.store.progress import Progress, ProgressState
from edgedistill.training.checkpoint import Checkpoint, EpochRecord, load_checkpoint, save_checkpoint
from edgedistill.training.seeds import derive
from edgedistill.training.training_module import TrainingModule

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


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


class LengthBuckets(BatchSampler):
    """Batches of similar length, reshuffled each epoch from the seed alone, so that resumed epochs are identical.

    With `draws` (N,), each pass samples N examples with replacement, in proportion to it.
    """

    def __init__(
        self, lengths: np.ndarray, batch_size: int, seed: int, steps: int, draws: Floats | None = None
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.steps = lengths, batch_size, seed, steps
        exact = None if draws is None else np.asarray(draws, dtype=np.float64)
        self.probabilities = None if exact is None else exact / exact.sum()
        self.epoch = 0
        self.drop_last = False
        if len(lengths) == 0:
            raise ValueError("there are no items to train on")

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[int]]:
        """`steps` batches, starting another pass if needed."""
        made, passes = 0, 0
        while made < self.steps:
            generator = np.random.default_rng([self.seed, self.epoch, passes])
            items = np.arange(len(self.lengths))
            if self.probabilities is not None:
                items = generator.choice(len(items), size=len(items), p=self.probabilities)
            for batch in length_buckets(self.lengths[items], self.batch_size, generator):
                if made == self.steps:
                    return
                yield [int(i) for i in items[batch]]
                made += 1
            passes += 1


@dataclass(frozen=True)
class StageRequest:
    """One stage: what to train, on which data, and how to evaluate it."""

    name: str
    data: TrainingData
    schedule: Schedule
    losses: tuple[tuple[str, float], ...]
    """Name and weight of each term."""
    seed: int
    """Seed of this stage, from which those for the order of examples and dropout are derived."""
    compute: Compute
    judge: Callable[[PreTrainedModel], float]
    """The metric on validation."""
    metric: Metric
    steps_per_epoch: int = 0
    """Batches per epoch; 0: as many as the data has."""
    keep: Literal["best", "last"] = "best"
    """The epoch whose weights to restore: the one with the best metric (the later of equals), or the last if no loss
    trains the head."""


@dataclass
class _Best:
    metric: float = math.nan
    epoch: int = 0
    """0: none yet."""
    weights: dict[str, torch.Tensor] = field(default_factory=dict)


def steps_per_epoch(items: int, batch_size: int) -> int:
    """Batches of one pass."""
    return math.ceil(items / batch_size)


def train_stage(module: TrainingModule, request: StageRequest, scratch: Path, progress: Progress) -> list[EpochRecord]:
    """Train the module in place; its student ends with the weights of its best epoch on validation.

    A checkpoint in `scratch` is written after each epoch and loaded if present: weights, optimizer and random state
    resume exactly.

    Raises:
        UserError: a device that is not available.
    """
    schedule = request.schedule
    accelerator = make_accelerator(request.compute)
    lengths = request.data.lengths
    steps = request.steps_per_epoch or steps_per_epoch(len(lengths), schedule.batch_size)
    sampler = LengthBuckets(lengths, schedule.batch_size, derive(request.seed, "order"), steps, request.data.draws)
    numbers: Dataset[int] = range(len(lengths))  # type: ignore[assignment]
    loader: DataLoader[int] = DataLoader(numbers, batch_sampler=sampler, collate_fn=request.data.fetch)
    module.to(accelerator.device)
    optimizer = _optimizer(module, schedule)
    prepared, optimizer, loader = accelerator.prepare(module, optimizer, loader)
    weights = torch.tensor([weight for _, weight in request.losses], device=accelerator.device)
    compute = _resolved(accelerator, module.student)
    history: list[EpochRecord] = []
    best = _Best()
    checkpoint_folder = scratch / request.name
    total = steps * schedule.epochs
    torch.manual_seed(derive(request.seed, "dropout"))
    if (stored := load_checkpoint(checkpoint_folder, module, optimizer, progress)) is not None:
        history = list(stored.history)
        best = _Best(stored.best_metric, stored.best_epoch, dict(stored.best_weights))
        progress.say(f"      {request.name}: resumed after epoch {len(history)} of {schedule.epochs}")
        if history[-1].compute != compute:
            progress.say(
                f"      warning: {request.name}: earlier epochs were trained on {history[-1].compute}, the rest on "
                f"{compute}; the weights differ from those of an uninterrupted run"
            )
    for epoch in range(len(history), schedule.epochs):
        sampler.epoch = epoch
        begun = time.monotonic()
        label = f"{request.name} epoch {epoch + 1}/{schedule.epochs}"
        progress.start(label, steps)
        prepared.train()
        sums = torch.zeros(len(request.losses), device=accelerator.device)
        seen = 0
        for step, batch in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * steps + step, total, schedule)
            with accelerator.autocast():
                losses = prepared(batch)
            accelerator.backward((losses * weights).sum())
            accelerator.clip_grad_norm_(module.parameters(), schedule.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad()
            sums += losses.detach()
            seen += len(batch)
            progress.advance(_state(label, step + 1, steps, seen / (time.monotonic() - begun), history))
            if step % 50 == 49:
                _check_finite(sums, label)
        _check_finite(sums, label)
        seconds = time.monotonic() - begun
        means = (sums / steps).tolist()
        metric = request.judge(module.student)
        record = EpochRecord(
            stage=request.name,
            epoch=epoch + 1,
            loss=sum(mean * weight for mean, (_, weight) in zip(means, request.losses, strict=True)),
            losses=dict(zip((name for name, _ in request.losses), means, strict=True)),
            metric=metric,
            seconds=round(seconds, 3),
            samples_per_second=round(seen / seconds, 1),
            compute=compute,
        )
        history.append(record)
        progress.stop()
        progress.say(
            f"      {label}: loss {record.loss:.4f}, validation {metric:.4f}, "
            f"{record.samples_per_second:.0f} samples/s, {_left(history, schedule.epochs)} left"
        )
        progress.event("epoch", **asdict(record))
        # On ties the later epoch, which has trained for longer.
        if not best.epoch or request.keep == "last" or not request.metric.better(best.metric, metric):
            best = _Best(metric, epoch + 1, _copy(module.student))
        save_checkpoint(
            checkpoint_folder,
            module,
            optimizer,
            Checkpoint(tuple(history), best.metric, best.epoch, best.weights),
        )
    module.student.load_state_dict(best.weights)
    return history


def make_accelerator(compute: Compute) -> Accelerator:
    """accelerate on the recipe's device and precision.

    Raises:
        UserError: a device that is not available.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(compute.device, True):
        raise UserError(
            f"compute.device: got '{compute.device}', which this machine does not have; expected cpu or auto"
        )
    AcceleratorState._reset_state(reset_partial_state=True)  # each stage sets its own device
    return Accelerator(cpu=compute.device == "cpu", mixed_precision="bf16" if wants_bf16(compute) else "no")


def _resolved(accelerator: Accelerator, student: PreTrainedModel) -> str:
    """The actual device, arithmetic and attention kernel of training."""
    arithmetic = {"no": "fp32", "bf16": "bf16 autocast"}[accelerator.mixed_precision]
    return f"{accelerator.device.type}, {arithmetic}, {student.config._attn_implementation} attention"


def wants_bf16(compute: Compute) -> bool:
    """Whether training uses bf16 autocast: as configured, or if the hardware is faster in bf16.

    On CPUs this needs AMX tiles; with only AVX-512's bf16 instructions, autocast measured slower than fp32 (a BERT of
    22.7M parameters, 64 x 20 tokens, one thread: 1.4 s per step against 0.8 s).
    """
    if compute.precision != "auto":
        return compute.precision == "bf16"
    if compute.device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def learning_rate(step: int, total: int, schedule: Schedule) -> float:
    """Linear warm-up, then cosine decay to zero (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    warmup = int(total * schedule.warmup)
    if step < warmup:
        return schedule.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(module: TrainingModule, schedule: Schedule) -> torch.optim.Optimizer:
    """AdamW; no decay on biases and normalisation weights."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    decayed = [parameter for parameter in parameters if parameter.ndim > 1]
    rest = [parameter for parameter in parameters if parameter.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, fused=True)


def _copy(student: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: value.detach().to("cpu", copy=True) for name, value in student.state_dict().items()}


def _check_finite(sums: torch.Tensor, label: str) -> None:
    if not bool(torch.isfinite(sums).all()):
        raise UserError(f"{label}: the loss is NaN or infinite; lower the stage's learning_rate")


def _left(history: Sequence[EpochRecord], epochs: int) -> str:
    seconds = sum(epoch.seconds for epoch in history) / len(history) * (epochs - len(history))
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _state(label: str, done: int, total: int, speed: float, history: Sequence[EpochRecord]) -> ProgressState:
    last = f", last loss {history[-1].loss:.4f}, metric {history[-1].metric:.4f}" if history else ""
    return ProgressState(label, done, total, f"{speed:.0f} samples/s{last}")
