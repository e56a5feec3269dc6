"""Artifacts: folders with a manifest. A folder is whole or it does not exist."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from .errors import EdgedistillError, RefusedError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact: its path inside the folder, size and content hash."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Failure:
    """Why something isn't there: it failed and is tried again by the next run, or it cannot be done at all."""

    reason: str
    state: Literal["failed", "refused"] = "failed"

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """What is recorded and shown of an error that costs a candidate."""
        words = str(error)
        if not isinstance(error, EdgedistillError):
            words = f"a library failed at something that it does not explain [{type(error).__name__}: {error}]"
        return cls(" ".join(words.split())[:600], "refused" if isinstance(error, RefusedError) else "failed")


@dataclass(frozen=True)
class Manifest:
    """What made an artifact and what is in it."""

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
    """What is missing in it, by candidate; the whole of it under the step's own name."""
    flawed_inputs: Mapping[str, str] = field(default_factory=dict)
    """By role, the flaws of the inputs that it was made of; with others it is made again."""


@dataclass(frozen=True)
class Artifact:
    """A published folder."""

    folder: Path
    manifest: Manifest

    @property
    def failure(self) -> Failure | None:
        """Why there is nothing in it; None when there is."""
        return self.manifest.failures.get(self.manifest.step)

    @property
    def flaw(self) -> str | None:
        """Names what is missing and what is there instead; None when nothing is missing."""
        if not self.manifest.failures:
            return None
        content = [
            {name: asdict(failure) for name, failure in self.manifest.failures.items()},
            [entry.sha256 for entry in self.manifest.files],
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]

    def path(self, name: str) -> Path:
        """A file or folder inside."""
        return self.folder / name

    def read_json(self, name: str) -> dict[str, object]:
        """A JSON file inside."""
        content: dict[str, object] = json.loads(self.path(name).read_text(encoding="utf-8"))
        return content


def file_entries(folder: Path) -> tuple[FileEntry, ...]:
    """Every file below `folder` with its size and sha256, but the manifest."""
    entries = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name != MANIFEST:
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            entries.append(FileEntry(name, file.stat().st_size, digest))
    return tuple(entries)


def publish(partial: Path, final: Path, manifest: Manifest) -> Artifact:
    """Write the manifest last, then rename: the folder appears whole."""
    write_json(partial / MANIFEST, asdict(manifest))
    if final.exists():  # damaged: `read` refused it, so it is being made again
        shutil.rmtree(final)
    partial.rename(final)
    return Artifact(final, manifest)


def read(folder: Path, *, verify_hashes: bool = False) -> Artifact | None:
    """The artifact in `folder`, or None when it isn't there, or a file is missing or has another size (or hash)."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    files = tuple(FileEntry(**entry) for entry in content.pop("files"))
    failures = {name: Failure(**each) for name, each in content.pop("failures", {}).items()}
    for entry in files:
        file = folder / entry.path
        if not file.is_file() or file.stat().st_size != entry.bytes:
            return None
        if verify_hashes:
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != entry.sha256:
                    return None
    return Artifact(folder, Manifest(files=files, failures=failures, **content))


def write_json(file: Path, content: object) -> None:
    """Write JSON under a temporary name, then rename."""
    write_text(file, json.dumps(content, indent=1, ensure_ascii=False, sort_keys=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write text under a temporary name, then rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f"{file.name}.partial")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def link(source: Path, destination: Path) -> None:
    """Put `source` at `destination` without a second copy where the file system can; replaces what was there."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    if destination.exists() and os.path.samefile(source, destination):
        return
    temporary = destination.with_name(f"{destination.name}.partial")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copy2(source, temporary)
    temporary.replace(destination)
