"""Finds losses, students, quantizers, runtimes, tasks and exporters by their names in a recipe.

A built-in is one file in its folder, named as in the recipe (`kind: hidden_mse` is `losses/hidden_mse.py`, `precision:
int8-dynamic` is `quantizers/int8_dynamic.py`), and exports one object (`LOSS`, `QUANTIZER`). A third party adds one
through the entry-point group `edgedistill.FOLDER`, whose value names the object (`package.module:LOSS`). There is no
other list.

A third-party plug-in that cannot be used (its import fails, or it violates its contract) is left out of `names`, listed
with the reason in `broken`, and only raises when it is requested.
"""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast, get_args

from edgedistill.contracts.distribution import Form
from edgedistill.contracts.plugin import API, Plugin, Versioned
from edgedistill.errors import UserError

if TYPE_CHECKING:
    from edgedistill.contracts.loss import Loss, LossSpec
    from edgedistill.contracts.precision import Quantizer
    from edgedistill.contracts.runtime import Runtime
    from edgedistill.contracts.student import Student, StudentSpec
    from edgedistill.contracts.target import Target
    from edgedistill.contracts.task import Task
    from edgedistill.contracts.task_spec import TaskSpec
    from edgedistill.spec import Spec

Group = Literal["tasks", "losses", "students", "quantizers", "runtimes", "exporters"]
_EXPORTED: dict[Group, str] = {
    "tasks": "TASK",
    "losses": "LOSS",
    "students": "STUDENT",
    "quantizers": "QUANTIZER",
    "runtimes": "RUNTIME",
    "exporters": "TARGET",
}
"""Name of the object that a built-in module exports."""
_CONTRACTS = {
    "tasks": "task:Task",
    "losses": "loss:Loss",
    "students": "student:Student",
    "quantizers": "precision:Quantizer",
    "runtimes": "runtime:Runtime",
    "exporters": "target:Target",
}
"""Its class, imported by name: losses and students need pydantic, which runtimes' environments lack."""
_REASON_LENGTH = 300


class BrokenPluginError(UserError):
    """A plug-in that is installed but cannot be used."""


def task(name: str) -> Task:
    """A task. This and the next five raise `BrokenPluginError` for a plug-in that is installed but unusable, and
    `UserError` for an unknown name, suggesting the nearest known one."""
    return cast("Task", _find("tasks", name))


def loss(name: str) -> Loss[LossSpec]:
    """A loss, as `task`."""
    return cast("Loss[LossSpec]", _find("losses", name))


def student(name: str) -> Student[StudentSpec]:
    """A student initialisation, as `task`."""
    return cast("Student[StudentSpec]", _find("students", name))


def quantizer(name: str) -> Quantizer:
    """A precision of the target `onnx`, as `task`."""
    return cast("Quantizer", _find("quantizers", name))


def runtime(name: str) -> Runtime:
    """A runtime, as `task`."""
    return cast("Runtime", _find("runtimes", name))


def target(name: str) -> Target:
    """An exporter, as `task`."""
    return cast("Target", _find("exporters", name))


def task_spec(name: str) -> type[TaskSpec]:
    """The spec of a task: its own, or the plain one with its name."""
    from edgedistill.contracts.task_spec import plain

    return task(name).spec or plain(name)


