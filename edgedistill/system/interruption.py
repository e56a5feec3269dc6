"""Ctrl-C and terminating signals as an exception, so that all clean-up code runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType


class Interrupted(BaseException):
    """A signal asked this process to end. Derived so that no library catches it by accident."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


_asked: list[int] = []


def listen() -> None:
    """Turn SIGINT, SIGTERM and SIGHUP into `Interrupted`, except those that were ignored on start."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _raise)
    sys.unraisablehook = _quiet(sys.unraisablehook)


def ignore() -> None:
    """Ignore further signals during the short remaining work."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)


def check() -> None:
    """Raise an interruption that was swallowed in a destructor or callback.

    Raises:
        Interrupted: a signal came.
    """
    if _asked:
        raise Interrupted(_asked[0])


def _raise(number: int, frame: FrameType | None) -> None:
    _asked.append(number)
    raise Interrupted(number)


def _quiet(hook: Callable[[sys.UnraisableHookArgs], object]) -> Callable[[sys.UnraisableHookArgs], None]:
    """`hook`, but silent about an interruption inside a destructor, which `check` raises again."""

    def report(unraisable: sys.UnraisableHookArgs) -> None:
        if not isinstance(unraisable.exc_value, Interrupted):
            hook(unraisable)

    return report
