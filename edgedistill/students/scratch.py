"""A student with random weights, in the source's architecture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.student import Student, StudentRequest, StudentSpec

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.shapes import ModelShape


class ScratchSpec(StudentSpec):
    """`scratch`: the source's architecture and vocabulary, this depth and width, random weights."""

    init: Literal["scratch"]
    from_: str = Field("teacher", alias="from")
    layers: int = Field(ge=1)
    hidden_size: int = Field(ge=8)
    heads: int | None = Field(None, ge=1)
    """As many for the width as the source has, unless given."""
    intermediate_size: int | None = Field(None, ge=8)


def shape(spec: ScratchSpec, source: ModelShape) -> ModelShape:
    """The source's shape at these sizes."""
    return source.resized(spec.layers, spec.hidden_size, spec.heads, spec.intermediate_size)


def resizes(spec: ScratchSpec) -> dict[str, object]:
    """The sizes of its source that such a student changes."""
    return spec.model_dump(exclude={"init", "from_"})


def build(request: StudentRequest[ScratchSpec]) -> PreTrainedModel:
    """The student as its architecture initialises it.

    Raises:
        UserError: heads that don't divide the hidden size.
    """
    from edgedistill.models import load_config, resized

    spec = request.spec
    config = load_config(request.source, None, request.config_overrides)
    smaller = resized(config, range(spec.layers), spec.hidden_size, spec.heads, spec.intermediate_size)
    return request.auto_class.from_config(smaller)


STUDENT = Student(
    api=1,
    version=1,
    spec=ScratchSpec,
    build=build,
    shape=shape,
    parent=lambda spec: spec.from_,
    layers=lambda spec: spec.layers,
    resizes=resizes,
)
