"""Specs distinguished by a tag: a loss's `kind`, a student's `init`, a task's `type`."""

from __future__ import annotations

from typing import get_args

from edgedistill.spec import Spec


def fault_in_tag(spec: object, base: type[Spec], tag: str, name: str) -> str | None:
    """Why this is not a spec for a plug-in of that name, or None."""
    if not (isinstance(spec, type) and issubclass(spec, base)):
        return f"its spec is {spec!r}, expected a subclass of {base.__module__}.{base.__name__}"
    tags = get_args(spec.model_fields[tag].annotation)
    if tags != (name,):
        got = ", ".join(map(str, tags)) or "none"
        return f"its spec's '{tag}' is {got}, expected Literal['{name}'], the entry point's name"
    return None