def task_as(name: str, metric: str, options: Mapping[str, object]) -> TaskSpec:
    """A task's spec, reconstructed from a bundle or results.

    Args:
        options: from `TaskSpec.options`; empty for a task without options.

    Raises:
        UserError: unknown or missing options.
    """
    from pydantic import ValidationError

    try:
        return task_spec(name).model_validate_json(json.dumps({"type": name, "metric": metric, **options}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"task '{name}': options: {where}: {first['msg']}") from error


def specs(group: Literal["tasks", "losses", "students"]) -> dict[str, type[Spec]]:
    """The specs of a group's plug-ins, by name."""
    if group == "tasks":
        return {name: task_spec(name) for name in names(group)}
    find = loss if group == "losses" else student
    return {name: find(name).spec for name in names(group)}


def version(group: Literal["tasks", "losses", "students", "quantizers", "exporters"], name: str) -> int:
    """The version of a plug-in's code, which is part of the key of every step that uses it."""
    found = _find(group, name)
    assert isinstance(found, Versioned)
    return found.version


def reference(group: Group, name: str) -> str:
    """Location of a plug-in's object for `pkgutil.resolve_name`: `package.module:LOSS`.

    Processes that do not see the entry points find it this way.
    """
    _find(group, name)
    if name in (built_in := _built_in(group)):
        return built_in[name]
    return _plugged_in(group)[name].value


def names(group: Group) -> list[str]:
    """All usable names in `group`, built-in or third-party, sorted."""
    plugged_in = [name for name in _plugged_in(group) if name not in broken(group)]
    return sorted({*_built_in(group), *plugged_in})


@functools.cache
def broken(group: Group) -> dict[str, str]:
    """Unusable plug-ins of `group`: name to reason."""
    reasons: dict[str, str] = {}
    for name, point in _plugged_in(group).items():
        if (fault := _fault(group, name, point)) is not None:
            origin = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
            reasons[name] = f"the plug-in '{name}' ({group}, from {origin}) cannot be used: {fault}"
    return reasons


def needs(losses: Iterable[LossSpec]) -> frozenset[str]:
    """The union of what these losses need."""
    return frozenset(need for spec in losses for need in loss(spec.kind).needs)


def forms(losses: Iterable[LossSpec]) -> frozenset[Form]:
    """Forms of a teacher's distribution that all of these losses accept; losses without a distribution accept any."""
    readers = [found for spec in losses if "logits" in (found := loss(spec.kind)).needs]
    return frozenset[Form](get_args(Form)).intersection(*(reader.forms for reader in readers))


def nearest(name: str, known: list[str]) -> str:
    """`; did you mean 'x'?` if something in `known` is close to `name`, otherwise an empty string.

    >>> nearest("narow", ["narrow", "prune", "scratch"])
    "; did you mean 'narrow'?"
    """
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def hint(group: Group, name: str) -> str:
    """A hint for a message about an unknown name: why its plug-in is broken, or the nearest known name."""
    reason = broken(group).get(name)
    return f"; {reason}" if reason is not None else nearest(name, names(group))


def fault_in(group: Group, name: str, found: object) -> str | None:
    """Why an object cannot be used as `name` in `group`, or None."""
    kind: type[Plugin] = pkgutil.resolve_name(f"edgedistill.contracts.{_CONTRACTS[group]}")
    if not isinstance(found, kind):
        what = f"the module '{found.__name__}'" if isinstance(found, ModuleType) else f"{found!r:.80}"
        return f"it refers to {what}, expected a {kind.__name__} (package.module:{_EXPORTED[group]})"
    if found.api != API:
        return f"it was written for version {found.api} of the plug-in contracts, this edgedistill has version {API}"
    return found.fault(name)


def _find(group: Group, name: str) -> object:
    if name in (built_in := _built_in(group)):
        return pkgutil.resolve_name(built_in[name])
    if name in broken(group):
        raise BrokenPluginError(broken(group)[name])
    if name in _plugged_in(group):
        return _plugged_in(group)[name].load()
    raise UserError(f"unknown {group} '{name}'; known: {', '.join(names(group))}{nearest(name, names(group))}")


def _fault(group: Group, name: str, point: EntryPoint) -> str | None:
    """Why a third party's plug-in cannot be used, or None."""
    if name in _built_in(group):
        return f"'{name}' is built into edgedistill"
    try:
        return fault_in(group, name, point.load())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever foreign code raises costs only its own name
        words = " ".join(f"{type(error).__name__}: {error}".split())[:_REASON_LENGTH]
        return f"its import fails with {words}"


@functools.cache
def _built_in(group: Group) -> dict[str, str]:
    """Locations of the objects, by name."""
    if group == "exporters":
        return {}
    package = importlib.import_module(f"edgedistill.{group}")
    separator = "_" if group in ("losses", "students") else "-"
    return {
        info.name.replace("_", separator): f"{package.__name__}.{info.name}:{_EXPORTED[group]}"
        for info in pkgutil.iter_modules(package.__path__)
        if not info.name.startswith("_")
    }


@functools.cache
def _plugged_in(group: Group) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"edgedistill.{group}")}


def forget() -> None:
    """Rescan installed plug-ins (after an entry point was added in this process)."""
    for cached in (broken, _built_in, _plugged_in):
        cached.cache_clear()
