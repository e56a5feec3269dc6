"""Artifacts: folders with a manifest, published atomically."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from edgedistill.errors import EdgedistillError, RefusedError, in_words

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MANIFEST = "manifest.json"
_FICLONE = 0x40049409
"""From Linux's linux/fs.h."""


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact: its path inside the folder, size and content hash."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Failure:
    """Why something is missing: it failed and the next run tries again, or it is not supported."""

    reason: str
    state: Literal["failed", "refused"] = "failed"

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The record of an error that drops a candidate."""
        words = in_words(error)
        if not isinstance(error, EdgedistillError):
            words = f"a library failed without an explanation [{words}]"
        return cls(" ".join(words.split())[:600], "refused" if isinstance(error, RefusedError) else "failed")


@dataclass(frozen=True)
class Manifest:
    """An artifact's origin and contents."""

    step: str
    kind: str
    key: str
    settings: Mapping[str, object]
    inputs: Mapping[str, str]
    files: tuple[FileEntry, ...]
    versions: Mapping[str, str]
    machine: str
    seconds: float
    peak_rss_mb: float
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """What is missing in it, by candidate; under the step's own name if everything is."""
    content: str = ""
    """Hash of its contents without timings of the work itself, so that rebuilding the same contents gives the same
    hash."""
    input_contents: Mapping[str, str] = field(default_factory=dict)
    """Content hashes of its inputs by role; other inputs lead to another folder."""


@dataclass(frozen=True)
class Published:
    """A published folder."""

    folder: Path
    manifest: Manifest

    @property
    def failure(self) -> Failure | None:
        """Why it is empty; None if it is not."""
        return self.manifest.failures.get(self.manifest.step)

    def path(self, name: str) -> Path:
        """A file or folder inside."""
        return self.folder / name


def file_entries(folder: Path) -> tuple[FileEntry, ...]:
    """Every file in `folder` except the manifest, with size and sha256."""
    entries = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            entries.append(FileEntry(name, file.stat().st_size, sha256(file)))
    return tuple(entries)


def content_of(files: Sequence[FileEntry], failures: Mapping[str, Failure], volatile: Sequence[str] = ()) -> str:
    """sha256 over names and bytes of files, and over failures.

    Args:
        volatile: patterns of files with timings, which otherwise only contain what follows from the rest.
    """
    kept = [
        [entry.path, entry.sha256] for entry in files if not any(fnmatch(entry.path, pattern) for pattern in volatile)
    ]
    missing = {name: asdict(failure) for name, failure in failures.items()}
    return hashlib.sha256(json.dumps([kept, missing], sort_keys=True).encode()).hexdigest()


def read(folder: Path, *, verify_hashes: bool = False) -> Published | None:
    """The artifact in `folder`, or None if it or its manifest is missing or invalid, or a file is missing or has
    another size (or hash). Unless it failed, it has at least a record."""
    manifest = read_manifest(folder)
    if manifest is None or not (manifest.files or manifest.failures):
        return None
    for entry in manifest.files:
        file = folder / entry.path
        try:
            if not file.is_file() or file.stat().st_size != entry.bytes:
                return None
            if verify_hashes and sha256(file) != entry.sha256:
                return None
        except OSError:
            return None
    return Published(folder, manifest)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`, or None if it is missing or invalid."""
    file = folder / MANIFEST
    try:
        if not file.is_file():  # reading a pipe would block
            return None
        manifest = _adapter().validate_json(file.read_bytes(), strict=True)
    except (OSError, ValueError):
        return None
    names = [PurePosixPath(entry.path) for entry in manifest.files]
    if any(name.is_absolute() or ".." in name.parts or "\0" in str(name) for name in names):
        return None
    return manifest


@functools.cache
def _adapter() -> TypeAdapter[Manifest]:
    from pydantic import TypeAdapter

    return TypeAdapter(Manifest)


def sha256(file: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk if possible."""
    flags = os.O_RDONLY | (getattr(os, "O_DIRECTORY", 0) if path.is_dir() else 0)
    try:
        descriptor = os.open(path, flags)
    except PermissionError:  # Windows cannot open folders
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(file: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename."""
    write_text(file, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write text under a temporary name, then rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(file)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def copy(source: Path, destination: Path) -> None:
    """Replace `destination` with a copy of `source` that can be changed independently.

    The bytes are shared (a reflink) if the file system supports it. The modification time is the source's, which
    identifies a copy later; the mode follows the umask.
    """
    destination.parent.mkdir(parents=True, exist_ok=True)
    if is_copy(source, destination):
        return
    temporary = copying(destination)
    temporary.unlink(missing_ok=True)
    try:
        with source.open("rb") as read_from, temporary.open("wb") as write_to:
            if not _reflink(read_from.fileno(), write_to.fileno()):
                shutil.copyfileobj(read_from, write_to, 1 << 20)
        status = source.stat()
        os.utime(temporary, ns=(status.st_mtime_ns, status.st_mtime_ns))
        temporary.replace(destination)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def copying(destination: Path) -> Path:
    """The name of an incomplete copy."""
    return destination.with_name(f"{destination.name}.partial")


def is_copy(source: Path, destination: Path) -> bool:
    """Whether `destination` is a separate file with the size and modification time that `copy` gave it."""
    try:
        own, made = destination.lstat(), source.stat()
    except OSError:
        return False
    same = (own.st_size, own.st_mtime_ns) == (made.st_size, made.st_mtime_ns)
    return destination.is_file() and same and not destination.is_symlink() and not os.path.samestat(own, made)


def _reflink(source: int, destination: int) -> bool:
    """Share the bytes of one open file with another, if the file system supports it."""
    try:
        import fcntl

        fcntl.ioctl(destination, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True
