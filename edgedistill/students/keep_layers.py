"""A student that keeps some of the source's layers, and everything else of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.interfaces import StudentRequest
from edgedistill.spec import RoundRef, Spec
from edgedistill.students._copy import copy_layers, evenly

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class KeepLayersSpec(Spec):
    """`keep_layers`: a number of layers, evenly spread over the source's, or the listed ones (counted from 0)."""

    init: Literal["keep_layers"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    layers: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...]


SPEC = KeepLayersSpec
VERSION = 1
OWN_TOKENIZER = False


def unsuitable(source: Mapping[str, object]) -> str | None:
    """Layers that share their weights can't be kept one by one."""
    from edgedistill.architectures import shares_layers

    return "whose layers share their weights" if shares_layers(source) else None


def resizes(spec: KeepLayersSpec) -> dict[str, object]:
    """The sizes of its source that such a student changes."""
    return {"layers": spec.layers}


def build(request: StudentRequest) -> PreTrainedModel:
    """The student, its weights copied (DistilBERT, Sanh et al. 2019, section 3).

    Raises:
        UserError: a layer that the source doesn't have.
    """
    from edgedistill.errors import UserError
    from edgedistill.models import load_model, resized

    spec = request.spec
    assert isinstance(spec, KeepLayersSpec)
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    depth = source.config.num_hidden_layers
    kept = evenly(spec.layers, depth) if isinstance(spec.layers, int) else list(spec.layers)
    if not kept or max(kept) >= depth:
        raise UserError(f"student.layers: got {kept}, expected layer numbers from 0 to {depth - 1}")
    student = request.auto_class.from_config(resized(source.config, layers=kept))
    copy_layers(source, student, kept)
    return student
