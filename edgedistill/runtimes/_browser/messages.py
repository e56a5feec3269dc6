"""Messages between the page and its server: one line of JSON, then the raw bytes of the described arrays.

JSON alone would turn NaN into null, and NaN outputs of a model must be visible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]


def pack(header: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """A message; arrays of any shape, little-endian, in C order."""
    described = [
        {"name": name, "dtype": array.dtype.name, "shape": list(array.shape)} for name, array in arrays.items()
    ]
    line = json.dumps({**header, "arrays": described}) + "\n"
    return line.encode() + b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())


def unpack(message: bytes) -> tuple[dict[str, object], Arrays]:
    """The header, and writable copies of the arrays by name, in order."""
    place = message.index(b"\n") + 1
    header = json.loads(message[:place])
    arrays: Arrays = {}
    for entry in header.pop("arrays"):
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["shape"])
        count = int(np.prod(shape, dtype=np.int64))
        arrays[entry["name"]] = np.frombuffer(message, dtype, count, place).reshape(shape).copy()
        place += count * dtype.itemsize
    return header, arrays
