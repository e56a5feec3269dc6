"""Records of continuations."""

from __future__ import annotations

from edgedistill.spec import Spec


class Sample(Spec):
    """A model's continuation of one prefix."""

    text: str
    """As readable text."""
    tokens: tuple[int, ...]
