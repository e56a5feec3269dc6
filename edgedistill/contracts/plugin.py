"""Common base of the objects that plug-ins export. Numpy only, since measuring processes read runtimes too."""

from __future__ import annotations

from dataclasses import dataclass, fields

API = 1
"""Version of the plug-in contracts. Adding a field with a default does not change it; anything else does."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plugin:
    """The one object that a plug-in's module exports.

    Args:
        api: version of the contracts that it was written for; has no default, so every plug-in must declare it.
    """

    api: int

    def fault(self, name: str) -> str | None:
        """Why it cannot be used under this name, or None."""
        functions = {field.name: str(field.type) for field in fields(self) if str(field.type).startswith("Callable")}
        for field, kind in functions.items():
            value = vars(self)[field]
            if not callable(value) and not (value is None and kind.endswith("| None")):
                return f"its {field} is {value!r:.80}, expected a function"
        return None


@dataclass(frozen=True, eq=False, kw_only=True)
class Versioned(Plugin):
    """A plug-in whose code affects what a step publishes.

    Args:
        version: raised whenever the same inputs give a different result; part of the key of every step that uses it.
    """

    version: int
