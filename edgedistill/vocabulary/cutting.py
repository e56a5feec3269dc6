"""Cuts a model to some of its tokens: token embeddings, output head, and any other table with one row per token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.vocabulary.trimming import ADDED_BYTE

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def uncuttable(source: Mapping[str, object]) -> str | None:
    """Why a model with this `config.json` cannot be cut to some tokens, as the end of a sentence; or None."""
    if source.get("vocab_size_per_layer_input") is not None:
        return "which has a token table per layer"
    if "text_config" in source:
        return "which has more components than its text model"
    return None


def cut_to_tokens(source: PreTrainedModel, kept: Sequence[int], auto_class: AutoClass) -> PreTrainedModel:
    """The source with each token table cut to the kept tokens; tied weights stay tied.

    Special tokens are renumbered in its model and generation configuration. A byte that the source lacks begins as the
    mean of the kept tokens, whose logit is far below the likely ones' (Hewitt 2021, "Initializing New Word Embeddings
    for Pretrained Language Models").

    Args:
        kept: token ids in their new order, or `ADDED_BYTE`.

    Raises:
        UserError: a model whose tables do not have one row per token.
    """
    from edgedistill.models.sizes import renumbered, with_vocabulary

    if (reason := uncuttable(source.config.to_dict())) is not None:
        kind = source.config.model_type
        raise UserError(f"init: trim_vocabulary cannot trim a '{kind}', {reason}; expected a single token table")
    student = auto_class.from_config(with_vocabulary(source.config, kept))
    given, rows = source.state_dict(), source.config.vocab_size
    weights = {
        name: _cut(name, given[name], target, kept, rows, source.config.model_type)
        for name, target in student.state_dict().items()
    }
    student.load_state_dict(weights)
    if source.can_generate():
        student.generation_config = renumbered(source.generation_config, kept)
    return student


def _cut(
    name: str, value: torch.Tensor, target: torch.Tensor, kept: Sequence[int], rows: int, kind: str
) -> torch.Tensor:
    import torch

    other = [axis for axis in range(value.ndim) if value.shape[axis] != target.shape[axis]]
    if not other:
        return value
    if len(other) > 1 or value.shape[other[0]] != rows or target.shape[other[0]] != len(kept):
        raise UserError(
            f"init: trim_vocabulary cannot trim a '{kind}' whose '{name}' has the shape {tuple(value.shape)}, expected "
            f"one row for each of {rows} tokens"
        )
    axis, ids = other[0], torch.tensor(kept, device=value.device)
    cut = value.index_select(axis, ids.clamp(min=0))
    added = (ids == ADDED_BYTE).nonzero().flatten()
    mean = value.index_select(axis, ids[ids != ADDED_BYTE]).mean(axis, keepdim=True)
    return cut.index_copy(axis, added, mean.repeat_interleave(len(added), axis))
