"""What the damages of several kinds share: a copy, JSON that is none, and a pickle that runs a command."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .harness import Expected

Json = dict[str, Any]


@dataclass
class DamagedFolder:
    """A copy of a folder, where foreign code would leave its mark, and what must come of it."""

    path: Path
    canary: Path
    expected: Expected = "refused"
    cwd: Path | None = None

    def edit(self, name: str, change: Callable[[Json], object]) -> None:
        """Change a JSON file."""
        file = self.path / name
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        change(content)
        file.write_text(json.dumps(content), encoding="utf-8")


class Payload:
    """Pickles to a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.file}",))


def broken_json(raw: bytes) -> list[bytes]:
    """What may stand in the place of a JSON object, and is none."""
    cut, other = raw[: len(raw) // 2], raw.decode().encode("utf-16")
    return [b"", b"{", b"[]", b"null", b"3", b'"x"', b"{} {}", b"\xff\xfe", b"[" * 50_000, cut, other]
