"""Of the steps that let models continue the beginnings of examples."""

from __future__ import annotations

from edgedistill.spec import Spec


class Sample(Spec):
    """How a model continued one beginning."""

    text: str
    """As a person reads it."""
    tokens: tuple[int, ...]
