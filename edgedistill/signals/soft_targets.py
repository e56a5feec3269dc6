"""Recorded teacher distributions for every decision of a split, in each form for losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.contracts.distribution import Dense, Distribution, TopK
from edgedistill.contracts.task import Head
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.recorded import Shards, open_mapped, to_tensor

HIDDEN, SCALE, WEIGHT, BIAS, CAP = "hidden", "scale", "weight", "bias", "cap"
"""Tensor names in the files of last hidden states and of their output head."""


class SoftTargets(Protocol):
    """A recorded distribution over classes or a vocabulary, by decision."""

    def distribution(self, decisions: Integers) -> Distribution:
        """The distributions of these decisions, in order."""
        ...


@dataclass(frozen=True)
class LogitSignal:
    """Logits (D, C) of one or several teachers on one split, by decision; several are averaged.

    The mean of logits is the geometric mean of the teachers' distributions, at any temperature (Hinton et al. 2015,
    section 5: "the geometric mean of the predictions").
    """

    teachers: tuple[Shards, ...]

    def rows(self, decisions: Integers) -> Floats:
        """(R, C) logits of these decisions."""
        return np.mean([teacher.rows(decisions) for teacher in self.teachers], axis=0, dtype=np.float32)

    def all_rows(self) -> Floats:
        """(D, C) logits of every decision of the split."""
        return self.rows(np.arange(len(self.teachers[0])))

    def distribution(self, decisions: Integers) -> Distribution:
        """Their logits."""
        return Dense(to_tensor(self.rows(decisions)))


@dataclass(frozen=True)
class TopKSignal:
    """Packed rows (D, bytes) of one teacher."""

    packed: Shards
    layout: PackedTopK
    temperatures: tuple[float, ...]

    def distribution(self, decisions: Integers) -> Distribution:
        """The most likely classes and the remaining mass."""
        ids, log_p, log_rest = self.layout.unpack(self.packed.rows(decisions))
        return TopK(to_tensor(ids), to_tensor(log_p), to_tensor(log_rest), self.temperatures)


@dataclass(frozen=True)
class StateSignal:
    """Last hidden states (D, H) of one teacher, in 16 bits or in 8 bits with a scale (D,) each, and its output head."""

    hidden: Shards
    scale: Shards | None
    head: Path

    @classmethod
    def of(cls, files: Sequence[Path], head: Path) -> StateSignal:
        """Open the recorded files."""
        scaled = SCALE in open_mapped(files[0])
        return cls(Shards.of(files, HIDDEN), Shards.of(files, SCALE) if scaled else None, head)

    def distribution(self, decisions: Integers) -> Distribution:
        """The states and the head."""
        hidden = self.hidden.rows(decisions)  # in 16 bits as they are: a batch of them is moved to its device
        if self.scale is not None:
            hidden = hidden.astype(np.float32) * self.scale.rows(decisions)[:, None]
        return self._head.on(to_tensor(hidden))

    @cached_property
    def _head(self) -> Head:
        tensors = open_mapped(self.head)
        bias = to_tensor(tensors[BIAS]) if BIAS in tensors else None
        return Head(to_tensor(tensors[WEIGHT]), bias, float(tensors[CAP][0]) if CAP in tensors else None)


def in_8_bits(hidden: Floats) -> tuple[np.ndarray, Floats]:
    """(D, H) int8 and the scale (D,) by which each state is multiplied: its largest entry is 127."""
    scale = np.maximum(np.abs(hidden).max(1), 1e-12).astype(np.float32) / 127
    return np.rint(hidden / scale[:, None]).astype(np.int8), scale
