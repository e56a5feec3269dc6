"""The files of a model for a runtime, by component and input length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

from edgedistill.contracts.driver import PortNames


@dataclass(frozen=True)
class Component:
    """The files of one component, each a file or a folder."""

    files: Mapping[int | None, Path]
    """By input length, or under None the one file for every length."""
    names: PortNames = field(default_factory=PortNames)

    @property
    def lengths(self) -> tuple[int, ...]:
        """The buckets, if there is one file per bucket."""
        return tuple(length for length in self.files if length is not None)


Files = Mapping[str, Component]
"""By component: `{"model": ...}` or `{"prefill": ..., "decode": ...}`."""


class ComponentJson(TypedDict):
    """`Component` in JSON."""

    files: Sequence[tuple[int | None, str]]
    inputs: Sequence[str]
    outputs: Sequence[str]


def to_json(files: Files) -> dict[str, ComponentJson]:
    """Its JSON form, for another process."""
    return {
        name: ComponentJson(
            files=[(length, str(file)) for length, file in component.files.items()],
            inputs=component.names.inputs,
            outputs=component.names.outputs,
        )
        for name, component in files.items()
    }


def of_json(content: Mapping[str, ComponentJson], folder: Path = Path()) -> Files:
    """The inverse; relative paths are in `folder`."""
    return {
        name: Component(
            {length: folder / file for length, file in component["files"]},
            PortNames(tuple(component["inputs"]), tuple(component["outputs"])),
        )
        for name, component in content.items()
    }
