"""The copy of a bundle that is damaged."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..damaged import DamagedFolder


@dataclass
class Copy(DamagedFolder):
    """The copy of a bundle."""

    vouch: bool = True
    """Write `sha256.txt` anew, as someone who made a wrong bundle would."""

    @property
    def model(self) -> Path:
        """The model file."""
        return next(self.path.rglob("*.onnx"))


Mutation = Callable[[Copy, random.Random], None]


VALUES: tuple[object, ...] = (
    None,
    -1,
    0,
    1.5,
    10**12,
    "",
    "x",
    "../x",
    "\x00",
    True,
    [],
    {},
    [[]],
    [None],
    {"a": None},
    float("nan"),
    float("inf"),
    "9" * 5000,
)


def listed(bundle: Copy, rng: random.Random) -> Path:
    names = [line.split("  ", 1)[1] for line in (bundle.path / "sha256.txt").read_text().splitlines()]
    return bundle.path / rng.choice(names)


def write_hashes(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "sha256.txt")
    lines = [
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(folder).as_posix()}\n" for file in files
    ]
    (folder / "sha256.txt").write_text("".join(lines), encoding="utf-8")
