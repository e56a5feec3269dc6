"""Signals: what a teacher says about an input, recorded once, memory-mapped, read by row ever after.

Files are safetensors, written row by row, so that signals larger than memory can be recorded, and mapped, so that they
can be read.
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

from .arrays import Floats, Integers
from .errors import DiskFullError, is_disk_full
from .interfaces import Rows

if TYPE_CHECKING:
    import torch

_ZEROS = bytes(1 << 20)
_NO_FALLOCATE = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_DTYPES = {"F32": np.float32, "F16": np.float16, "I64": np.int64}


def create(
    file: Path, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> dict[str, NDArray[np.generic]]:
    """A new safetensors file of these tensors, mapped for writing; dtypes are `F32`, `F16` or `I64`.

    Raises:
        DiskFullError: it has no room. A mapped file without room would end the process when it is written to.
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
    """Have the file system set all bytes of a file aside; where it can't, write zeros."""
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


def open_mapped(file: Path, mode: str = "r") -> dict[str, NDArray[np.generic]]:
    """The tensors of a safetensors file, mapped, not read.

    Raises:
        ValueError: it isn't one, or was cut.
    """
    with file.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length <= file.stat().st_size - 8:
            raise ValueError(f"{file.name} is no safetensors file, or was cut")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    tensors: dict[str, NDArray[np.generic]] = {}
    for name, entry in header.items():
        shape, offset = tuple(entry["shape"]), 8 + length + entry["data_offsets"][0]
        dtype = _DTYPES[entry["dtype"]]
        if 0 in shape:
            tensors[name] = np.zeros(shape, dtype)
        else:
            tensors[name] = np.memmap(file, dtype=dtype, mode=mode, offset=offset, shape=shape)  # type: ignore[call-overload]
    return tensors


def save_rows(rows: Rows, file: Path) -> None:
    """Write rows as safetensors: `values` (R, C) float32 and `offsets` (N + 1,)."""
    shapes = {"values": rows.values.shape, "offsets": rows.offsets.shape}
    tensors = create(file, shapes, {"values": "F32", "offsets": "I64"})
    tensors["values"][...] = rows.values
    tensors["offsets"][...] = rows.offsets


def load_rows(file: Path) -> Rows:
    """What `save_rows` wrote, mapped."""
    tensors = open_mapped(file)
    return Rows(tensors["values"], tensors["offsets"])  # type: ignore[arg-type]


def gather(offsets: Integers, items: Sequence[int] | Integers) -> NDArray[np.int64]:
    """Row numbers of these items, in order."""
    ranges = [np.arange(offsets[i], offsets[i + 1], dtype=np.int64) for i in items]
    return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)


def item_of_row(offsets: Integers) -> Integers:
    """(R,) the item that each row belongs to."""
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


@dataclass(frozen=True)
class LogitSignal:
    """Logits of one or several teachers on one split; several are averaged.

    The mean of logits is the geometric mean of the teachers' distributions, at any temperature (Hinton et al. 2015,
    section 5: "the geometric mean of the predictions").
    """

    teachers: tuple[Rows, ...]

    @property
    def offsets(self) -> Integers:
        """(N + 1,) where each item's rows begin."""
        return self.teachers[0].offsets

    def rows(self, items: Sequence[int]) -> Floats:
        """(R, C) logits of these items' rows."""
        wanted = gather(self.offsets, items)
        return np.mean([np.asarray(each.values[wanted]) for each in self.teachers], axis=0, dtype=np.float32)

    def all_rows(self) -> Floats:
        """(R, C) logits of every row of the split."""
        return self.rows(range(len(self.offsets) - 1))


@dataclass(frozen=True)
class RowValues:
    """One value for each row of a split: (R,), with the items' `offsets` (N + 1,)."""

    values: Floats
    offsets: Integers

    def rows(self, items: Sequence[int] | Integers) -> Floats:
        """The values of these items' rows, in order."""
        return self.values[gather(self.offsets, items)]


@dataclass(frozen=True)
class HiddenSignal:
    """Hidden states of one teacher on one split: by layer (total tokens, H) float16."""

    layers: Mapping[int, Floats]
    offsets: Integers

    def padded(self, items: Sequence[int], length: int) -> dict[int, Floats]:
        """By layer (B, T, H) float32, zero where there is no token."""
        out: dict[int, Floats] = {}
        for number, values in self.layers.items():
            block = np.zeros((len(items), length, values.shape[1]), dtype=np.float32)
            for row, item in enumerate(items):
                states = values[self.offsets[item] : self.offsets[item + 1]][:length]
                block[row, : len(states)] = states
            out[number] = block
        return out


def load_hidden(file: Path) -> HiddenSignal:
    """What the recording step wrote."""
    tensors = open_mapped(file)
    offsets = tensors.pop("offsets")
    return HiddenSignal({int(name): values for name, values in tensors.items()}, offsets)  # type: ignore[misc,arg-type]


def load_embedding(file: Path) -> Floats:
    """(N, E) embeddings that the recording step wrote, mapped."""
    return open_mapped(file)["values"]  # type: ignore[return-value]


def to_tensor(array: NDArray[np.generic]) -> torch.Tensor:
    """A tensor with memory of its own (a mapped file is read-only)."""
    import torch

    return torch.from_numpy(np.array(array))
