"""A step's scratch folder: checkpoints that an interrupted step leaves for the next process."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

CHECKPOINT = "state.json"
"""A folder in a step's scratch with this file is a checkpoint."""


def keep_checkpoints(scratch: Path) -> None:
    """Remove everything but checkpoints from an interrupted step's scratch, and the scratch itself if there are
    none."""
    for place in scratch.glob("*"):
        if place.is_dir() and not (place / CHECKPOINT).is_file():
            shutil.rmtree(place, ignore_errors=True)
        elif not place.is_dir():
            with suppress(OSError):
                place.unlink()
    with suppress(OSError):
        scratch.rmdir()
