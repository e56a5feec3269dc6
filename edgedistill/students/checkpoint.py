"""A student initialised from another pretrained model with the same vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.spec import ModelRef
from edgedistill.students._copy import copy_layers, evenly

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_TEACHER = "teacher"
"""The recipe's teacher, whose tokens the data of such a student is always in."""


class CheckpointSpec(StudentSpec):
    """`checkpoint`: a pretrained model with the same tokenizer as the teacher."""

    init: Literal["checkpoint"]
    model: Annotated[str, ModelRef(revision="revision")]
    """A model id on the Hub, or a folder."""
    revision: str = "main"
    """Branch, tag or commit of a Hub model."""
    layers: int | None = Field(None, ge=1)
    """Number of evenly spaced layers to keep. Default: all."""


def planned(spec: CheckpointSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The pretrained model with the requested number of layers.

    Raises:
        UserError: more layers requested than it has.
    """
    from edgedistill.models.sizes import resized

    if spec.layers is None:
        return PlannedStudent(source)
    return PlannedStudent(resized(source, evenly(spec.layers, source.num_hidden_layers)))


def unsuitable(spec: CheckpointSpec | None, source: Config) -> str | None:
    """Layers that share weights or depend on their index cannot be kept individually."""
    from edgedistill.models.architectures import fixed_layers

    cut = spec is not None and spec.layers is not None
    return fixed_layers(source) if cut else None


def build(request: StudentRequest[CheckpointSpec]) -> PreTrainedModel:
    """The pretrained student with a new head for the task.

    Raises:
        UserError: other tokens than the teacher's, fewer embeddings than tokens, or more layers requested than it has.
    """
    from edgedistill.models.loading import load_model

    spec = request.spec
    if request.tokenizer is not None:
        _refuse_other_tokens(request, request.tokenizer)
    model = load_model(request.auto_class, spec.model, spec.revision, request.config_overrides)
    if spec.layers is None or spec.layers == model.config.num_hidden_layers:
        return model
    kept = evenly(spec.layers, model.config.num_hidden_layers)
    student = request.auto_class.from_config(planned(spec, model.config, request.auto_class).config)
    copy_layers(model, student, kept)
    return student


def _refuse_other_tokens(request: StudentRequest[CheckpointSpec], expected: PreTrainedTokenizerBase) -> None:
    """Check that it reads texts as the teacher does, and has an embedding for every token."""
    from edgedistill.models.loading import embedding_rows, load_tokenizer
    from edgedistill.models.tokenizer_checks import refuse_more_tokens_than_rows
    from edgedistill.vocabulary.agreement import Reader, shared_tokens

    spec = request.spec
    own = load_tokenizer(spec.model, spec.revision)
    teacher = Reader(_TEACHER, expected.backend_tokenizer, None)
    shared_tokens(teacher, Reader(spec.model, own.backend_tokenizer, None), request.texts)
    rows = embedding_rows(request.auto_class, spec.model, spec.revision)
    if rows is not None:
        refuse_more_tokens_than_rows(own, rows, f"student.model: '{spec.model}'")


STUDENT = Student(
    api=1,
    version=1,
    spec=CheckpointSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
    unsuitable=unsuitable,
)
