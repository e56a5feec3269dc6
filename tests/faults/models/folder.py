"""The copy of a model's folder that is damaged."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..harness import Expected

TOLERANCE = 1e-6
Json = dict[str, Any]


@dataclass
class Folder:
    """The copy that is damaged, where foreign code would leave its mark, and what must come of it."""

    path: Path
    canary: Path
    expected: Expected = "refused"
    tolerance: float = TOLERANCE
    cwd: Path | None = None

    def code(self, name: str) -> str:
        """Python that would leave a mark."""
        return f"open({str(self.canary / name)!r}, 'w').close()\n"

    def edit(self, name: str, change: Callable[[Json], object]) -> None:
        """Change a JSON file."""
        file = self.path / name
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        change(content)
        file.write_text(json.dumps(content), encoding="utf-8")

    def tensors(self, change: Callable[[dict[str, np.ndarray]], object], to: str = "model.safetensors") -> None:
        """Change the weights."""
        from safetensors.numpy import load_file, save_file

        content = load_file(self.path / "model.safetensors")
        change(content)
        save_file(
            {name: np.ascontiguousarray(each) for name, each in content.items()}, self.path / to, {"format": "pt"}
        )

    def header(self, change: Callable[[Json], object]) -> None:
        """Change the header of the weights, the bytes behind it stay."""
        file = self.path / "model.safetensors"
        raw = file.read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        content = json.loads(raw[8 : 8 + length])
        change(content)
        new = json.dumps(content).encode()
        file.write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + length :])


Mutation = Callable[[Folder, random.Random], None]


class Payload:
    """Pickles to a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.file}",))
