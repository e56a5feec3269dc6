"""How a file stores a model's weights: all that its size and its latency depend on, besides the model."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts import registry
from edgedistill.contracts.precision import Mix, Precision
from edgedistill.contracts.weights import Sizing


@dataclass(frozen=True)
class FileKind:
    """A target's file in one precision, or of a mix, whatever its name. Hashable."""

    target: str
    precision: str | None
    """None: a mix."""
    parts: tuple[tuple[str, str], ...] = ()
    """The precision of each part of a mix."""
    block: int | None = None
    """Weights of a mix that share a scale, if a part is in blocks."""

    @property
    def mix(self) -> Mix | None:
        """None for a uniform precision."""
        if self.precision is not None:
            return None
        return Mix(dict(self.parts)) if self.block is None else Mix(dict(self.parts), self.block)

    @property
    def words(self) -> str:
        """For people."""
        parts = ", ".join(f"{part} {precision}" for part, precision in self.parts)
        return f"{self.target} {self.precision or f'with {parts}'}"

    @property
    def how(self) -> Precision:
        """As the target makes it."""
        found = registry.target(self.target).precision(self.precision or "mix")
        assert found is not None, "others are refused"
        return found

    @property
    def calibrated(self) -> bool:
        """Whether it needs calibration data."""
        return self.how.calibrated if self.mix is None else self.mix.calibrated

    @property
    def sizing(self) -> Sizing | None:
        """Bytes of an encoder's file, from its weights; None if not known."""
        if self.mix is None:
            return self.how.sizing
        sized = registry.target(self.target).mix_sizing
        return None if sized is None else sized(self.mix)
