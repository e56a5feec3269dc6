"""The files of one model in one target and precision: which a runtime opens for which length, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from .store.handle import Artifact
from .store.records.files import MadeFiles

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
    facts: Mapping[str, JsonValue]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The buckets, when there is a file for each."""
        return tuple(length for length in self.opened if length is not None)


def read_files(artifact: Artifact[MadeFiles]) -> ModelFiles:
    """The files of an artifact that is there."""
    record = artifact.record
    device = tuple(entry for entry in artifact.files if entry.path not in record.build_files)
    return ModelFiles(
        opened={each.length: artifact.path(each.file) for each in record.opened},
        device=tuple(entry.path for entry in device),
        published=tuple(entry.path for entry in artifact.files),
        bytes=sum(entry.bytes for entry in device),
        facts=record.facts,
    )


def bucket_name(name: str, length: int | None) -> str:
    """`model.tflite` is `model-32.tflite` for the bucket of 32 tokens."""
    path = Path(name)
    return name if length is None else f"{path.stem}-{length}{path.suffix}"


def buckets_up_to(longest: int, buckets: Sequence[int]) -> tuple[int, ...]:
    """The buckets that inputs of up to `longest` tokens need: those below it, and itself."""
    return (*(each for each in buckets if each < longest), longest)
