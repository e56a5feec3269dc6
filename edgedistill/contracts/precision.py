"""A precision of a target's files, and the quantizers of the target `onnx`. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedistill.arrays import Arrays
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.weights import Sizing


@dataclass(frozen=True)
class Precision:
    """One precision that a target's files can have."""

    file: str
    """Name of the file that a runtime opens."""
    bytes_per_parameter: float
    made_of: tuple[str, str] | None = None
    """(target, precision) of the file it is made from; None: from the PyTorch model. The plan makes that file first,
    once, even if it is not a candidate itself."""
    calibrated: bool = False
    """Whether it needs calibration data, chosen by the recipe's `calibration`."""
    version: int = 1
    """Raised whenever it would write different bytes."""
    sizing: Sizing | None = None
    """Bytes of an encoder's file, from its weights; None: only `bytes_per_parameter` is known."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantizer(Versioned):
    """A module in `quantizers/`, or found through the entry points `edgedistill.quantizers`, exports one as
    `QUANTIZER`: one precision of the target `onnx`, made of its fp32 file.

    Args:
        version: raised whenever it would write different bytes.
        quantize: (fp32 file, file to write, calibration inputs one by one).
        sizing: bytes of an encoder's file, from its weights; None: about `bytes_per_parameter`.
    """

    file: str
    bytes_per_parameter: float
    quantize: Callable[[Path, Path, Sequence[Arrays]], None]
    calibrated: bool = False
    sizing: Sizing | None = None

    def precision(self) -> Precision:
        """The precision as the exporter offers it."""
        return Precision(
            file=self.file,
            bytes_per_parameter=self.bytes_per_parameter,
            made_of=("onnx", "fp32"),
            calibrated=self.calibrated,
            version=self.version,
            sizing=self.sizing,
        )
