"""What besides its settings and inputs decides what a step publishes: the code of its plug-ins, its tools, its host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from pydantic import BaseModel

from . import augmentation, plugins
from .augmentation import AugmentSpec
from .spec import Spec

_WithSpecs = Literal["tasks", "losses", "students"]


def plugin_versions(settings: Spec) -> dict[str, int]:
    """`group/name` and VERSION of every task, loss, student and augmentation that a step's settings name."""
    found = dict(_versions_in(settings, _specs()))
    task = getattr(settings, "task", None)  # most steps are given the name alone
    return found | (dict([_version_of("tasks", task)]) if isinstance(task, str) else {})


def _versions_in(value: object, specs: Mapping[type, tuple[_WithSpecs, str]]) -> Iterator[tuple[str, int]]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _versions_in(item, specs)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _versions_in(item, specs)
    elif isinstance(value, BaseModel):
        if type(value) in specs:
            yield _version_of(*specs[type(value)])
        elif isinstance(value, AugmentSpec):
            yield "augmentation", augmentation.VERSION
        for name in type(value).model_fields:
            yield from _versions_in(getattr(value, name), specs)


def _version_of(group: _WithSpecs, name: str) -> tuple[str, int]:
    return f"{group}/{name}", plugins.version(group, name)


def _specs() -> dict[type, tuple[_WithSpecs, str]]:
    """Which plug-in each spec of a loss, student or task belongs to."""
    groups: tuple[_WithSpecs, ...] = ("losses", "students", "tasks")
    return {spec: (group, name) for group in groups for name, spec in plugins.specs(group).items()}
