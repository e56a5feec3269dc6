"""Checks user paths before opening them, since opening a pipe or device may block forever."""

from __future__ import annotations

import stat
from pathlib import Path

from edgedistill.errors import UserError

DATA_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_KINDS = {
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
}


def refuse_irregular(where: str, path: Path) -> None:
    """Refuse anything but a regular file (or a link to one), without opening it.

    Raises:
        UserError: it is something else, missing, or inaccessible.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError, RuntimeError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{where}: got '{path}', expected an existing file or folder ({reason})") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise UserError(f"{where}: got '{path}', which is {kind}; expected a regular file")


def refuse_data_path(where: str, path: Path) -> None:
    """Refuse anything but a regular file of a supported type, or a folder of such files.

    Raises:
        UserError: it is something else.
    """
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError, RuntimeError):
        is_folder = False
    if is_folder:
        for entry in sorted(path.rglob("*")):
            if not entry.is_dir():
                refuse_irregular(where, entry)
        return
    refuse_irregular(where, path)
    if path.suffix not in DATA_SUFFIXES:
        allowed = ", ".join(DATA_SUFFIXES)
        raise UserError(f"{where}: got '{path}', expected {allowed}, or a folder saved by datasets")


def lies_within(place: Path, folder: Path) -> bool:
    """Whether a file belongs to a folder after resolving links. The Hub's cache stores the files of
    `snapshots/REVISION/...` as links to `blobs`, beside `snapshots`."""
    home = folder.resolve()
    blobs = [
        ancestor.parent.parent / "blobs" for ancestor in (home, *home.parents) if ancestor.parent.name == "snapshots"
    ]
    return any(place.resolve().is_relative_to(root) for root in (home, *blobs))
