"""Cached content hashes of files, since teachers are large."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from edgedistill.system.memory import recall, remember

_HASHES = "hashes.json"


def file_hash(file: Path) -> str:
    """sha256 of a file, cached by path, size and modification time."""
    status = file.stat()
    known = recall(_HASHES)
    key = f"{file.resolve()}:{status.st_size}:{status.st_mtime_ns}"
    if isinstance(known.get(key), str):
        return str(known[key])
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if status.st_size > 1 << 20:
        remember(_HASHES, known | {key: digest})
    return digest


def folder_hash(files: Sequence[Path]) -> str:
    """sha256 over the names and contents of files, in this order."""
    parts = [f"{file.name}:{file_hash(file)}" for file in files]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
