"""A handle for a step's output, planned or finished."""

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
    """A step's output, with a record of type R. Before the step has run only `step` and `key` are known, and everything
    else raises."""

    step: str
    """Name of the step."""
    key: str
    record_type: type[R]
    made: Published | None = None

    @property
    def published(self) -> Published:
        """The published folder with its manifest.

        Raises:
            RuntimeError: it does not exist yet; a bug, not a user error.
        """
        if self.made is None:
            raise RuntimeError(f"the artifact of step '{self.step}' is read before it has been built")
        return self.made

    @property
    def folder(self) -> Path:
        """Its folder."""
        return self.published.folder

    def path(self, name: str) -> Path:
        """A file or folder inside."""
        return self.published.path(name)

    @property
    def failure(self) -> Failure | None:
        """Why it is empty; None if it is not."""
        return self.published.failure

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Everything published except the record."""
        return tuple(entry for entry in self.published.manifest.files if entry.path != RECORD)

    @cached_property
    def record(self) -> R:
        """The step's record.

        Raises:
            RuntimeError: it does not exist or failed; a bug.
        """
        found = base.read(self.record_type, self.folder)
        if found is None:
            why = "failed" if self.failure is not None else f"has no record of type {self.record_type.SCHEMA}"
            raise RuntimeError(f"the artifact of step '{self.step}' {why}")
        return found

    def at(self, made: Published) -> Artifact[R]:
        """The same, finished."""
        return replace(self, made=made)
