"""A student that starts as another pretrained model with the same vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.interfaces import StudentRequest
from edgedistill.spec import ModelRef, Spec

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class CheckpointSpec(Spec):
    """`checkpoint`: a hub id or folder, its tokenizer the same as the teacher's."""

    init: Literal["checkpoint"]
    model: Annotated[str, ModelRef(revision="revision")]
    revision: str = "main"
    layers: int | None = Field(None, ge=1)
    """Keep only this many of its layers, evenly spread."""


SPEC = CheckpointSpec
VERSION = 1
OWN_TOKENIZER = False


def build(request: StudentRequest) -> PreTrainedModel:
    """The pretrained student with a fresh head for the task.

    Raises:
        UserError: another vocabulary than the teacher's, or more layers asked for than it has.
    """
    from edgedistill.models import load_model, load_tokenizer, resized
    from edgedistill.students._copy import copy_layers, evenly

    spec = request.spec
    assert isinstance(spec, CheckpointSpec)
    if request.tokenizer is not None:
        _check_vocabulary(spec.model, load_tokenizer(spec.model, spec.revision), request.tokenizer)
    model = load_model(request.auto_class, spec.model, spec.revision, request.config_overrides)
    if spec.layers is None or spec.layers == model.config.num_hidden_layers:
        return model
    kept = evenly(spec.layers, model.config.num_hidden_layers)
    student = request.auto_class.from_config(resized(model.config, layers=kept))
    copy_layers(model, student, kept)
    return student


def _check_vocabulary(model: str | Path, tokenizer: PreTrainedTokenizerBase, expected: PreTrainedTokenizerBase) -> None:
    from edgedistill.errors import UserError

    own, wanted = tokenizer.get_vocab(), expected.get_vocab()
    if own != wanted:
        different = sum(own.get(token) != index for token, index in wanted.items())
        raise UserError(
            f"student.model: '{model}' has another vocabulary than the teacher ({len(own)} tokens against "
            f"{len(wanted)}, {different} of the teacher's missing or renumbered); expected a model with the same one"
        )
