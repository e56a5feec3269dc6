"""A student with random weights, in the source's architecture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.student import PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.spec import RoundRef

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class ScratchSpec(StudentSpec):
    """`scratch`: the source's architecture and vocabulary, this depth and width, random weights."""

    init: Literal["scratch"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    layers: int = Field(ge=1)
    hidden_size: int = Field(ge=8)
    heads: int | None = Field(None, ge=1)
    """As many for the width as the source has, unless given."""
    intermediate_size: int | None = Field(None, ge=8)


def planned(spec: ScratchSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source at another depth and width.

    Raises:
        UserError: sizes that the architecture can't have.
    """
    from edgedistill.models.sizes import resized

    return PlannedStudent(resized(source, range(spec.layers), spec.hidden_size, spec.heads, spec.intermediate_size))


def build(request: StudentRequest[ScratchSpec]) -> PreTrainedModel:
    """The student as its architecture initialises it.

    Raises:
        UserError: sizes that the architecture can't have.
    """
    from edgedistill.models.loading import load_config

    spec = request.spec
    config = load_config(request.source, None, request.config_overrides)
    return request.auto_class.from_config(planned(spec, config, request.auto_class).config)


STUDENT = Student(
    api=1,
    version=2,
    spec=ScratchSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
)
