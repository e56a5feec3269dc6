"""A run's folder: made and held by one process at a time, and cleared of what killed ones left."""

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
    """Make the folder, see that it can be written, and hold it; what the system refuses in it becomes a sentence.

    Raises:
        UserError: it cannot be made or written, or another process works in it.
        DiskFullError: no room.
        EdgedistillError: the system refuses something else.
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
    UserError: it cannot be made there.
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
    """Hold the run folder's lock; the operating system frees it when the process dies, however it dies. Who holds it
    may hold it again.

    Raises:
        UserError: another process does.
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
    """Remove what killed processes left: half-written artifacts and files, and, in a store of the run's own, the
    checkpoints of steps that are not in the plan. In another store they may be those of another run."""
    for left_over in folder.glob("*.partial"):
        with suppress(OSError):
            left_over.unlink()
    store.sweep()
    if is_own(folder, store):
        store.forget_scratch([step.key for step in plan.steps])
