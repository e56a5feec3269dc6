"""Records of a run's final steps."""

from __future__ import annotations

from typing import ClassVar

from edgedistill.store.records.base import FileName, Record


class Reported(Record):
    """All figures combined, for programs and people."""

    SCHEMA: ClassVar[str] = "reported/1"

    results: FileName
    markdown: FileName
    html: FileName


class Bundled(Record):
    """The chosen candidate as a self-testing folder; the artifact contains nothing else."""

    SCHEMA: ClassVar[str] = "bundled/1"

    candidate: str | None
    """None if nothing was chosen, and so there is no bundle."""
