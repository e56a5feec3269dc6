"""What a plug-in of each group must offer, read off the protocols in `interfaces`, and what one of them lacks."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import isfunction
from types import ModuleType
from typing import get_args

from . import interfaces
from .interfaces import Need

_PROTOCOLS: Mapping[str, type] = {
    "losses": interfaces.Loss,
    "students": interfaces.StudentInitialisation,
    "quantizers": interfaces.Quantizer,
    "runtimes": interfaces.Runtime,
    "exporters": interfaces.Exporter,
}
_TAGS = {"losses": "kind", "students": "init"}
"""The field of a spec that holds the plug-in's name."""


def fault_in(group: str, name: str, module: ModuleType) -> str | None:
    """Why `module` cannot be used as `name` of `group`, or None."""
    if group == "tasks":
        return _fault_in_task(name, module)
    protocol = _PROTOCOLS[group]
    functions = [member for member, value in vars(protocol).items() if isfunction(value) and not member.startswith("_")]
    constants = [member for member in protocol.__annotations__ if member not in functions]
    if missing := [member for member in (*constants, *functions) if not hasattr(module, member)]:
        return f"it lacks {', '.join(missing)}"
    if uncallable := [member for member in functions if not callable(getattr(module, member))]:
        return f"{', '.join(uncallable)} cannot be called"
    fault = _fault_in_spec(name, module.SPEC, _TAGS[group]) if group in _TAGS else None
    return _fault_in_needs(module) if fault is None and group == "losses" else fault


def _fault_in_task(name: str, module: ModuleType) -> str | None:
    from .contracts.task import Task, TaskSpec

    task = getattr(module, "TASK", None)
    if not isinstance(task, Task):
        return f"its TASK is {task!r:.60}, expected an edgedistill.contracts.task.Task"
    if task.name != name:
        return f"its TASK is called '{task.name}', expected '{name}' as the entry point's name"
    if not (isinstance(task.spec, type) and issubclass(task.spec, TaskSpec)):
        return f"its spec is {task.spec!r}, expected a subclass of edgedistill.contracts.task.TaskSpec"
    return None


def _fault_in_spec(name: str, spec: object, tag: str) -> str | None:
    from .spec import Spec  # a measuring process has no pydantic, and runtimes no spec

    if not (isinstance(spec, type) and issubclass(spec, Spec)):
        return f"its SPEC is {spec!r}, expected a subclass of edgedistill.spec.Spec"
    field = spec.model_fields.get(tag)
    tags = get_args(field.annotation) if field is not None else ()
    if tags != (name,):
        got = ", ".join(map(str, tags)) or "none"
        return f"its SPEC's '{tag}' is {got}, expected Literal['{name}'] as the entry point's name"
    return None


def _fault_in_needs(module: ModuleType) -> str | None:
    known = get_args(Need)
    wanted = module.NEEDS
    if not isinstance(wanted, frozenset | set) or not wanted or not set(wanted) <= set(known):
        return f"its NEEDS is {wanted!r}, expected a set of {', '.join(known)}"
    return None
