"""A decoder cut from the source in depth and width at once, to a number of parameters.

The layers that change the hidden states least go (ShortGPT, Men et al. 2024), then in what is left the hidden
dimensions, groups of heads and feed-forward neurons that matter least (Minitron, Muralidharan et al. 2024).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.decoder_layout import decoder_fault
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.models.architectures import fixed_layers
from edgedistill.models.loading import load_model
from edgedistill.spec import Count, RoundRef
from edgedistill.students._copy import evenly
from edgedistill.students._decoder_cut import cut_decoder
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, with_shape
from edgedistill.students._depth import Choose, chosen_layers

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class ShrinkSpec(StudentSpec):
    """`shrink`: fewer layers and narrower, as deep and as wide as a number of parameters allows."""

    init: Literal["shrink"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """A decoder (Gemma, GPT-2, Llama, Qwen)."""
    parameters: Annotated[Count, Field(ge=1000)]
    """Of the whole model, embeddings and head included; the student has at most so many. Its depth and width keep most
    nearly the same share of the source's, and feed-forward neurons take what is left."""
    choose: Choose = "block_influence"
    """Which of the source's layers it has."""


def unsuitable(spec: ShrinkSpec | None, source: Config) -> str | None:
    """What isn't a decoder of a known family can't be cut so."""
    return decoder_fault(source) or fixed_layers(source)


def planned(spec: ShrinkSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source in that shape. Which of its layers it has is decided in the data, and changes no size.

    Raises:
        UserError: another architecture, more parameters than the source has, or fewer than the least possible.
    """
    shape = _shape(spec, source, auto_class)
    return PlannedStudent(with_shape(source, evenly(shape.layers, source.num_hidden_layers), shape))


def build(request: StudentRequest[ShrinkSpec]) -> PreTrainedModel:
    """The student, its weights the source's most important ones.

    Raises:
        UserError: as `planned`; no labels for `choose: loss`.
    """
    spec = request.spec
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    shape = _shape(spec, source.config, request.auto_class)
    return cut_decoder(source, request, chosen_layers(source, request, shape.layers, spec.choose), shape)


def _shape(spec: ShrinkSpec, source: PreTrainedConfig, auto_class: AutoClass) -> DecoderShape:
    if (fault := unsuitable(spec, source.to_dict())) is not None:
        raise UserError(f"init: shrink cuts decoders, and 'from' is a '{source.model_type}', {fault}")
    return fitted(source, auto_class, spec.parameters)


STUDENT = Student(
    api=1,
    version=1,
    spec=ShrinkSpec,
    build=build,
    planned=planned,
    unsuitable=unsuitable,
)
