"""Packs a decision's most likely classes compactly, with the same number of bytes per decision.

Class numbers are stored in ascending order in Elias-Fano code (Elias 1974, "Efficient storage and retrieval by content
and address of static files"): low bits verbatim, high bits in unary, which has a fixed size within half a bit per
number of the optimum for a set. Log-probabilities are quantized uniformly from the most likely to the least likely kept
class, since the effect of an error on KL is weighted by the probability itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from edgedistill.arrays import Array, Floats, Integers

_WIDEST = 60.0
"""Nats below the most likely class at which classes count as impossible."""


@dataclass(frozen=True)
class PackedTopK:
    """Byte layout of K of C classes and the remaining mass at S temperatures. Shapes: R decisions.

    Args:
        classes: C.
        k: K, at most C.
        bits: bits per log-probability.
        temperatures: the S temperatures of the remaining mass.
    """

    classes: int
    k: int
    bits: int
    temperatures: int

    @property
    def bytes(self) -> int:
        """Bytes per decision: the bits padded to bytes, then 16-bit floats: the range in nats, the logs of the
        remaining mass."""
        return -(-self._bits // 8) + 2 * (1 + self.temperatures)

    def pack(self, ids_RK: Integers, log_p_RK: Floats, log_rest_RS: Floats) -> Array:  # noqa: N803
        """(R, bytes) uint8.

        Args:
            ids_RK: distinct classes, in any order.
            log_p_RK: their log-probabilities, in nats.
            log_rest_RS: log of the total probability of the other classes.
        """
        order = np.argsort(ids_RK, axis=1)
        ids, log_p = np.take_along_axis(ids_RK, order, 1), np.take_along_axis(log_p_RK, order, 1)
        below = np.minimum(log_p.max(1, keepdims=True) - log_p, _WIDEST).astype(np.float32)
        width = below.max(1, keepdims=True).astype(np.float16)
        step = np.maximum(width.astype(np.float32), 1e-6) / self._steps
        codes = np.clip(np.rint(below / step), 0, self._steps).astype(np.int64)
        high = np.zeros((len(ids), self._high), np.uint8)
        np.put_along_axis(high, (ids >> self._low) + np.arange(self.k), 1, axis=1)
        flags = np.concatenate([high, _to_bits(ids, self._low), _to_bits(codes, self.bits)], axis=1)
        floats = np.concatenate([width, np.maximum(log_rest_RS, -_WIDEST).astype(np.float16)], axis=1)
        return np.concatenate([np.packbits(flags, axis=1), floats.view(np.uint8)], axis=1)

    def unpack(self, packed: Array) -> tuple[Integers, Floats, Floats]:
        """(R, K) ascending ids; (R, K) log-probabilities relative to the most likely class; (R, S) logs of the
        remaining mass."""
        own = -(-self._bits // 8)
        flags = np.unpackbits(np.ascontiguousarray(packed[:, :own]), axis=1, count=self._bits)
        floats = np.ascontiguousarray(packed[:, own:]).view(np.float16).astype(np.float32)
        high, low, codes = np.split(flags, [self._high, self._high + self.k * self._low], axis=1)
        places = np.nonzero(high)[1].reshape(len(high), self.k) - np.arange(self.k)
        ids = (places << self._low) + _to_numbers(low, self.k, self._low)
        log_p = _to_numbers(codes, self.k, self.bits) * (-floats[:, :1] / self._steps)
        return ids, log_p.astype(np.float32), floats[:, 1:]

    @property
    def _steps(self) -> int:
        return (1 << self.bits) - 1

    @cached_property
    def _low(self) -> int:
        """Verbatim low bits of each class number."""
        return max(0, (self.classes // self.k).bit_length() - 1)

    @cached_property
    def _high(self) -> int:
        """Bits of the unary part: one for each class kept, and one for each step of the high bits."""
        return self.k + ((self.classes - 1) >> self._low)

    @property
    def _bits(self) -> int:
        return self._high + self.k * (self._low + self.bits)


def _to_bits(numbers: Integers, bits: int) -> Array:
    """(R, K * bits) the lowest bits of (R, K) numbers, as 0 and 1."""
    shifted = numbers[:, :, None] >> np.arange(bits)
    return (shifted & 1).astype(np.uint8).reshape(len(numbers), numbers.shape[1] * bits)


def _to_numbers(flags: Integers, k: int, bits: int) -> Integers:
    """The inverse of `_to_bits`."""
    return np.asarray(flags.reshape(len(flags), k, bits) @ (1 << np.arange(bits)), np.int64)
