"""Contents of a safetensors file from its header alone: names, dtypes and shapes."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedistill.errors import UserError

_FLOATING = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class StoredTensor:
    """One tensor as its file's header describes it."""

    dtype: str
    shape: tuple[int, ...]
    file: str

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def floating(self) -> bool:
        """Whether it is a floating-point type that torch supports."""
        return self.dtype in _FLOATING


def stored_tensors(files: Sequence[Path], name: str) -> dict[str, StoredTensor]:
    """Every tensor of a model's weight files.

    Args:
        name: the model as the user named it, for the message.

    Raises:
        UserError: a file is not valid safetensors (header, dtypes, offsets, length), or a tensor occurs twice.
    """
    found: dict[str, StoredTensor] = {}
    for file in files:
        for tensor, stored in _of_file(file, name).items():
            if tensor in found:
                raise UserError(
                    f"{name}: {tensor} is both in {found[tensor].file} and in {file.name}; expected it once"
                )
            found[tensor] = stored
    return found


def _of_file(file: Path, name: str) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy"):
            pass  # opening checks the header against the file
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length), object_pairs_hook=_once)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise UserError(f"{name}: {file.name} is not a valid safetensors file: {one_line(error)}") from error
    header.pop("__metadata__", None)
    return {tensor: StoredTensor(facts["dtype"], tuple(facts["shape"]), file.name) for tensor, facts in header.items()}


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        repeated = sorted({key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1})
        raise ValueError(f"{repeated[0]!r:.80} occurs more than once in its header")
    return content


def one_line(error: BaseException) -> str:
    """An error's message on one line of at most 300 characters; its type if the message is empty."""
    text = " ".join(str(error).split())[:300].rstrip(" .")
    return f"{type(error).__name__}: {text}" if isinstance(error, KeyError | AttributeError) or len(text) < 8 else text
