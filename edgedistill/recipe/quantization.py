"""The part of a recipe on precisions: uniform ones, mixes by part, and searched mixes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from edgedistill.contracts.precision import CALIBRATED, PARTS
from edgedistill.spec import Name, Spec


class Calibration(Spec):
    """Real inputs from which activation ranges are estimated, or for which weights are rounded."""

    from_: Literal["train", "unlabeled"] = Field("train", alias="from")
    """Split to take them from."""
    take: int = Field(256, ge=1)
    """Number of items, evenly spaced over the split."""
    method: Literal["minmax", "percentile", "entropy"] | None = None
    """How a range is estimated, in `onnx` files. `minmax` covers all values seen, so nothing is clipped, but one
    outlier coarsens all others; `percentile` leaves out the largest of 100,000 values, for activations with outliers;
    `entropy` clips where the quantized distribution is closest to the original, which suits convolutions. null:
    `minmax` for `onnx`, and its own for any other target."""


NO_INT3 = (
    "got 'int3', but ONNX Runtime multiplies weights of 2, 4 and 8 bits on a processor, not of 3; expected int4 or int2"
)
_ProductPrecision = Literal["fp32", "int8-dynamic", "int8-static", "int8", "int4", "int2"]


class Parts(Spec):
    """The precision of each part of an encoder, in an `onnx` file. `int8-dynamic` and `int8-static` have a scale per
    output channel and are fast; the ranges of inputs and outputs are calibrated in `int8-static`, and computed in every
    run in `int8-dynamic`. `int8`, `int4` and `int2` of products have a scale per block of weights and are small."""

    embeddings: Literal["fp32", "fp16", "int8", "int4", "int2"] = "fp32"
    """Lookup tables: words, positions, segments. `int8` has a scale per row, `int4` and `int2` one per block. Most of a
    small model with a large vocabulary, and cheap to look up in any precision."""
    attention: _ProductPrecision = "fp32"
    """Queries, keys, values and the output of the attention."""
    feed_forward: _ProductPrecision = "fp32"
    """The other products in the layers."""
    head: _ProductPrecision = "fp32"
    """The products behind the last layer: pooler and classifier."""

    @field_validator("*", mode="before")
    @classmethod
    def _in_kernels(cls, asked: object) -> object:
        return _not_int3(asked)

    def by_name(self) -> dict[str, str]:
        """The precision of each part."""
        return {part: str(getattr(self, part)) for part in PARTS}


def _not_int3(asked: object) -> object:
    if asked == "int3":
        raise ValueError(NO_INT3)
    return asked


_SearchPrecision = Literal["fp32", "int8-dynamic", "int4", "int2"]
_LOWEST_FIRST: tuple[_SearchPrecision, ...] = ("int2", "int4", "int8-dynamic", "fp32")


class SearchSpec(Spec):
    """Search the mix of an encoder's `onnx` file: the precision of the attention and the feed-forward layers of each
    layer, of the embeddings and of the head."""

    max_drop: float = Field(ge=0)
    """How much worse the primary metric may be than that of the fp32 file, on the same examples of validation, in the
    metric's units. If no mix meets it, the closest is reported and never chosen."""
    prefer: Literal["size", "latency"] = "size"
    """The smallest or the fastest such mix. For latency, files are timed in turns with the fp32 file on this machine,
    with one thread."""
    trials: int = Field(24, ge=1)
    """Maximum number of files to make and run on validation. If they do not suffice for one per unit, all layers get
    the same precision."""
    precisions: tuple[_SearchPrecision, ...] | None = None
    """Allowed precisions. null: `int4`, `int8-dynamic` and `fp32` for size, `int8-dynamic` and `fp32` for latency.
    Embedding tables have `int8` with a scale per row instead of `int8-dynamic`."""

    @field_validator("precisions", mode="before")
    @classmethod
    def _in_kernels(cls, asked: object) -> object:
        return tuple(map(_not_int3, asked)) if isinstance(asked, list | tuple) else asked

    @model_validator(mode="after")
    def _several(self) -> SearchSpec:
        asked = self.lowest_first
        if len(asked) < 2 or (self.precisions is not None and len(set(self.precisions)) < len(self.precisions)):
            raise ValueError("expected 'precisions' with at least two different ones")
        if self.prefer == "latency" and (len(asked) > 2 or "fp32" not in asked):
            raise ValueError("expected 'precisions' with fp32 and one other for 'prefer: latency'")
        return self

    @property
    def lowest_first(self) -> tuple[str, ...]:
        """The allowed precisions."""
        small: tuple[_SearchPrecision, ...] = ("int4",) if self.prefer == "size" else ()
        asked = (*small, "int8-dynamic", "fp32") if self.precisions is None else self.precisions
        return tuple(precision for precision in _LOWEST_FIRST if precision in asked)


class QuantizeSpec(Spec):
    """One precision for every exported model, or a named mix of precisions by part, given or searched. Each target has
    its own way of quantizing."""

    precision: str | None = None
    """`fp32`, `fp16`, `int8-dynamic` or `int8-static`; some targets offer more (`int8`, `int4`, `int4-gptq`,
    `int4-tables`, `int4-gptq-tables`, `int2`)."""
    name: Name | None = None
    """Of a mix: takes the precision's place in the candidate's name."""
    parts: Parts | None = None
    """A mix: the precision of each part. Only for target `onnx` and models that are not language models."""
    search: SearchSpec | None = None
    """A mix to search instead, for the same targets and models."""
    block: Literal[16, 32, 64, 128] | None = None
    """Of a mix: weights that share a scale, where a part is in blocks. Fewer are closer and larger. null: 32."""
    calibration: Calibration | None = None
    """Only for precisions that need calibration data, and mixes with a part in `int8-static`. Default: 256 items of
    `train`."""

    @model_validator(mode="after")
    def _uniform_or_mixed(self) -> QuantizeSpec:
        if self.parts is not None and self.search is not None:
            raise ValueError("expected either 'parts' or 'search': a mix is given or searched")
        if (self.precision is None) != self.mixed:
            raise ValueError("expected either 'precision', or 'name' and 'parts' or 'search'")
        if (self.name is not None) != self.mixed:
            raise ValueError("expected 'name' and 'parts' or 'search' together: a mix has no name but the given one")
        if not self.mixed and self.block is not None:
            raise ValueError("expected 'block' only with 'parts' or 'search'")
        if self.mixed and self.calibration is not None and not self.calibrated_parts:
            raise ValueError("expected no 'calibration': it is for parts in int8-static, and there are none")
        if self.parts is not None and set(self.parts.by_name().values()) == {"fp32"}:
            raise ValueError("expected a precision below fp32 for one of the 'parts' at least")
        if self.block is not None and not self.parts_in_blocks:
            raise ValueError("got 'block', but none of the precisions is in blocks")
        return self

    @property
    def mixed(self) -> bool:
        """Whether it is a mix."""
        return self.parts is not None or self.search is not None

    @property
    def parts_in_blocks(self) -> bool:
        """Whether `block` makes a difference."""
        if self.search is not None:
            return bool({"int4", "int2"} & set(self.search.lowest_first))
        if self.parts is None:
            return False
        products = {self.parts.attention, self.parts.feed_forward, self.parts.head}
        return self.parts.embeddings in ("int4", "int2") or bool(products & {"int8", "int4", "int2"})

    @property
    def calibrated_parts(self) -> bool:
        """Whether it is a mix that needs calibration data."""
        return self.parts is not None and CALIBRATED in self.parts.by_name().values()

    @property
    def id(self) -> str:
        """The precision's name, or the mix's."""
        found = self.precision or self.name
        assert found is not None
        return found
