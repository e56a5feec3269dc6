"""Puts what a run publishes in its place: copies, which may be changed without harm to the run's steps.

`.published.json` remembers what was put there, so that what an earlier recipe published and this one doesn't is taken
away, and what is the user's own, or was changed by him, never is.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path, PurePosixPath

from edgedistill.store import artifacts

RECORD = ".published.json"


@dataclass(frozen=True)
class Stamp:
    """What was published under a name."""

    bytes: int
    mtime_ns: int
    sha256: str

    def is_of(self, file: Path) -> bool:
        """Whether a file is as it was published: by time and size, or, where a folder was copied, by its bytes."""
        status = file.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != self.bytes:
            return False
        return status.st_mtime_ns == self.mtime_ns or artifacts.sha256(file) == self.sha256


def publish(files: Mapping[str, Path], folder: Path) -> None:
    """Copy files where they are not yet, and take away what was published before and isn't now.

    Args:
        files: by the name inside of `folder`, what to copy.

    Raises:
        OSError: a path that cannot be written.
    """
    before = _read(folder / RECORD)
    now = {name: _stamp(file, before.get(name)) for name, file in files.items()}
    if before != now:  # the names are known before anything is copied: a process killed in between loses none
        _write(folder / RECORD, before | now)
    for name, file in files.items():
        artifacts.copy(file, folder / name)
    for name in before.keys() | now.keys():  # of a process that was killed while it copied
        with suppress(OSError):
            artifacts.copying(folder / name).unlink()
    for name in sorted(before.keys() - now.keys()):
        _take_away(folder, name, before[name])
    if before != now:
        _write(folder / RECORD, now)


def _take_away(folder: Path, name: str, stamp: Stamp) -> None:
    """Remove a published file that is as it was published, and the folders that are empty without it."""
    file = folder / name
    with suppress(OSError):
        if stamp.is_of(file):
            file.unlink()
            for parent in [folder / path for path in PurePosixPath(name).parents][:-1]:
                parent.rmdir()


def _stamp(file: Path, known: Stamp | None) -> Stamp:
    """The stamp of a step's file; its bytes are read only when it isn't the one that was published before."""
    status = file.stat()
    if known is not None and (known.bytes, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        return known
    return Stamp(status.st_size, status.st_mtime_ns, artifacts.sha256(file))


def _read(record: Path) -> dict[str, Stamp]:
    """The record; empty where there is none, or something else by its name."""
    try:
        content = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    found: dict[str, Stamp] = {}
    for name, stamp in content.items():
        path = PurePosixPath(name)
        inside = not path.is_absolute() and ".." not in path.parts and "\0" not in name
        if inside and isinstance(stamp, list) and [type(value) for value in stamp] == [int, int, str]:
            found[name] = Stamp(*stamp)
    return found


def _write(record: Path, stamps: Mapping[str, Stamp]) -> None:
    artifacts.write_json(record, {name: list(astuple(stamp)) for name, stamp in sorted(stamps.items())})
