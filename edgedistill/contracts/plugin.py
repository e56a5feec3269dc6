"""What the objects that plug-ins export have in common. Numpy only: runtimes are read in a measuring process too."""

from __future__ import annotations

from dataclasses import dataclass, fields

API = 1
"""The contracts of this edgedistill. A field that is added with a default leaves it as it is; all else raises it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plugin:
    """The one object that a plug-in's module exports.

    Args:
        api: the contracts that it was written for; no default, since it is the plug-in that must say so.
    """

    api: int

    def fault(self, name: str) -> str | None:
        """Why this cannot be used under that name, or None."""
        functions = {field.name: str(field.type) for field in fields(self) if str(field.type).startswith("Callable")}
        for field, kind in functions.items():
            value = vars(self)[field]
            if not callable(value) and not (value is None and kind.endswith("| None")):
                return f"its {field} is {value!r:.80}, expected a function"
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Versioned(Plugin):
    """A plug-in whose code decides what a step publishes.

    Args:
        version: raised whenever it would make something else of the same inputs; it is part of the key of every step
            that uses it.
    """

    version: int
