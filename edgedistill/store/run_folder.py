"""A run folder: created and locked by one process at a time, and cleared of leftovers of killed ones."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgedistill.errors import UserError, is_disk_full, of_system, shortened
from edgedistill.store.listing import STEPS, is_own
from edgedistill.store.step import StepSequence
from edgedistill.store.store import Store

EVENTS = "events.jsonl"
_LOCK, _HOLDER = ".lock", ".lock.holder"


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Create the folder, check that it is writable, and lock it; operating system errors in it become messages.

    Raises:
        UserError: it cannot be created or written, or another process uses it.
        DiskFullError: no space left.
        EdgedistillError: another operating system error.
    """
    try:
        _make(folder)
        with only_writer(folder):
            if (folder / EVENTS).exists() and not (folder / EVENTS).is_file():
                raise UserError(
                    f"{folder / EVENTS}: is not a regular file; remove it, or give another folder with --out"
                )
            yield
    except OSError as error:
        raise of_system(error, folder) from error
    except (ValueError, RuntimeError) as error:
        if not str(error).startswith(("embedded null", "Symlink loop")):
            raise
        raise UserError(f"--out: got {shortened(str(folder), 200)!r}, which is not a valid path: {error}") from error


def _make(folder: Path) -> None:
    """Raises:
    UserError: it cannot be created there.
    """
    try:
        (folder / STEPS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        place = shortened(str(error.filename or folder), 300)
        raise UserError(f"--out: {place} cannot be created: {error.strerror}") from error


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock, which the operating system releases when the process dies. Reentrant.

    Raises:
        UserError: another process holds it.
    """
    from filelock import FileLock, Timeout

    holder = folder / _HOLDER
    lock = FileLock(folder / _LOCK, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        who = "another process"
        with suppress(OSError):
            who = holder.read_text(encoding="utf-8", errors="replace")[:200]
        raise UserError(f"{folder} is in use by {who}; wait for it, or give another folder with --out") from None
    try:
        if lock.lock_counter == 1:
            holder.write_text(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):
                holder.unlink(missing_ok=True)
        lock.release()


def tidy(folder: Path, plan: StepSequence, store: Store) -> None:
    """Remove leftovers of killed processes: partial artifacts and files and, in the run's own store, checkpoints of
    steps that are not in the plan. In a shared store they may belong to another run."""
    for left_over in folder.glob("*.partial"):
        with suppress(OSError):
            left_over.unlink()
    store.sweep()
    if is_own(folder, store):
        store.forget_scratch([step.key for step in plan.steps])
