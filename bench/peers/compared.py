"""One student's files beside each other: speed, size and accuracy, with intervals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.peers.made_files import MadeFile
from edgedistill.arrays import Booleans, Floats
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.speed_up import speed_up
from edgedistill.evaluation.statistics import Interval, Paired, compare, metric_interval

PEERS = ("a", "b", "c")
"""Groups whose best is the measure."""
OURS = "ours"
Cell = tuple[int, int]
"""Threads and tokens."""


def _known_already(answers: Answers, references: References) -> Floats:
    raise AssertionError("which items are right is given")


ACCURACY = Metric(
    "accuracy", "higher", _known_already, lambda rows: float(rows[:, 0].sum() / rows[:, 1].sum()), shares=True
)


@dataclass(frozen=True)
class Measured:
    """One file."""

    made: MadeFile
    file_bytes: int
    tokenizer_bytes: int
    decided: Sequence[int]
    """Its class of each test item."""
    spent: Mapping[Cell, Floats]
    """(rounds, runs) milliseconds."""
    note: str = ""

    @property
    def fp32(self) -> bool:
        """Whether it isn't quantized."""
        return self.made.precision == "fp32"

    def p50(self, cell: Cell) -> float:
        """Milliseconds."""
        return float(np.median(self.spent[cell]))


@dataclass(frozen=True)
class Student:
    """A trained model, and every file of it."""

    name: str
    parameters: int
    labels: Sequence[int]
    torch: Sequence[int]
    """What the model said in PyTorch."""
    files: Sequence[Measured]

    @property
    def cells(self) -> list[Cell]:
        """What was timed."""
        return sorted(self.files[0].spent)

    def best_peer(self, cell: Cell, fp32: bool = False) -> Measured:
        """The fastest of the peers' files there, quantized or not."""
        peers = [file for file in self.files if file.made.group in PEERS and file.fp32 == fp32]
        return min(peers, key=lambda file: file.p50(cell))

    def ours(self, fp32: bool = False) -> list[Measured]:
        """Our files, quantized or not."""
        return [file for file in self.files if file.made.group == OURS and file.fp32 == fp32]

    def right(self, decided: Sequence[int]) -> Booleans:
        """Which test items are decided rightly."""
        found: Booleans = np.asarray(decided) == np.asarray(self.labels)
        return found

    def accuracy(self, decided: Sequence[int]) -> tuple[float, Interval]:
        """With Wilson's interval."""
        rows = _rows(self.right(decided))
        return ACCURACY.figure(rows), metric_interval(ACCURACY, rows)

    def ahead(self, one: Sequence[int], other: Sequence[int]) -> Paired:
        """By how much the first is more accurate, paired by item."""
        return compare(ACCURACY, _rows(self.right(one)), _rows(self.right(other)))


def _rows(right: Booleans) -> Floats:
    return np.stack([right, np.ones(len(right))], axis=1).astype(np.float64)


@dataclass(frozen=True)
class Ratio:
    """Of two medians, with its 95% interval: below 1 the first is faster."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f}x [{self.low:.2f}, {self.high:.2f}]"


def ratio(own: Floats, other: Floats, seed: int = 0) -> Ratio:
    """The ratio of medians of two files that were timed in the same rounds, with the product's interval.

    Args:
        own: (rounds, runs) milliseconds.
        other: (rounds, runs).
    """
    found = speed_up(list(other), list(own), seed)
    return Ratio(found.value, found.low, found.high)


def to_best_peer(student: Student, file: Measured, cell: Cell) -> Ratio:
    """A file's time as a multiple of that of the peers' fastest, fp32 files to fp32 files."""
    return ratio(file.spent[cell], student.best_peer(cell, file.fp32).spent[cell])


def row(student: Student, file: Measured) -> dict[str, object]:
    """The row of one file."""
    accuracy, interval = student.accuracy(file.decided)
    to_torch = student.ahead(file.decided, student.torch)
    threads = sorted({count for count, _ in student.cells})
    found: dict[str, object] = {
        "student": student.name,
        "parameters": student.parameters,
        "system": file.made.system,
        "precision": file.made.precision,
        "runtime": file.made.runtime,
        "file MB": round(file.file_bytes / 1e6, 3),
        "with tokenizer MB": round((file.file_bytes + file.tokenizer_bytes) / 1e6, 3),
        "accuracy [95% CI]": [accuracy, interval.low, interval.high],
        "agreement with torch": float(np.mean(np.asarray(file.decided) == np.asarray(student.torch))),
        "ahead of torch by [95% CI]": [to_torch.gain, to_torch.interval.low, to_torch.interval.high],
    }
    for count in threads:
        cells = [cell for cell in student.cells if cell[0] == count]
        at = f"at {', '.join(str(tokens) for _, tokens in cells)} tokens, threads: {count}"
        ratios = [to_best_peer(student, file, cell) for cell in cells]
        found[f"p50 ms {at}"] = [round(file.p50(cell), 4) for cell in cells]
        found[f"x the best peer's [95% CI] {at}"] = [[one.value, one.low, one.high] for one in ratios]
    return found | {"versions": dict(file.made.versions), "note": file.note}


def skipped_row(like: Mapping[str, object], system: str, reason: str) -> dict[str, object]:
    """The row of what could not be made."""
    return dict.fromkeys(like) | {"system": system, "note": f"not measured: {reason}"}
