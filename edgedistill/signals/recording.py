"""Records signals in shards; finished shards survive when the process ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from edgedistill.arrays import Array, Floats, Integers
from edgedistill.contracts.distribution import Dense, HiddenAndHead, sampled, top_k
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.signals.inference import Distributed, visit_distributions
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.projected import TAUGHT
from edgedistill.signals.recorded import VALUES, create
from edgedistill.signals.soft_targets import BIAS, CAP, HIDDEN, SCALE, WEIGHT, in_8_bits
from edgedistill.store.records.base import FileName
from edgedistill.store.scratch import CHECKPOINT

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from edgedistill.contracts.task import Task
    from edgedistill.signals.projected import Projector, Window
    from edgedistill.store.progress import Progress

SHARD_DECISIONS = 1 << 18
"""With this, a shard of top-k signals is about 25 MB, and at most an hour of a teacher on a slow processor."""
_TILE = 1 << 24
"""Logits to compute at once."""
_IN_CACHE = 1 << 18
"""Logits of which a processor chooses classes at once: with all that it computes for them, they stay in its cache."""

Write = Callable[[Items, Path, str], None]
"""(items of a shard, its file, index and number of shards) writes the file."""


WriteRange = Callable[[int, int, Path, str], None]
"""(start and end of a shard's items, its file, index and number of shards) writes the file."""


def record_shards(items: Items, counts: Integers, name: str, scratch: Path, write: Write) -> tuple[Path, ...]:
    """`record_ranges` for shards that only depend on their items."""

    def write_range(first: int, last: int, file: Path, which: str) -> None:
        write(items.take(np.arange(first, last)), file, which)

    return record_ranges(counts, name, scratch, write_range)


def record_ranges(counts: Integers, name: str, scratch: Path, write: WriteRange) -> tuple[Path, ...]:
    """The files `NAME-00000.safetensors`, ... of consecutive items in `scratch`, reusing those that an earlier process
    finished.

    Args:
        counts: (N,) decisions of each item.
        name: of the signal.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / CHECKPOINT).touch()
    ranges = list(shard_ranges(counts))
    files = []
    for number, (first, last) in enumerate(ranges):
        file = scratch / f"{name}-{number:05}.safetensors"
        files.append(file)
        if file.is_file():
            continue
        partial = file.with_suffix(".part")
        which = "" if len(ranges) == 1 else f", part {number + 1} of {len(ranges)}"
        write(first, last, partial, which)
        os.replace(partial, file)
    return tuple(files)


def publish(files: tuple[Path, ...], folder: Path) -> tuple[FileName, ...]:
    """Move the shards into an artifact."""
    for file in files:
        shutil.move(file, folder / file.name)
    return tuple(FileName(file.name) for file in files)


def shard_ranges(counts: Integers, decisions: int | None = None) -> Iterator[tuple[int, int]]:
    """(start, end) of each shard's items: as many as fit the maximum number of decisions, at least one."""
    limit = SHARD_DECISIONS if decisions is None else decisions
    first, held = 0, 0
    for item, count in enumerate(counts.tolist()):
        if held and held + count > limit:
            yield first, item
            first, held = item, 0
        held += count
    yield first, len(counts)


@dataclass(frozen=True)
class DistributionRecorder:
    """Writes a model's output for each decision as logits, packed top-k or states.

    Args:
        sampled: whether the packed classes are drawn, instead of the most likely.
        layout: layout of packed rows; None: states with `bits` bits if the model provides them, or logits.
        tokens: number of logits that are tokens, leaving out padding. None: all.
        bf16: whether states are computed with bf16 autocast.
    """

    model: PreTrainedModel
    task: Task
    progress: Progress
    label: str
    layout: PackedTopK | None = None
    temperatures: tuple[float, ...] = ()
    sampled: bool = False
    bits: int = 0
    tokens: int | None = None
    bf16: bool = False

    def write(self, items: Items, file: Path, which: str) -> None:
        """One shard.

        Raises:
            UserError: states beyond the range of 16 bits.
        """
        shard = _Shard(self, file, len(self.task.data.references(items)))

        def keep(numbers: Integers, said: Distributed) -> None:
            shard.keep(numbers, said if self.tokens is None else said.first(self.tokens))

        visit_distributions(
            self.model, self.task, items, keep, bf16=self.bf16, progress=self.progress, label=self.label + which
        )

    def write_projected(self, projector: Projector, windows: Sequence[Window], file: Path, which: str) -> None:
        """One shard of a model's distributions, projected onto a student's tokens."""
        shard = _Shard(self, file, sum(len(window.decisions) for window in windows), projected=True)

        def keep(numbers: Integers, said: Dense, taught: Integers) -> None:
            shard.keep(numbers, said)
            shard.tensors[TAUGHT][numbers] = taught

        projector.visit(windows, keep, bf16=self.bf16, progress=self.progress, label=self.label + which)

    def shapes(self, decisions: int, width: int) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        """Shapes and types of a file's tensors.

        Args:
            width: number of values per decision.
        """
        if self.bits == 0:
            return {VALUES: (decisions, width)}, {VALUES: "U8" if self.layout else "F32"}
        if self.bits == 16:
            return {HIDDEN: (decisions, width)}, {HIDDEN: "F16"}
        return {HIDDEN: (decisions, width), SCALE: (decisions,)}, {HIDDEN: "I8", SCALE: "F32"}

    def values(self, said: Distributed, draws: Array) -> dict[str, Array]:
        """The values to write for these decisions, by tensor.

        Args:
            draws: (D,) uniform numbers in [0, 1).
        """
        import torch

        if self.layout is not None:
            logits = said.dense().logits_RC.float()
            rows = len(logits) if logits.device.type != "cpu" else max(1, _IN_CACHE // logits.shape[-1])
            parts = zip(logits.split(rows), torch.from_numpy(draws).to(logits.device).split(rows), strict=True)
            return {VALUES: np.concatenate([self._packed(self.layout, *part) for part in parts])}
        if self.bits == 0:
            return {VALUES: _array(said.dense().logits_RC)}
        assert isinstance(said, HiddenAndHead), "the plan records states of tasks that give them"
        hidden = _array(said.hidden_RH)
        if self.bits == 16:
            if (largest := float(np.abs(hidden).max(initial=0))) > float(np.finfo(np.float16).max):
                raise UserError(
                    f"signals.hidden_bits: got 16, but a hidden state of the teacher has an entry of {largest:.0f}, "
                    "beyond the range of fp16; expected 8"
                )
            return {HIDDEN: hidden.astype(np.float16)}
        values, scale = in_8_bits(hidden)
        return {HIDDEN: values, SCALE: scale}

    def _packed(self, layout: PackedTopK, logits: torch.Tensor, draws: torch.Tensor) -> Array:
        if self.sampled:
            (temperature,) = self.temperatures
            kept = sampled(logits, layout.k, temperature, draws)
        else:
            kept = top_k(logits, layout.k, self.temperatures)
        return layout.pack(*(tensor.cpu().numpy() for tensor in (kept.ids_RK, kept.log_p_RK, kept.log_rest_RS)))


class _Shard:
    """A file under construction, created with its first values."""

    def __init__(self, recorder: DistributionRecorder, file: Path, decisions: int, *, projected: bool = False) -> None:
        self.tensors: dict[str, Array] = {}
        self._recorder, self._file, self._decisions, self._projected = recorder, file, decisions, projected
        seed = crc32(file.name.encode())  # the same after an interruption
        self._draws = np.random.default_rng(seed).random(decisions)

    def keep(self, numbers: Integers, said: Distributed) -> None:
        """Write the values of these decisions."""
        rows = max(1, _TILE // said.classes)
        for first in range(0, len(said), rows):
            part = slice(first, first + rows)
            for name, values in self._recorder.values(said.part(part), self._draws[numbers[part]]).items():
                if name not in self.tensors:
                    self._create(values.shape[1])
                self.tensors[name][numbers[part]] = values

    def _create(self, width: int) -> None:
        shapes, dtypes = self._recorder.shapes(self._decisions, width)
        if self._projected:
            shapes[TAUGHT], dtypes[TAUGHT] = (self._decisions,), "U8"
        self.tensors.update(create(self._file, shapes, dtypes))


def classes_of(model: PreTrainedModel, task: Task, items: Items) -> int:
    """The number of classes of a model's distributions, from running one item."""
    found: list[int] = []

    def keep(numbers: Integers, said: Distributed) -> None:
        found.append(said.classes)

    visit_distributions(model, task, items.take(np.arange(1)), keep)
    return found[0]


def save_head(model: PreTrainedModel, task: Task, file: Path, tokens: int | None = None) -> None:
    """Write the output head in float32, only the first `tokens` rows if not all are tokens."""
    assert task.model.head is not None, "the plan records states of tasks that have a head"
    head = task.model.head(model)
    there = {WEIGHT: head.weight_VH, BIAS: head.bias_V}
    arrays = {name: _array(tensor[:tokens]) for name, tensor in there.items() if tensor is not None}
    if head.cap is not None:
        arrays[CAP] = np.array([head.cap], np.float32)
    tensors = create(file, {name: array.shape for name, array in arrays.items()}, dict.fromkeys(arrays, "F32"))
    for name, array in arrays.items():
        tensors[name][...] = array


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().float().cpu().numpy()
