"""Which runtimes are emulated: what they run is counted in instructions, for emulation says nothing about time."""

from __future__ import annotations

from edgedistill.contracts import registry
from edgedistill.errors import UserError


def emulated(runtime: str) -> bool:
    """Whether what this runtime runs is emulated, and so is counted and not timed."""
    return registry.runtime(runtime).packages.emulated is not None


def refuse_options(runtime: str, *options: object) -> None:
    """Refuse options of emulation (None: not given) for a runtime that isn't emulated.

    Raises:
        UserError: one is given.
    """
    if any(option is not None for option in options) and not emulated(runtime):
        raise UserError(f"measure: got emulation options (--emulated-...), but {runtime} is not emulated")
