"""Caches between commands, under `~/.cache/edgedistill`: only what can be recomputed."""

from __future__ import annotations

import json
import os
from pathlib import Path

_MOST = 500


def recall(name: str) -> dict[str, object]:
    """The cached values under a name; empty if the file is missing or invalid."""
    return object_in(place_of(name))


def object_in(file: Path) -> dict[str, object]:
    """The JSON object in a file; empty if missing or invalid."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remember(name: str, content: dict[str, object]) -> None:
    """Store the last entries. A cache that cannot be written only costs time."""
    file = place_of(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(dict(list(content.items())[-_MOST:])), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        pass


def place_of(name: str) -> Path:
    """The file of the values under a name."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedistill" / name
