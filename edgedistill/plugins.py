"""Finds losses, students, quantizers, runtimes, tasks and exporters by the name a recipe gives them.

A built-in is one file in its folder, named as the recipe names it (`kind: hidden_mse` is `losses/hidden_mse.py`,
`precision: int8-dynamic` is `quantizers/int8_dynamic.py`). A third party adds one through the entry-point group
`edgedistill.FOLDER`. There is no other list to keep.

A plug-in of a third party that cannot be used (its import fails, or it is not what its group promises) is left out of
`names`, stands with its reason in `broken`, and stops only whoever asks for it.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Literal, Protocol, cast

from .errors import UserError

if TYPE_CHECKING:
    from .contracts.task import Task

Group = Literal["tasks", "losses", "students", "quantizers", "runtimes", "exporters"]
_REASON_LENGTH = 300


class HasKind(Protocol):
    """A loss's spec."""

    @property
    def kind(self) -> str: ...


class BrokenPluginError(UserError):
    """A plug-in that is installed but cannot be used."""


def names(group: Group) -> list[str]:
    """All names that can be used in `group`, built in or plugged in, sorted."""
    plugged_in = [name for name in _plugged_in(group) if name not in broken(group)]
    return sorted({*_built_in(group), *plugged_in})


@functools.cache
def broken(group: Group) -> dict[str, str]:
    """By name, why a plug-in of `group` cannot be used."""
    reasons: dict[str, str] = {}
    for name in _plugged_in(group):
        try:
            _load_plugin(group, name)
        except BrokenPluginError as error:
            reasons[name] = str(error)
    return reasons


@functools.cache
def find(group: Group, name: str) -> ModuleType:
    """The module that `name` stands for in `group`.

    Raises:
        BrokenPluginError: a plug-in of that name is installed but cannot be used.
        UserError: no such name, with the nearest known one.
    """
    if name in (built_in := _built_in(group)):
        return importlib.import_module(built_in[name])
    if name in _plugged_in(group):
        return _load_plugin(group, name)
    raise UserError(f"unknown {group} '{name}'; known: {', '.join(names(group))}{nearest(name, names(group))}")


def reference(group: Group, name: str) -> str:
    """Where a plug-in is, as `pkgutil.resolve_name` takes it: another process finds it by that where entry points are
    not known.

    Raises:
        UserError: as `find`.
    """
    return find(group, name).__name__


def task(name: str) -> Task:
    """The task that `name` stands for.

    Raises:
        UserError: as `find`.
    """
    return cast("Task", find("tasks", name).TASK)


def needs(losses: Iterable[HasKind]) -> frozenset[str]:
    """What these losses ask for, together."""
    return frozenset(need for loss in losses for need in find("losses", loss.kind).NEEDS)


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` when something in `known` is close to `name`, otherwise an empty string."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def hint(group: Group, name: str) -> str:
    """What to add to a message about a name that isn't among `names`: why its plug-in is broken, or the nearest one."""
    reason = broken(group).get(name)
    return f"; {reason}" if reason is not None else nearest(name, names(group))


def _load_plugin(group: Group, name: str) -> ModuleType:
    """Import a third party's plug-in and check that it is what its group promises.

    Raises:
        BrokenPluginError: it isn't, or its import fails.
    """
    from .plugin_contracts import fault_in

    point = _plugged_in(group)[name]
    origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
    try:
        module = point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever foreign code raises costs only its own name
        words = " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_LENGTH]
        fault: str | None = f"its import fails with {words}"
    else:
        fault = fault_in(group, name, module) if isinstance(module, ModuleType) else f"it names {module!r}, no module"
        if name in _built_in(group):
            fault = f"edgedistill has '{name}' itself"
    if fault is not None:
        raise BrokenPluginError(f"the plug-in '{name}' ({group}, from {origin}) cannot be used: {fault}")
    return module


@functools.cache
def _built_in(group: Group) -> dict[str, str]:
    if group == "exporters":
        return {}
    package = importlib.import_module(f"edgedistill.{group}")
    separator = "_" if group in ("losses", "students") else "-"
    return {
        info.name.replace("_", separator): f"{package.__name__}.{info.name}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    }


@functools.cache
def _plugged_in(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"edgedistill.{group}")}


def forget() -> None:
    """Look again at what is installed (after an entry point was added in this process)."""
    for cached in (find, broken, _built_in, _plugged_in):
        cached.cache_clear()
