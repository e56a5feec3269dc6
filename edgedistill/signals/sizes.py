"""Size of recorded signals, known in advance."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts.distribution import Form
from edgedistill.errors import UserError
from edgedistill.signals.packed_top_k import PackedTopK


@dataclass(frozen=True)
class SignalSize:
    """Size of a distribution: bytes per decision, and of the output head, stored once."""

    a_decision: int
    once: int = 0

    def of(self, decisions: float) -> float:
        """Bytes for that many decisions."""
        return self.a_decision * decisions + self.once


def distribution_size(form: Form, classes: int, hidden_size: int, k: int, bits: int, temperatures: int) -> SignalSize:
    """Size of a distribution over that many classes: float32 logits, packed rows, or states with a float32 head.

    Args:
        bits: bits per log-probability, or per entry of a state.
        temperatures: number of temperatures of the remaining mass.

    >>> distribution_size("dense", 30_522, 384, k=64, bits=8, temperatures=1)
    SignalSize(a_decision=122088, once=0)
    >>> distribution_size("top-k", 30_522, 384, k=64, bits=8, temperatures=1)
    SignalSize(a_decision=155, once=0)
    """
    if form == "dense":
        return SignalSize(4 * classes)
    if form in ("top-k", "sampled"):
        return SignalSize(PackedTopK(classes, min(k, classes), bits, temperatures).bytes)
    scale = 4 if bits == 8 else 0
    return SignalSize(hidden_size * bits // 8 + scale, 4 * classes * (hidden_size + 1))


def refuse_too_large(what: str, size: float, a_decision: int, max_gb: float) -> None:
    """Keep a recording within the budget.

    Raises:
        UserError: it would exceed the budget.
    """
    if size > max_gb * 1e9:
        raise UserError(
            f"signals.max_gb: {what} take about {size / 1e9:.3g} GB ({a_decision} bytes per decision), more than "
            f"{max_gb:g}; expected another signals.form, a smaller signals.k, or a larger signals.max_gb"
        )
