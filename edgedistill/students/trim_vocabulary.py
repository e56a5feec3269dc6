"""A student with only the tokens that its texts need: embeddings are most of a small model.

Its body is the source's, or of a decoder as deep and as wide as a number of parameters allows, as `shrink` cuts it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.contracts.decoder_layout import decoder_fault
from edgedistill.contracts.items import Items
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import Count, RoundRef
from edgedistill.students._copy import evenly
from edgedistill.students._decoder_cut import cut_decoder
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, with_shape
from edgedistill.students._depth import Choose, chosen_layers
from edgedistill.students._tokens import trimmed_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class TrimVocabularySpec(StudentSpec):
    """`trim_vocabulary`: keep the training texts' most frequent tokens: those that make up `coverage` of them, or
    `vocabulary` tokens in all."""

    init: Literal["trim_vocabulary"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    coverage: float = Field(1.0, gt=0, le=1)
    vocabulary: int | None = Field(None, ge=2)
    """Special tokens, single characters and bytes, which always stay, included."""
    parameters: Annotated[Count, Field(ge=1000)] | None = None
    """Of the whole model, which is shrunk to at most so many once its tokens are cut. None: only the tokens are."""
    choose: Choose = "block_influence"
    """With `parameters`: which of the source's layers it has."""

    @model_validator(mode="after")
    def _one_measure(self) -> TrimVocabularySpec:
        if self.vocabulary is not None and self.coverage != 1:
            raise ValueError("expected either 'coverage' or 'vocabulary'")
        return self


def make_tokenizer(spec: TrimVocabularySpec, source: Path, train: Items, folder: Path) -> list[int]:
    """As `Student.make_tokenizer` says.

    Raises:
        UserError: an algorithm that can't be trimmed, or a vocabulary that is no size for this one.
    """
    return trimmed_tokenizer(source, train, folder, spec.coverage, spec.vocabulary)


def planned(spec: TrimVocabularySpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source with so many tokens; which of them, and which layers, the data decides.

    Raises:
        UserError: what can't be shrunk, or not to so many parameters.
    """
    from edgedistill.models.sizes import with_vocabulary

    assert spec.vocabulary is not None, "the plan asks where the spec decides the size"
    config = with_vocabulary(source, range(spec.vocabulary))
    if spec.parameters is None:
        return PlannedStudent(config)
    shape = _shape(spec.parameters, config, auto_class)
    return PlannedStudent(with_shape(config, evenly(shape.layers, config.num_hidden_layers), shape))


def _shape(parameters: int, config: PreTrainedConfig, auto_class: AutoClass) -> DecoderShape:
    source = config.to_dict()
    if (fault := decoder_fault(source)) is not None:
        raise UserError(f"init: trim_vocabulary shrinks decoders, and 'from' is a '{config.model_type}', {fault}")
    return fitted(config, auto_class, parameters)


def unsuitable(spec: TrimVocabularySpec | None, source: Config) -> str | None:
    """Why a model's tokens can't be cut."""
    from edgedistill.models.architectures import fixed_layers
    from edgedistill.vocabulary.cutting import uncuttable

    shrunk = spec is not None and spec.parameters is not None
    return uncuttable(source) or ((decoder_fault(source) or fixed_layers(source)) if shrunk else None)


def build(request: StudentRequest[TrimVocabularySpec]) -> PreTrainedModel:
    """The source's weights, its token embeddings cut to the kept tokens: the same answers on text that they cover.

    Raises:
        UserError: a model whose tables don't have a row for each token, or as `planned`.
    """
    from edgedistill.models.loading import load_model
    from edgedistill.vocabulary.cutting import cut_to_tokens

    assert request.kept_tokens is not None, "the plan gives every trimmed student its tokenizer"
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    student, spec = cut_to_tokens(source, request.kept_tokens, request.auto_class), request.spec
    if spec.parameters is None:
        return student
    shape = _shape(spec.parameters, student.config, request.auto_class)
    return cut_decoder(student, request, chosen_layers(student, request, shape.layers, spec.choose), shape)


STUDENT = Student(
    api=1,
    version=2,
    spec=TrimVocabularySpec,
    build=build,
    planned=planned,
    sized=lambda spec: spec.vocabulary is not None,
    unsuitable=unsuitable,
    make_tokenizer=make_tokenizer,
)
