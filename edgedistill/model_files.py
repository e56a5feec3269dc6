"""The files of one model in one target and precision: which a runtime opens for which length, and what they weigh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .artifacts import Artifact

RECORD = "file.json"
Opened = Mapping[int | None, Path]
"""What a runtime opens: by the length that a file takes, or under None the one file that takes every length."""


@dataclass(frozen=True)
class ModelFiles:
    """What a `make_file` artifact holds."""

    opened: Opened
    device: tuple[str, ...]
    """Names of all files that a device needs."""
    published: tuple[str, ...]
    """These and the files for building the runtime, for whoever takes the model away."""
    bytes: int
    facts: Mapping[str, object]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The buckets, when there is a file for each."""
        return tuple(length for length in self.opened if length is not None)


def read_files(artifact: Artifact) -> ModelFiles:
    """The files of an artifact that is there."""
    record = artifact.read_json(RECORD)
    opened, build = record["opened"], record["build_files"]
    assert isinstance(opened, list)
    assert isinstance(build, list)
    names = [entry.path for entry in artifact.manifest.files if entry.path != RECORD]
    device = tuple(name for name in names if name not in build)
    sizes = {entry.path: entry.bytes for entry in artifact.manifest.files}
    facts = record["facts"]
    assert isinstance(facts, dict)
    return ModelFiles(
        opened={length: artifact.path(name) for length, name in opened},
        device=device,
        published=tuple(names),
        bytes=sum(sizes[name] for name in device),
        facts=facts,
    )


def bucket_name(name: str, length: int | None) -> str:
    """`model.tflite` is `model-32.tflite` for the bucket of 32 tokens."""
    path = Path(name)
    return name if length is None else f"{path.stem}-{length}{path.suffix}"


def buckets_up_to(longest: int, buckets: Sequence[int]) -> tuple[int, ...]:
    """The buckets that inputs of up to `longest` tokens need: those below it, and itself."""
    return (*(each for each in buckets if each < longest), longest)


def write_record(folder: Path, opened: Sequence[tuple[int | None, str]], **more: object) -> None:
    """Write what `read_files` reads."""
    from .artifacts import write_text

    write_text(folder / RECORD, json.dumps({"opened": opened, **more}, indent=1) + "\n")
