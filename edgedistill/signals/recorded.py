"""Signals: teacher outputs that are recorded once, memory-mapped, and read per decision.

Files are safetensors, written in parts and memory-mapped, so that signals can be larger than memory.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Booleans, Floats, Integers, Numbers
from edgedistill.errors import DiskFullError, is_disk_full

if TYPE_CHECKING:
    import torch

VALUES = "values"
"""The name of a file's only tensor."""
_ZEROS = bytes(1 << 20)
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64, "I8": np.int8, "U8": np.uint8}


def create(file: Path, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]) -> dict[str, Numbers]:
    """A new safetensors file of these tensors, mapped for writing; dtypes are `F32`, `F16`, `I64`, `I8` or `U8`.

    Raises:
        DiskFullError: no space left. Writing to a mapped file without space would kill the process.
    """
    header: dict[str, object] = {}
    end = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) * np.dtype(_DTYPES[dtypes[name]]).itemsize
        header[name] = {"dtype": dtypes[name], "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.flush()
        try:
            _allocate(stream.fileno(), 8 + len(text) + end)
        except OSError as error:
            file.unlink()
            if not is_disk_full(error):
                raise
            needed, free = (8 + len(text) + end) / 1e6, shutil.disk_usage(file.parent).free / 1e6
            raise DiskFullError(
                f"no space left on the disk of {file.parent}: {file.name} needs {needed:.1f} MB, {free:.1f} MB are free"
            ) from error
    return open_mapped(file, mode="r+")


def _allocate(descriptor: int, size: int) -> None:
    """Allocate all bytes of a file, or write zeros if the file system cannot."""
    written = os.fstat(descriptor).st_size
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_FALLOCATE:
            raise
        for offset in range(written, size, len(_ZEROS)):
            zeros = _ZEROS[: size - offset]
            while zeros:
                zeros = zeros[os.write(descriptor, zeros) :]


def open_mapped(file: Path, mode: str = "r") -> dict[str, Numbers]:
    """The tensors of a safetensors file, mapped, not read.

    Raises:
        ValueError: it is not one, or was truncated.
    """
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= file.stat().st_size - 8:
            raise ValueError(f"{file.name} is not a safetensors file, or was truncated")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    tensors: dict[str, Numbers] = {}
    for name, entry in header.items():
        shape, offset = tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
        dtype = _DTYPES[entry["dtype"]]
        if 0 in shape:
            tensors[name] = np.zeros(shape, dtype)
        else:
            tensors[name] = np.memmap(file, dtype=dtype, mode=mode, offset=offset, shape=shape)  # type: ignore[call-overload]
    return tensors


@dataclass(frozen=True)
class Shards:
    """The rows of an array stored in several consecutive files."""

    parts: tuple[Numbers, ...]

    @classmethod
    def of(cls, files: Sequence[Path], name: str = VALUES) -> Shards:
        """One tensor of each of these files, mapped."""
        return cls(tuple(open_mapped(file)[name] for file in files))

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def rows(self, numbers: Integers) -> Numbers:
        """A copy of these rows, in the order given."""
        if len(self.parts) == 1:
            return np.asarray(self.parts[0][numbers])
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        owner = np.searchsorted(starts, numbers, side="right") - 1
        out = np.empty((len(numbers), *self.parts[0].shape[1:]), self.parts[0].dtype)
        for number in np.unique(owner):
            own = owner == number
            out[own] = self.parts[number][numbers[own] - starts[number]]
        return out

    def every(self) -> Numbers:
        """All rows."""
        return self.parts[0] if len(self.parts) == 1 else np.concatenate(self.parts)


def gather(offsets: Integers, items: Sequence[int] | Integers) -> Integers:
    """Indices of all entries of these items, given offsets (N + 1,)."""
    chosen = np.asarray(items, dtype=np.int64)
    lengths = offsets[chosen + 1] - offsets[chosen]
    starts = np.repeat(offsets[chosen] - (np.cumsum(lengths) - lengths), lengths)
    return starts + np.arange(int(lengths.sum()))


@dataclass(frozen=True)
class HiddenSignal:
    """Hidden states of one teacher on one split: by layer (total tokens, H) float16."""

    layers: Mapping[int, Shards]
    offsets: Integers

    def padded(self, items: Integers, real: Booleans) -> dict[int, Floats]:
        """By layer (B, T, H) float32, zero on padding.

        Args:
            real: (B, T) True on tokens of the batch.
        """
        where = gather(self.offsets, items)
        out: dict[int, Floats] = {}
        for number, values in self.layers.items():
            rows = values.rows(where)
            block = np.zeros((*real.shape, rows.shape[1]), dtype=np.float32)
            block[real] = rows
            out[number] = block
        return out


def load_hidden(files: Sequence[Path]) -> HiddenSignal:
    """Open the recorded files, each with the offsets of its own items."""
    opened = [open_mapped(file) for file in files]
    lengths = np.concatenate([np.diff(tensors.pop("offsets")) for tensors in opened])
    layers = {int(name): Shards(tuple(tensors[name] for tensors in opened)) for name in opened[0]}
    return HiddenSignal(layers, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def to_tensor(array: NDArray[np.generic]) -> torch.Tensor:
    """A tensor with its own memory (mapped files are read-only)."""
    import torch

    return torch.from_numpy(np.array(array))
