"""The files of one model in one target and precision: which a runtime opens of which component for which length, and
what they weigh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .artifacts import Artifact, write_text
from .device.files import ComponentJson, Files, of_json

RECORD = "file.json"


@dataclass(frozen=True)
class ModelFiles:
    """What a `make_file` artifact holds."""

    opened: Files
    """What a runtime opens."""
    record: Mapping[str, ComponentJson]
    """The same, by names inside the artifact."""
    device: tuple[str, ...]
    """Names of all files that a device needs."""
    published: tuple[str, ...]
    """These and the files for building the runtime, for whoever takes the model away."""
    bytes: int
    facts: Mapping[str, object]

    @property
    def lengths(self) -> tuple[int, ...]:
        """The buckets, when there is a file for each."""
        return next(iter(self.opened.values())).lengths

    @property
    def main(self) -> str:
        """The name of what is opened of the first component for the longest inputs: what a person is pointed to."""
        return list(next(iter(self.record.values()))["files"])[-1][1]


def read_files(artifact: Artifact) -> ModelFiles:
    """The files of an artifact that is there."""
    record = artifact.read_json(RECORD)
    components, build = record["components"], record["build_files"]
    assert isinstance(components, dict)
    assert isinstance(build, list)
    names = [entry.path for entry in artifact.manifest.files if entry.path != RECORD]
    device = tuple(name for name in names if name not in build)
    sizes = {entry.path: entry.bytes for entry in artifact.manifest.files}
    facts = record["facts"]
    assert isinstance(facts, dict)
    return ModelFiles(
        opened={
            name: replace(each, files={length: artifact.path(str(file)) for length, file in each.files.items()})
            for name, each in of_json(components).items()
        },
        record=components,
        device=device,
        published=tuple(names),
        bytes=sum(sizes[name] for name in device),
        facts=facts,
    )


def part_name(name: str, component: str | None, length: int | None) -> str:
    """`model.tflite` is `model-decode-32.tflite` of the component `decode`, for the bucket of 32 tokens.

    Args:
        component: None where it is the only one.
    """
    path = Path(name)
    parts = [path.stem, *([component] if component is not None else []), *([str(length)] if length is not None else [])]
    return f"{'-'.join(parts)}{path.suffix}"


def buckets_up_to(longest: int, buckets: Sequence[int]) -> tuple[int, ...]:
    """The buckets that inputs of up to `longest` tokens need: those below it, and itself."""
    return (*(each for each in buckets if each < longest), longest)


def write_record(folder: Path, components: Mapping[str, ComponentJson], **more: object) -> None:
    """Write what `read_files` reads.

    Args:
        components: with names inside the folder.
    """
    write_text(folder / RECORD, json.dumps({"components": components, **more}, indent=1) + "\n")
