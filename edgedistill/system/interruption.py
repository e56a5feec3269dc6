"""Ctrl-C and the signals that end a process, as an exception: everything that cleans up does, wherever it comes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType


class Interrupted(BaseException):
    """A signal asked this process to end. No library takes it for something of its own."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


_asked: list[int] = []


def listen() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted`, but those that the caller of this process had ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)
    sys.unraisablehook = _quiet(sys.unraisablehook)


def ignore() -> None:
    """Take no further signal: what is left to do is short."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raise what a library has swallowed: an exception in a destructor or a callback goes no further.

    Raises:
        Interrupted: a signal came.
    """
    if _asked:
        raise Interrupted(_asked[0])


def _raise(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise Interrupted(number)


def _quiet(hook: Callable[[sys.UnraisableHookArgs], object]) -> Callable[[sys.UnraisableHookArgs], None]:
    """`hook`, but nothing is printed of an interruption that came inside a destructor: `check` raises it again."""

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)

    return report
