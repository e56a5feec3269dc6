"""What is remembered between commands, below `~/.cache/edgedistill`: only what can be found out again."""

from __future__ import annotations

import json
import os
from pathlib import Path

_MOST = 500


def recall(name: str) -> dict[str, object]:
    """What is remembered under a name; nothing where the file is none, or isn't there."""
    return object_in(_file(name))


def object_in(file: Path) -> dict[str, object]:
    """The JSON object in a file; empty where there is none, or something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remember(name: str, content: dict[str, object]) -> None:
    """Keep the last entries. A memory that can't be written costs time, nothing else."""
    file = _file(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(dict(list(content.items())[-_MOST:])), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        pass


def _file(name: str) -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgedistill" / name
