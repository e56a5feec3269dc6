"""Cuts a decoder in depth and width, and optionally in vocabulary, to a number of parameters.

Removes the layers that change the hidden states least (ShortGPT, Men et al. 2024), then the least important hidden
dimensions, head groups and feed-forward neurons of the rest (Minitron, Muralidharan et al. 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts import registry
from edgedistill.contracts.decoder_layout import decoder_fault
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import Count, RoundRef
from edgedistill.students._copy import evenly
from edgedistill.students._decoder_cut import cut_decoder
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, with_shape
from edgedistill.students._depth import Choose, chosen_layers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class ShrinkSpec(StudentSpec):
    """`shrink`: cuts a decoder in depth and width to a number of parameters."""

    init: Literal["shrink"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model, a decoder (Gemma, GPT-2, Llama, Qwen)."""
    parameters: Annotated[Count, Field(ge=1000)]
    """Maximum size of the whole model, embeddings and head included. Depth and width shrink as nearly as possible in
    proportion, and feed-forward neurons use what is left of the budget."""
    choose: Choose = "block_influence"
    """How to select layers of the source."""
    vocabulary: int | None = Field(None, ge=2)
    """Vocabulary size: keep the most frequent tokens of the training texts, as `trim_vocabulary` does; null: all. The
    importance of layers and neurons is measured after the vocabulary is cut."""


def unsuitable(spec: ShrinkSpec | None, source: Config) -> str | None:
    """Only decoders of known families are supported."""
    from edgedistill.models.architectures import fixed_layers
    from edgedistill.vocabulary.cutting import uncuttable

    fault = decoder_fault(source) or fixed_layers(source)
    return fault or (uncuttable(source) if spec is not None and spec.vocabulary is not None else None)


def trims(spec: ShrinkSpec) -> StudentSpec | None:
    """Trim the vocabulary as `trim_vocabulary` does."""
    if spec.vocabulary is None:
        return None
    return registry.student("trim_vocabulary").spec.model_validate(
        {"init": "trim_vocabulary", "from": spec.from_, "vocabulary": spec.vocabulary}
    )


def planned(spec: ShrinkSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source in that shape. The data decides which layers are kept, which does not affect the size.

    Raises:
        UserError: another architecture, more parameters than the source has, or fewer than the minimum.
    """
    source = _trimmed(spec, source)
    shape = _shape(spec, source, auto_class)
    return PlannedStudent(with_shape(source, evenly(shape.layers, source.num_hidden_layers), shape))


def build(request: StudentRequest[ShrinkSpec]) -> PreTrainedModel:
    """The student, with the source's most important weights.

    Raises:
        UserError: as for `planned`; no labels for `choose: loss`.
    """
    from edgedistill.models.loading import load_model
    from edgedistill.vocabulary.cutting import cut_to_tokens

    spec = request.spec
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    if spec.vocabulary is not None:
        assert request.kept_tokens is not None, "the plan gives every trimmed student its tokenizer"
        source = cut_to_tokens(source, request.kept_tokens, request.auto_class)
    shape = _shape(spec, source.config, request.auto_class)
    return cut_decoder(source, request, chosen_layers(source, request, shape.layers, spec.choose), shape)


def _shape(spec: ShrinkSpec, source: PreTrainedConfig, auto_class: AutoClass) -> DecoderShape:
    if (fault := unsuitable(spec, source.to_dict())) is not None:
        raise UserError(f"init: shrink supports decoders, but 'from' is a '{source.model_type}', {fault}")
    return fitted(source, auto_class, spec.parameters)


def _trimmed(spec: ShrinkSpec, source: PreTrainedConfig) -> PreTrainedConfig:
    """The source's configuration with the student's number of tokens; which tokens does not affect the size.

    Raises:
        UserError: more tokens than the source has.
    """
    from edgedistill.models.sizes import with_vocabulary

    if spec.vocabulary is None:
        return source
    if spec.vocabulary > source.vocab_size:
        raise UserError(f"student.vocabulary: got {spec.vocabulary}, expected at most the source's {source.vocab_size}")
    return with_vocabulary(source, range(spec.vocabulary))


STUDENT = Student(
    api=1,
    version=3,
    spec=ShrinkSpec,
    build=build,
    planned=planned,
    unsuitable=unsuitable,
    trims=trims,
)
