"""A student that keeps some of the source's layers and everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import RoundRef
from edgedistill.students._copy import copy_layers, evenly
from edgedistill.students._depth import Choose, chosen_layers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class KeepLayersSpec(StudentSpec):
    """`keep_layers`: keeps some of the source's layers, by number or by index."""

    init: Literal["keep_layers"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model."""
    layers: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...]
    """The number of layers, or a list of layers, counted from 0."""
    choose: Choose = "evenly"
    """How to select the layers when `layers` is a number."""

    @model_validator(mode="after")
    def _chosen_once(self) -> KeepLayersSpec:
        if self.choose != "evenly" and not isinstance(self.layers, int):
            raise ValueError(f"expected 'layers' to be a number with 'choose: {self.choose}', got a list")
        return self


def unsuitable(spec: KeepLayersSpec | None, source: Config) -> str | None:
    """Layers that share weights or depend on their index cannot be kept individually; and measured importance must not
    affect the student's size."""
    from edgedistill.models.architectures import fixed_layers

    if spec is not None and spec.choose != "evenly" and source.get("heads_by_layer"):
        return f"whose layers differ in size, so that 'choose: {spec.choose}' would determine the student's size"
    return fixed_layers(source)


def planned(spec: KeepLayersSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source with fewer layers.

    Raises:
        UserError: a layer that the source does not have.
    """
    from edgedistill.models.sizes import resized

    return PlannedStudent(resized(source, _kept(spec, source)))


def depth(spec: KeepLayersSpec) -> int:
    """Number of layers to keep."""
    return spec.layers if isinstance(spec.layers, int) else len(spec.layers)


def build(request: StudentRequest[KeepLayersSpec]) -> PreTrainedModel:
    """The student, with copied weights (DistilBERT, Sanh et al. 2019, section 3).

    Raises:
        UserError: a layer that the source does not have.
    """
    from edgedistill.models.loading import load_model
    from edgedistill.models.sizes import resized

    spec = request.spec
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    kept = _kept(spec, source.config)
    if isinstance(spec.layers, int):
        kept = chosen_layers(source, request, spec.layers, spec.choose)
    student = request.auto_class.from_config(resized(source.config, kept))
    copy_layers(source, student, kept)
    return student


def _kept(spec: KeepLayersSpec, source: PreTrainedConfig) -> list[int]:
    depth = source.num_hidden_layers
    kept = evenly(spec.layers, depth) if isinstance(spec.layers, int) else list(spec.layers)
    if not kept or max(kept) >= depth:
        raise UserError(f"student.layers: got {kept}, expected layer numbers from 0 to {depth - 1}")
    return kept


STUDENT = Student(
    api=1,
    version=1,
    spec=KeepLayersSpec,
    build=build,
    planned=planned,
    layers=depth,
    unsuitable=unsuitable,
)
