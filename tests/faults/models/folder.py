"""The copy of a model's folder that is damaged."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..damaged import DamagedFolder, Json

TOLERANCE = 1e-6


@dataclass
class Folder(DamagedFolder):
    """The copy of a model's folder."""

    tolerance: float = TOLERANCE

    def code(self, name: str) -> str:
        """Python that would leave a mark."""
        return f"open({str(self.canary / name)!r}, 'w').close()\n"

    def tensors(self, change: Callable[[dict[str, np.ndarray]], object], to: str = "model.safetensors") -> None:
        """Change the weights."""
        from safetensors.numpy import load_file, save_file

        content = load_file(self.path / "model.safetensors")
        change(content)
        save_file(
            {name: np.ascontiguousarray(array) for name, array in content.items()}, self.path / to, {"format": "pt"}
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
