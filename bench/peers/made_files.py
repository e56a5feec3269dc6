"""Files that one system made of one student. Standard library only: programs of other environments write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

LISTING = "made.json"


@dataclass(frozen=True)
class MadeFile:
    """One file, and how it is run."""

    group: str
    """`a` to `d` for the peers, `ours`."""
    system: str
    """Who made it and how: unique within a student."""
    precision: str
    runtime: str
    """One of `bench.peers.asking`."""
    file: str
    """Relative to the folder of the listing."""
    versions: Mapping[str, str] = field(default_factory=dict)


def write_made(folder: Path, made: Sequence[MadeFile]) -> None:
    """Write the listing, at the end: a folder with one is complete."""
    (folder / LISTING).write_text(json.dumps([asdict(file) for file in made], indent=1), encoding="utf-8")


def read_made(folder: Path) -> list[MadeFile]:
    """The listing of a folder."""
    return [MadeFile(**entry) for entry in json.loads((folder / LISTING).read_text(encoding="utf-8"))]


def all_bytes(file: Path) -> int:
    """Size of a file with what it refers to: ONNX's external weights, OpenVINO's weights."""
    beside = {".onnx": file.with_name(f"{file.name}.data"), ".xml": file.with_suffix(".bin")}.get(file.suffix)
    return sum(part.stat().st_size for part in (file, beside) if part is not None and part.is_file())
