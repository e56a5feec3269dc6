"""A precision of a target's files, mixes of precisions by part, and the quantizers of the target `onnx`. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from edgedistill.arrays import Arrays
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.weights import Sizing

PartName = Literal["embeddings", "attention", "feed_forward", "head"]
"""The parts of a transformer: tables, and a product between them and the first layer; queries, keys, values and output;
the other products in the layers; the products behind the last layer."""
PARTS: tuple[PartName, ...] = ("embeddings", "attention", "feed_forward", "head")

CALIBRATED = "int8-static"
"""The precision of a part that needs calibration data."""
BLOCK = 32
"""Weights of a mix that share a scale, unless told otherwise."""


@dataclass(frozen=True)
class Mix:
    """The precision of each part of a model, or of a part of one layer."""

    parts: Mapping[str, str]
    """By `unit_name`; a layer's own takes precedence over that of all layers, and what is not named stays fp32."""
    block: int = BLOCK
    """Weights that share a scale, where the precision is in blocks."""

    def of(self, part: PartName, layer: int | None = None) -> str:
        """A part's precision, in one layer."""
        return self.parts.get(unit_name(part, layer), self.parts.get(part, "fp32"))

    @property
    def calibrated(self) -> bool:
        """Whether it needs calibration data."""
        return CALIBRATED in self.parts.values()


def unit_name(part: PartName, layer: int | None) -> str:
    """A part of one layer, or of all.

    >>> unit_name("attention", 3), unit_name("head", None)
    ('attention.3', 'head')
    """
    return part if layer is None else f"{part}.{layer}"


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
    sizing: Sizing | None = None
    """Bytes of an encoder's file, from its weights; None: only `bytes_per_parameter` is known."""


@dataclass(frozen=True)
class Grid:
    """The numbers that can be stored in a few bits: whole multiples of a scale, 0 always among them."""

    bits: int
    shared_by: Literal["item", "tensor", "channel"] | int
    """Numbers with the same scale: an item of the batch, a whole tensor, an output channel, or that many in a row."""
    ends: Literal["range", "symmetric", "lowest"]
    """What the ends of the grid are: the smallest and largest number (and 0), or of least squared error if several in a
    row share a scale; plus and minus the largest magnitude; or, at the lowest level only, the number of largest
    magnitude."""


@dataclass(frozen=True)
class Arithmetic:
    """What a file rounds when it computes, so that a student can train with the same rounding."""

    weights: Grid
    """Of products with a constant matrix, (outputs, inputs)."""
    inputs: Grid
    """Inputs of these products, in every run."""
    tables: Grid
    """Lookup tables, (rows, width)."""
    vectors: bool
    """Whether this includes products of one vector per item, such as a pooler's and a classification head's."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Quantizer(Versioned):
    """A module in `quantizers/`, or found through the entry points `edgedistill.quantizers`, exports one as
    `QUANTIZER`: one precision of the target `onnx`, made of its fp32 file.

    Args:
        version: raised whenever it would write different bytes.
        quantize: (fp32 file, file to write, calibration inputs one by one).
        arithmetic: what its files round, for stages that train for this precision; None: not supported.
        methods: the same by calibration method, if it has several; `quantize` is the first of them.
        sizing: bytes of an encoder's file, from its weights; None: about `bytes_per_parameter`.
    """

    file: str
    bytes_per_parameter: float
    quantize: Callable[[Path, Path, Sequence[Arrays]], None]
    calibrated: bool = False
    arithmetic: Arithmetic | None = None
    methods: Mapping[str, Callable[[Path, Path, Sequence[Arrays]], None]] = field(default_factory=dict)
    sizing: Sizing | None = None

    def precision(self) -> Precision:
        """The precision as the exporter offers it."""
        return Precision(
            file=self.file,
            bytes_per_parameter=self.bytes_per_parameter,
            made_of=("onnx", "fp32"),
            calibrated=self.calibrated,
            version=self.version,
            methods=tuple(self.methods),
            sizing=self.sizing,
        )
