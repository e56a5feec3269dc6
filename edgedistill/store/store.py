"""The store: a folder of artifacts that any number of runs and processes, on any number of machines, can write to
concurrently.

An artifact's path consists of its step's key and the contents of its inputs:

    STORE/0f6c...-93ab.../                  an artifact, whole from the moment that it is there
    STORE/0f6c...-93ab...-failed-77aa.../   one in which something is missing, because it failed: tried again by others
    STORE/0f6c...-93ab....HOST-PID-XX.partial/   one that is being made
    STORE/scratch/0f6c...-93ab.../          checkpoints of a step that is being made, or was interrupted
    STORE/locks/0f6c...-93ab....lock        held while its artifact is made

The key says what the inputs were to be made of, not their bytes, and training twice need not give the same bytes. With
the contents of the inputs in its name nothing in a store gets stale: what is made of other bytes lies elsewhere, and
whoever reads an artifact goes on reading it. Nothing that is whole is ever replaced or removed; what is damaged is
moved aside by whoever makes it again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.store import artifacts
from edgedistill.store.artifacts import MANIFEST, Manifest, Published
from edgedistill.store.scratch import keep_checkpoints

if TYPE_CHECKING:
    from filelock import BaseFileLock

_SCRATCH, _LOCKS = "scratch", "locks"
_KEY, _CONTENT = 32, 16
_PLACE = re.compile(rf"[0-9a-f]{{{_KEY}}}-[0-9a-f]{{{_CONTENT}}}")
_PATIENCE_S = 1.0


@dataclass(frozen=True)
class Place:
    """An artifact's address in a store: a step's key, and the contents of its inputs by role."""

    key: str
    input_contents: Mapping[str, str]

    @property
    def name(self) -> str:
        """Name of its folder: prefixes of two sha256, together 192 bits."""
        contents = json.dumps(dict(self.input_contents), sort_keys=True)
        return f"{self.key[:_KEY]}-{hashlib.sha256(contents.encode()).hexdigest()[:_CONTENT]}"


def folder_name(manifest: Manifest) -> str:
    """The name of an artifact's folder in every store."""
    place = Place(manifest.key, manifest.input_contents).name
    return f"{place}-failed-{manifest.content[:_CONTENT]}" if manifest.failures else place


class Store:
    """The artifacts in one folder.

    Args:
        folder: created on the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def find(self, place: Place, *, verify_hashes: bool = False) -> Published | None:
        """The artifact at that address without failures; None if it is missing or damaged.

        Args:
            verify_hashes: read every byte instead of only comparing names and sizes.
        """
        found = self.read(place.name, verify_hashes=verify_hashes)
        return found if found is not None and found.manifest.key == place.key else None

    def read(self, name: str, *, verify_hashes: bool = False) -> Published | None:
        """The artifact in the folder of that name; None if it is missing, damaged, or belongs elsewhere."""
        found = artifacts.read(self.folder / name, verify_hashes=verify_hashes)
        return found if found is not None and folder_name(found.manifest) == name else None

    @contextmanager
    def only_maker(self, place: Place, waiting: Callable[[], None]) -> Iterator[None]:
        """Lock the address, so that no other process builds its artifact too; look for it again after acquiring the
        lock. On exit, however it ends, no partial artifact remains, and only checkpoints of unfinished steps remain in
        scratch. The operating system releases the lock when the process dies.

        Args:
            waiting: called about every second while another process holds the lock; an exception in it ends the wait.
        """
        from filelock import Timeout

        lock = self._lock(place.name)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_PATIENCE_S)
            except Timeout:
                waiting()
        try:
            self._tidy(place.name)  # the lock was free, so the process that left it is dead
            yield
        finally:
            self._tidy(place.name)
            lock.release()

    def begin(self, place: Place) -> Path:
        """A new folder for this attempt, with a unique name."""
        partial = self._partial(place.name)
        partial.mkdir(parents=True)
        return partial

    def scratch(self, place: Place) -> Path:
        """The folder for checkpoints of a running step; used only by the holder of the lock."""
        folder = self.folder / _SCRATCH / place.name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self, partial: Path, manifest: Manifest) -> Published:
        """Write the manifest last and rename, after flushing everything to disk: the folder appears atomically, with
        modes from the umask (some libraries write files that only their owner can read).

        If two processes publish at one address, the second discards its own artifact and uses the first. A damaged
        artifact is moved aside first, so that readers never see part of it.
        """
        final = self.folder / folder_name(manifest)
        _finish(partial, manifest)
        while True:
            if os.path.lexists(final):
                if (there := self.read(final.name, verify_hashes=True)) is not None:
                    shutil.rmtree(partial)
                    return there
                self._discard(final)
            try:
                partial.rename(final)
            except OSError:
                if not os.path.lexists(final):
                    raise
            else:
                artifacts.sync(final.parent)
                return Published(final, manifest)

    def sweep(self) -> None:
        """Remove partial artifacts of killed processes, and their scratch if the artifact exists by now; anything in
        use stays."""
        for left_over in self.folder.glob("*.partial"):
            if (place := _PLACE.match(left_over.name)) is not None:
                with self._when_free(place[0]) as free:
                    if free:
                        _remove(left_over)
        for scratch in (self.folder / _SCRATCH).glob("*"):
            if self.read(scratch.name) is not None:
                with self._when_free(scratch.name) as free:
                    if free:
                        _remove(scratch)

    def forget_scratch(self, keys: Collection[str]) -> None:
        """Remove the checkpoints of all steps except those with these keys and those in progress."""
        wanted = {key[:_KEY] for key in keys}
        for scratch in (self.folder / _SCRATCH).glob("*"):
            if scratch.name[:_KEY] not in wanted:
                with self._when_free(scratch.name) as free:
                    if free:
                        _remove(scratch)

    def _tidy(self, name: str) -> None:
        for left_over in self.folder.glob(f"{name}*.partial"):
            _remove(left_over)
        scratch = self.folder / _SCRATCH / name
        if self.read(name) is None:
            keep_checkpoints(scratch)
        else:
            _remove(scratch)

    @contextmanager
    def _when_free(self, name: str) -> Iterator[bool]:
        """Lock an address briefly, if it is free."""
        from filelock import Timeout

        lock = self._lock(name)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def _lock(self, name: str) -> BaseFileLock:
        from filelock import FileLock

        (self.folder / _LOCKS).mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / _LOCKS / f"{name}.lock")

    def _partial(self, name: str) -> Path:
        host = re.sub(r"[^A-Za-z0-9-]+", "-", platform.node())[:32]
        return self.folder / f"{name}.{host}-{os.getpid()}-{secrets.token_hex(4)}.partial"

    def _discard(self, path: Path) -> None:
        """Move aside whatever is there, then remove it."""
        aside = self._partial(path.name)
        with suppress(FileNotFoundError):  # another process moved it first
            path.rename(aside)
        _remove(aside)


def _finish(partial: Path, manifest: Manifest) -> None:
    """Write the manifest, set file modes, and flush everything to disk."""
    artifacts.write_json(partial / MANIFEST, asdict(manifest))
    mode = (partial / MANIFEST).stat().st_mode & 0o666
    for entry in manifest.files:
        file = partial / entry.path
        if file.stat().st_mode & 0o666 != mode:
            file.chmod(mode | file.stat().st_mode & 0o111)
        artifacts.sync(file)
    artifacts.sync(partial / MANIFEST)
    artifacts.sync(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
