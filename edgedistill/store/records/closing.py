"""Of the steps that end a run."""

from __future__ import annotations

from typing import ClassVar

from edgedistill.store.records.base import FileName, Record


class Reported(Record):
    """All figures put together, for programs and for people."""

    SCHEMA: ClassVar[str] = "reported/1"

    results: FileName
    markdown: FileName
    html: FileName


class Bundled(Record):
    """The chosen candidate as a folder that tests itself; the artifact has nothing else in it."""

    SCHEMA: ClassVar[str] = "bundled/1"

    candidate: str | None
    """None where nothing was chosen: there is no bundle then."""
