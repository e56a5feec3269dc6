"""A student with random weights in the source's architecture, at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.contracts.decoder_layout import DECODERS, decoder_fault
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import Count, RoundRef
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, from_nothing, with_shape

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class ScratchSpec(StudentSpec):
    """`scratch`: the source's architecture and vocabulary with the given depth and width and random weights."""

    init: Literal["scratch"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The model to take architecture and vocabulary from."""
    layers: int | None = Field(None, ge=1)
    """Transformer layers."""
    hidden_size: int | None = Field(None, ge=8)
    """Width of the hidden states."""
    parameters: Annotated[Count, Field(ge=1000)] | None = None
    """Decoders only, instead of the sizes: use those that `shrink` would cut the source to."""
    heads: int | None = Field(None, ge=1)
    """Attention heads. Default: in proportion to the width."""
    key_value_heads: int | None = Field(None, ge=1)
    """Decoders only: key-value heads. Default: in proportion to the heads."""
    head_size: int | None = Field(None, ge=2)
    """Decoders only: dimensions per head. Default: `hidden_size` divided by `heads` if those are given, else the
    source's."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the feed-forward layers. Default: in proportion to the hidden size."""

    @model_validator(mode="after")
    def _one_target(self) -> ScratchSpec:
        if self.parameters is None and (self.layers is None or self.hidden_size is None):
            raise ValueError("expected 'layers' and 'hidden_size', or, for a decoder, 'parameters'")
        sizes = (self.layers, self.hidden_size, self.heads, self.intermediate_size)
        if self.parameters is not None and any(size is not None for size in sizes):
            raise ValueError("expected 'parameters' alone: they determine all sizes")
        if self.heads is None and (self.key_value_heads is not None or self.head_size is not None):
            raise ValueError("expected 'key_value_heads' and 'head_size' only with 'heads'")
        return self


def unsuitable(spec: ScratchSpec | None, source: Config) -> str | None:
    """Sizes that only decoders have are refused for other models."""
    if spec is None or source.get("model_type") in DECODERS:
        return None
    own = {"parameters": spec.parameters, "key_value_heads": spec.key_value_heads, "head_size": spec.head_size}
    asked = next((key for key, value in own.items() if value is not None), None)
    return None if asked is None else f"and '{asked}' is for decoders only ({', '.join(sorted(DECODERS))})"


def planned(spec: ScratchSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source at another depth and width.

    Raises:
        UserError: sizes that the architecture does not support.
    """
    from edgedistill.models.sizes import resized

    if (fault := unsuitable(spec, source.to_dict())) is not None:
        raise UserError(f"init: scratch cannot build this student from a '{source.model_type}', {fault}")
    if source.model_type in DECODERS and decoder_fault(source.to_dict()) is None:
        shape = _decoder(spec, source, auto_class)
        return PlannedStudent(with_shape(source, range(shape.layers), shape))
    assert spec.layers is not None
    return PlannedStudent(resized(source, range(spec.layers), spec.hidden_size, spec.heads, spec.intermediate_size))


def _decoder(spec: ScratchSpec, source: PreTrainedConfig, auto_class: AutoClass) -> DecoderShape:
    if spec.parameters is not None:
        return fitted(source, auto_class, spec.parameters)
    assert spec.layers is not None
    assert spec.hidden_size is not None
    return from_nothing(
        source,
        spec.layers,
        spec.hidden_size,
        spec.heads,
        spec.key_value_heads,
        spec.head_size,
        spec.intermediate_size,
    )


def build(request: StudentRequest[ScratchSpec]) -> PreTrainedModel:
    """The student with its architecture's initialisation.

    Raises:
        UserError: sizes that the architecture does not support.
    """
    from edgedistill.models.loading import load_config

    spec = request.spec
    config = load_config(request.source, None, request.config_overrides)
    return request.auto_class.from_config(planned(spec, config, request.auto_class).config)


STUDENT = Student(
    api=1,
    version=3,
    spec=ScratchSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
    unsuitable=unsuitable,
)
