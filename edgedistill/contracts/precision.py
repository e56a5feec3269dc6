"""A precision of a target's files, mixes of precisions by part, and the quantizers of the target `onnx`. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgedistill.arrays import Arrays
from edgedistill.contracts.plugin import Versioned

PartName = Literal["embeddings", "attention", "feed_forward", "head"]
"""The parts of a transformer: tables, and a product between them and the first layer; queries, keys, values and output;
the other products in the layers; the products behind the last layer."""
PARTS: tuple[PartName, ...] = ("embeddings", "attention", "feed_forward", "head")


@dataclass(frozen=True)
class Mix:
    """The precision of each part of a model."""

    parts: Mapping[PartName, str]
    """Parts that are not named stay fp32."""
    block: int = 32
    """Weights that share a scale, where the precision is in blocks."""

    def of(self, part: PartName) -> str:
        """A part's precision."""
        return self.parts.get(part, "fp32")


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
    methods: tuple[str, ...] = ()
    """Calibration methods that a recipe can choose from, the default first; none if the target has its own."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantizer(Versioned):
    """A module in `quantizers/`, or found through the entry points `edgedistill.quantizers`, exports one as
    `QUANTIZER`: one precision of the target `onnx`, made of its fp32 file.

    Args:
        version: raised whenever it would write different bytes.
        quantize: (fp32 file, file to write, calibration inputs one by one).
        methods: the same by calibration method, if it has several; `quantize` is the first of them.
    """

    file: str
    bytes_per_parameter: float
    quantize: Callable[[Path, Path, Sequence[Arrays]], None]
    calibrated: bool = False
    methods: Mapping[str, Callable[[Path, Path, Sequence[Arrays]], None]] = field(default_factory=dict)

    def precision(self) -> Precision:
        """The precision as the exporter offers it."""
        return Precision(
            file=self.file,
            bytes_per_parameter=self.bytes_per_parameter,
            made_of=("onnx", "fp32"),
            calibrated=self.calibrated,
            version=self.version,
            methods=tuple(self.methods),
        )
