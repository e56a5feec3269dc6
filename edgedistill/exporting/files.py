"""The files of one model in one target and precision: the file a runtime opens for each component and length, and their
sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.mix_search import MixSearch
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import PreparedData
from edgedistill.device.files import Component, Files
from edgedistill.store.handle import Artifact
from edgedistill.store.records.files import MadeFiles, SearchedFiles


@dataclass(frozen=True)
class ModelFiles:
    """Contents of a `make_file` artifact."""

    opened: Files
    """What a runtime opens."""
    main: str
    """The file to show a person: that of the first component for the longest inputs."""
    device: tuple[str, ...]
    """Names of all files that a device needs."""
    published: tuple[str, ...]
    """These and the files for building the runtime."""
    bytes: int
    facts: Mapping[str, JsonValue]
    search: MixSearch | None = None
    """How its mix was found, if it was searched."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """The buckets, if there is one file per bucket."""
        return next(iter(self.opened.values())).lengths


def read_files(artifact: Artifact[MadeFiles]) -> ModelFiles:
    """The files of a finished artifact."""
    record = artifact.record
    device = tuple(entry for entry in artifact.files if entry.path not in record.build_files)
    return ModelFiles(
        opened={
            name: Component(
                {entry.length: artifact.path(entry.file) for entry in component.files},
                PortNames(component.inputs, component.outputs),
            )
            for name, component in record.components.items()
        },
        main=next(iter(record.components.values())).files[-1].file,
        device=tuple(entry.path for entry in device),
        published=tuple(entry.path for entry in artifact.files),
        bytes=sum(entry.bytes for entry in device),
        facts=record.facts,
        search=record.search if isinstance(record, SearchedFiles) else None,
    )


def tokenizer_bytes(task: Task, target: str, data: PreparedData) -> int | None:
    """Size of the tokenizer that a device needs in addition to the files: 0 if these contain it, None for a task
    without one."""
    if not task.data.tokens:
        return None
    if registry.target(target).holds_tokenizer:
        return 0
    return (data.tokenizer / "tokenizer.json").stat().st_size


def part_name(name: str, component: str | None, length: int | None) -> str:
    """`model.tflite` is `model-decode-32.tflite` of the component `decode`, for the bucket of 32 tokens.

    Args:
        component: None if it is the only one.

    >>> part_name("model.tflite", "decode", 32), part_name("model.onnx", None, None)
    ('model-decode-32.tflite', 'model.onnx')
    """
    path = Path(name)
    parts = [path.stem, *([component] if component is not None else []), *([str(length)] if length is not None else [])]
    return f"{'-'.join(parts)}{path.suffix}"


def buckets_up_to(longest: int, buckets: Sequence[int]) -> tuple[int, ...]:
    """The buckets for inputs of up to `longest` tokens: those below it, and itself.

    >>> buckets_up_to(48, [16, 32, 64])
    (16, 32, 48)
    """
    return (*(bucket for bucket in buckets if bucket < longest), longest)
