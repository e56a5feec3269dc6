"""The measuring process itself: its memory, its cores, its end."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
"""From Linux's linux/prctl.h."""


def status_mb(field: str, process: str = "self") -> float | None:
    """A memory figure from `/proc/PROCESS/status`, in 10^6 bytes; None except on Linux, and if the process has none."""
    try:
        lines = Path("/proc", process, "status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = (int(line.split()[1]) for line in lines if line.startswith(field + ":"))
    return next((figure * 1024 / 1e6 for figure in kib), None)


def reset_peak() -> bool:
    """Reset the peak resident memory."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def pin(threads: int) -> None:
    """Pin this process to as many cores as it has threads."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: max(1, min(threads, len(allowed)))])


def die_with_parent() -> None:
    """Have the kernel end this process when its parent is killed, even while it is busy. Except on Linux it only ends
    when it reads its next command."""
    if sys.platform == "linux":
        try:
            import ctypes

            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        except (ImportError, OSError, AttributeError):  # not supported by this interpreter or C library
            return
