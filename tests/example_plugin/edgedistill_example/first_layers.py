"""A student initialisation: the source's first layers, with embeddings and head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.student import PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.spec import RoundRef

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class FirstLayersSpec(StudentSpec):
    """`first_layers`: keeps the first `layers` layers."""

    init: Literal["first_layers"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    layers: int = Field(ge=1)


def planned(spec: FirstLayersSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The configuration, for the plan."""
    from edgedistill.models.sizes import resized

    return PlannedStudent(resized(source, range(spec.layers)))


def build(request: StudentRequest[FirstLayersSpec]) -> PreTrainedModel:
    """The student, with the source's weights of the same names."""
    from edgedistill.models.loading import load_model

    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    student = request.auto_class.from_config(planned(request.spec, source.config, request.auto_class).config)
    weights = source.state_dict()
    student.load_state_dict({name: weights[name] for name in student.state_dict()})
    return student


STUDENT = Student(
    api=1,
    version=1,
    spec=FirstLayersSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
)
