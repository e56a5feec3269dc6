"""What besides its settings and inputs decides what a step publishes: the code of its plug-ins, its tools, its host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from . import augmentation, plugins
from .augmentation import AugmentSpec
from .recipe import TaskSpec
from .spec import Spec


def plugin_versions(settings: Spec) -> dict[str, int]:
    """`group/name` and VERSION of every task, loss, student and augmentation that a step's settings name."""
    found = dict(_versions_in(settings, _specs()))
    task = getattr(settings, "task", None)  # most steps are given the name alone
    return found | (dict([_version_of("tasks", task)]) if isinstance(task, str) else {})


def _versions_in(value: object, specs: Mapping[type, tuple[plugins.Group, str]]) -> Iterator[tuple[str, int]]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _versions_in(item, specs)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _versions_in(item, specs)
    elif isinstance(value, BaseModel):
        if type(value) in specs:
            yield _version_of(*specs[type(value)])
        elif isinstance(value, TaskSpec):
            yield _version_of("tasks", value.type)
        elif isinstance(value, AugmentSpec):
            yield "augmentation", augmentation.VERSION
        for name in type(value).model_fields:
            yield from _versions_in(getattr(value, name), specs)


def _version_of(group: plugins.Group, name: str) -> tuple[str, int]:
    version = plugins.task(name).version if group == "tasks" else plugins.find(group, name).VERSION
    return f"{group}/{name}", int(version)


def _specs() -> dict[type, tuple[plugins.Group, str]]:
    """Which plug-in each loss's and student's spec belongs to."""
    groups: tuple[plugins.Group, ...] = ("losses", "students")
    return {plugins.find(group, name).SPEC: (group, name) for group in groups for name in plugins.names(group)}
