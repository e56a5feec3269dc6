"""Finds losses, students, quantizers, runtimes, tasks and exporters by the name a recipe gives them.

A built-in is one file in its folder, named as the recipe names it (`kind: hidden_mse` is `losses/hidden_mse.py`,
`precision: int8-dynamic` is `quantizers/int8_dynamic.py`). A third party adds one through the entry-point group
`edgedistill.FOLDER`. There is no other list to keep.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Literal, Protocol

from .errors import UserError


class HasKind(Protocol):
    """A loss's spec."""

    @property
    def kind(self) -> str: ...


Group = Literal["tasks", "losses", "students", "quantizers", "runtimes", "exporters"]


def names(group: Group) -> list[str]:
    """All names known in `group`, built in or plugged in, sorted."""
    return sorted({*_built_in(group), *_plugged_in(group)})


@functools.cache
def find(group: Group, name: str) -> ModuleType:
    """The module that `name` stands for in `group`.

    Raises:
        UserError: no such name, with the nearest known one.
    """
    if name in (built_in := _built_in(group)):
        return importlib.import_module(built_in[name])
    if name in (plugged_in := _plugged_in(group)):
        module = plugged_in[name].load()
        if not isinstance(module, ModuleType):
            raise UserError(f"entry point '{name}' of edgedistill.{group} must name a module, got {module!r}")
        return module
    raise UserError(f"unknown {group} '{name}'; known: {', '.join(names(group))}{nearest(name, names(group))}")


def needs(losses: Iterable[HasKind]) -> frozenset[str]:
    """What these losses ask for, together."""
    return frozenset(need for loss in losses for need in find("losses", loss.kind).NEEDS)


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` when something in `known` is close to `name`, otherwise an empty string."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


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
    for cached in (find, _built_in, _plugged_in):
        cached.cache_clear()
