"""Trains a student (or teacher) through one stage: batches by length, accelerate, bit-exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

from edgedistill.arrays import Floats
from edgedistill.contracts.metric import Metric
from edgedistill.errors import UserError
from edgedistill.recipe.schema import Compute
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.signals.batching import length_buckets
from edgedistill.store.progress import Progress, ProgressState
from edgedistill.training.checkpoint import Checkpoint, EpochRecord, load_checkpoint, save_checkpoint
from edgedistill.training.precision import wants_bf16
from edgedistill.training.seeds import derive
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import TrainingModule

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel


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
    stage = _Stage(module, request, progress)
    checkpoint_folder = scratch / request.name
    stage.resume(checkpoint_folder)
    for epoch in range(len(stage.history), request.schedule.epochs):
        stage.train_epoch(epoch)
        stage.save(checkpoint_folder)
    module.student.load_state_dict(stage.best.weights)
    return stage.history


class _Stage:
    """The state of a stage in training: batches, optimizer, finished epochs and the best of them."""

    def __init__(self, module: TrainingModule, request: StageRequest, progress: Progress) -> None:
        self.module, self.request, self.progress = module, request, progress
        schedule, data = request.schedule, request.data
        bf16 = wants_bf16(request.compute, module.student.config)
        self.accelerator = make_accelerator(request.compute, bf16=bf16)
        self.steps = request.steps_per_epoch or steps_per_epoch(len(data.lengths), schedule.batch_size)
        order = derive(request.seed, "order")
        self.sampler = LengthBuckets(data.lengths, schedule.batch_size, order, self.steps, data.draws)
        numbers: Dataset[int] = range(len(data.lengths))  # type: ignore[assignment]
        loader: DataLoader[int] = DataLoader(
            numbers,
            batch_sampler=self.sampler,
            collate_fn=data.fetch,
            pin_memory=self.accelerator.non_blocking,
        )
        module.to(self.accelerator.device)
        self.prepared, self.optimizer, self.loader = self.accelerator.prepare(
            module, _optimizer(module, schedule), loader
        )
        self.weights = torch.tensor([weight for _, weight in request.losses], device=self.accelerator.device)
        self.compute = _resolved(self.accelerator, module.student)
        self.history: list[EpochRecord] = []
        self.best = _Best()
        torch.manual_seed(derive(request.seed, "dropout"))

    def resume(self, checkpoint_folder: Path) -> None:
        """Resume from a checkpoint, if there is one."""
        stored = load_checkpoint(checkpoint_folder, self.module, self.optimizer, self.progress)
        if stored is None:
            return
        name, epochs = self.request.name, self.request.schedule.epochs
        self.history = list(stored.history)
        self.best = _Best(stored.best_metric, stored.best_epoch, dict(stored.best_weights))
        self.progress.say(f"      {name}: resumed after epoch {len(self.history)} of {epochs}")
        if (before := self.history[-1].compute) != self.compute:
            self.progress.warn(
                f"{name}: earlier epochs were trained on {before}, the rest on {self.compute}; the "
                "weights differ from those of an uninterrupted run"
            )

    def save(self, checkpoint_folder: Path) -> None:
        """Write a checkpoint."""
        state = Checkpoint(tuple(self.history), self.best.metric, self.best.epoch, self.best.weights)
        save_checkpoint(checkpoint_folder, self.module, self.optimizer, state)

    def train_epoch(self, epoch: int) -> None:
        """Train one epoch, judge the student on validation, and keep its weights if they are the best."""
        request, epochs = self.request, self.request.schedule.epochs
        label = f"{request.name} epoch {epoch + 1}/{epochs}"
        begun = time.monotonic()
        means, samples = self._train_batches(epoch, label, begun)
        seconds = time.monotonic() - begun
        metric = request.judge(self.module.student)
        record = EpochRecord(
            stage=request.name,
            epoch=epoch + 1,
            loss=sum(mean * weight for mean, (_, weight) in zip(means, request.losses, strict=True)),
            losses=dict(zip((name for name, _ in request.losses), means, strict=True)),
            metric=metric,
            seconds=round(seconds, 3),
            samples_per_second=round(samples / seconds, 1),
            compute=self.compute,
        )
        self.history.append(record)
        self.progress.stop()
        self.progress.say(
            f"      {label}: loss {record.loss:.4f}, validation {metric:.4f}, "
            f"{record.samples_per_second:.0f} samples/s, {_left(self.history, epochs)} left"
        )
        self.progress.event("epoch", **asdict(record))
        # On ties the later epoch, which has trained for longer.
        best = self.best
        if not best.epoch or request.keep == "last" or not request.metric.better(best.metric, metric):
            self.best = _Best(metric, epoch + 1, _copy(self.module.student))

    def _train_batches(self, epoch: int, label: str, begun: float) -> tuple[list[float], int]:
        """One pass over the batches of an epoch: each term's mean, and how many samples were seen."""
        schedule, accelerator = self.request.schedule, self.accelerator
        total = self.steps * schedule.epochs
        self.sampler.epoch = epoch
        self.progress.start(label, self.steps)
        self.prepared.train()
        sums = torch.zeros(len(self.weights), device=accelerator.device)
        seen = 0
        for step, batch in enumerate(self.loader):
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(epoch * self.steps + step, total, schedule)
            with accelerator.autocast():
                losses = self.prepared(batch)
            accelerator.backward((losses * self.weights).sum())
            accelerator.clip_grad_norm_(self.module.parameters(), schedule.max_grad_norm)
            self.optimizer.step()
            self.optimizer.zero_grad()
            sums += losses.detach()
            seen += len(batch)
            pace = seen / (time.monotonic() - begun)
            self.progress.advance(_state(label, step + 1, self.steps, pace, self.history))
            if step % 50 == 49:
                _check_finite(sums, label)
        _check_finite(sums, label)
        return (sums / self.steps).tolist(), seen


def make_accelerator(compute: Compute, *, bf16: bool = False) -> Accelerator:
    """accelerate on the recipe's device, in fp32 or with bf16 autocast.

    Raises:
        UserError: a device that is not available.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DataLoaderConfiguration

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(compute.device, True):
        raise UserError(
            f"compute.device: got '{compute.device}', which this machine does not have; expected cpu or auto"
        )
    AcceleratorState._reset_state(reset_partial_state=True)  # each stage sets its own device
    ahead = there["cuda"] and compute.device in ("auto", "cuda")  # batches are copied while the last step still runs
    return Accelerator(
        cpu=compute.device == "cpu",
        mixed_precision="bf16" if bf16 else "no",
        dataloader_config=DataLoaderConfiguration(non_blocking=ahead),
    )


def _resolved(accelerator: Accelerator, student: PreTrainedModel) -> str:
    """The actual device, arithmetic and attention kernel of training."""
    arithmetic = {"no": "fp32", "bf16": "bf16 autocast"}[accelerator.mixed_precision]
    return f"{accelerator.device.type}, {arithmetic}, {student.config._attn_implementation} attention"


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
