"""One handle for what a step makes: planned, or made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

from edgedistill.store.artifacts import Failure, FileEntry, Published
from edgedistill.store.records import base
from edgedistill.store.records.base import RECORD, Record

R = TypeVar("R", bound=Record, covariant=True)


@dataclass(frozen=True)
class Artifact(Generic[R]):
    """What a step makes, with a record of type R. A plan holds it before it is made; then only `step` and `key` are
    known, and the rest raises."""

    step: str
    """Name of the step."""
    key: str
    record_type: type[R]
    made: Published | None = None

    @property
    def published(self) -> Published:
        """The published folder with its manifest.

        Raises:
            RuntimeError: it isn't made yet; a mistake of this program, not of its user.
        """
        if self.made is None:
            raise RuntimeError(f"the artifact of step '{self.step}' is read before it has been built")
        return self.made

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.published.folder

    def path(self, name: str) -> Path:
        """A file or folder inside."""
        return self.published.path(name)

    @property
    def failure(self) -> Failure | None:
        """Why there is nothing in it; None when there is."""
        return self.published.failure

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """All that was published but the record."""
        return tuple(entry for entry in self.published.manifest.files if entry.path != RECORD)

    @cached_property
    def record(self) -> R:
        """What the step said of it.

        Raises:
            RuntimeError: it isn't made, or failed; a mistake of this program.
        """
        found = base.read(self.record_type, self.folder)
        if found is None:
            why = "failed" if self.failure is not None else f"has no record of type {self.record_type.SCHEMA}"
            raise RuntimeError(f"the artifact of step '{self.step}' {why}")
        return found

    def at(self, made: Published) -> Artifact[R]:
        """The same, made."""
        return replace(self, made=made)
