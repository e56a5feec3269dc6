"""What a step keeps while it works, and leaves behind for the next process when it is stopped: its checkpoints."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

CHECKPOINT = "state.json"
"""A folder of a step's scratch that has this file is a checkpoint."""


def keep_checkpoints(scratch: Path) -> None:
    """Remove all else from the scratch of a step that was interrupted, and the scratch with it when it has none."""
    for place in scratch.glob("*"):
        if place.is_dir() and not (place / CHECKPOINT).is_file():
            shutil.rmtree(place, ignore_errors=True)
        elif not place.is_dir():
            with suppress(OSError):
                place.unlink()
    with suppress(OSError):
        scratch.rmdir()
