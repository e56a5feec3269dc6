"""A student with random weights, in the source's architecture at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.interfaces import StudentRequest
from edgedistill.spec import RoundRef, Spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class ScratchSpec(Spec):
    """`scratch`: the source's architecture and vocabulary, this depth and width, random weights."""

    init: Literal["scratch"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    layers: int = Field(ge=1)
    hidden_size: int = Field(ge=8)
    heads: int | None = Field(None, ge=1)
    """As many for the width as the source has, unless given."""
    intermediate_size: int | None = Field(None, ge=8)


SPEC = ScratchSpec
VERSION = 1
OWN_TOKENIZER = False


def resizes(spec: ScratchSpec) -> dict[str, object]:
    """The sizes of its source that such a student changes."""
    return spec.model_dump(exclude={"init", "from_"})


def build(request: StudentRequest) -> PreTrainedModel:
    """The student as its architecture initialises it.

    Raises:
        UserError: heads that don't divide the hidden size.
    """
    from edgedistill.models import load_config, resized

    spec = request.spec
    assert isinstance(spec, ScratchSpec)
    config = load_config(request.source, None, request.config_overrides)
    smaller = resized(config, range(spec.layers), spec.hidden_size, spec.heads, spec.intermediate_size)
    return request.auto_class.from_config(smaller)
