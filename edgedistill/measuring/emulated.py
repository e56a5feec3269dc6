"""Emulated runtimes, for which instructions are counted, since emulation says nothing about time."""

from __future__ import annotations

from edgedistill.contracts import registry
from edgedistill.errors import UserError


def emulated(runtime: str) -> bool:
    """Whether this runtime is emulated, so that instructions are counted instead of time."""
    return registry.runtime(runtime).packages.emulated is not None


def refuse_options(runtime: str, *options: object) -> None:
    """Refuse emulation options (None: not given) for a runtime that is not emulated.

    Raises:
        UserError: one is given.
    """
    if any(option is not None for option in options) and not emulated(runtime):
        raise UserError(f"measure: got emulation options (--emulated-...), but {runtime} is not emulated")
