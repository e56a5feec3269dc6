"""The PyTorch part of language models: a causal model from `transformers` predicting the next token.

Shapes: B items of T tokens, D decisions, V tokens of the vocabulary, H hidden size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Arrays
from edgedistill.contracts.distribution import capped
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import AutoClass, Head
from edgedistill.contracts.tensors import Tensors
from edgedistill.device.generation import generate_batch
from edgedistill.errors import UserError
from edgedistill.tasks._language_device import IDS, KEPT, LOG_P, LOG_PS, LOGITS, POSITIONS
from edgedistill.tasks._language_items import MASK, NEXT, NONE, TOKENS
from edgedistill.tasks._language_packing import FAMILIES, Packed, packed
from edgedistill.tasks._language_probe import ALONE, beginnings
from edgedistill.tasks._language_torch import TorchDecoder

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel

    from edgedistill.recipe.teacher_spec import Architecture

_ROWS = 1024
"""Number of decisions with logits in memory at once."""

_CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""A configuration's entry for the cap of the logits: of Gemma, RecurrentGemma and xLSTM."""
_FULL, _SLIDING = "full_attention", "sliding_attention"
"""Layers that see everything, and those that only see a window (`layer_types` of a configuration)."""


def auto_class() -> AutoClass:
    """`AutoModelForCausalLM`."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM  # type: ignore[no-any-return,unused-ignore]


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, items: Items, entries: Mapping[str, object]
) -> PreTrainedConfig:
    """Not supported: the vocabulary learned for a teacher from scratch cannot encode every text.

    Raises:
        UserError: always.
    """
    raise UserError(
        "teacher.scratch: 'text-generation' does not support a teacher trained from scratch; expected 'model'"
    )


def unsuitable(config: Mapping[str, object]) -> str | None:
    """Why a model is not causal."""
    if config.get("is_encoder_decoder"):
        return "an encoder-decoder architecture, expected a decoder only"
    return None


def forward(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """`logits` (B, T, V). Without positions, padding is on the right, and no token attends to it."""
    if POSITIONS in inputs:
        mask, positions = inputs[MASK], inputs[POSITIONS]
        found = model(input_ids=inputs[TOKENS], attention_mask=mask, position_ids=positions, use_cache=False)
        return {LOGITS: found.logits}
    return {LOGITS: model(input_ids=inputs[TOKENS], use_cache=False).logits}


def forward_packed(model: PreTrainedModel, inputs: Tensors) -> Tensors:
    """Like `forward`, with short items packed into one row if that saves work."""
    rows = _packed(model, inputs)
    if rows is None:
        return forward(model, inputs)
    found = model(input_ids=rows.tokens, position_ids=rows.positions, use_cache=False)
    return {LOGITS: rows.unpacked(found.logits)}


def _packed(model: PreTrainedModel, inputs: Tensors) -> Packed | None:
    known = model.config.get_text_config().model_type in FAMILIES
    return packed(inputs[TOKENS], inputs[MASK]) if known else None


def logits(outputs: Tensors, batch: Tensors) -> torch.Tensor:
    """(D, V) logits at the decisions."""
    return outputs[LOGITS][_asked(batch)]


def loss(outputs: Tensors, batch: Tensors, smoothing: float) -> torch.Tensor:
    """(D,) cross-entropy of the next token in nats; label smoothing as in Szegedy et al. 2016, section 7."""
    from torch.nn import functional

    return functional.cross_entropy(
        _full(logits(outputs, batch)), right(batch), label_smoothing=smoothing, reduction="none"
    )


def answers(outputs: Tensors, batch: Tensors) -> Tensors:
    """`log_p` (D,) of the right token, `ids` and `log_ps` (D, K) of the most likely tokens."""
    return _scored(logits(outputs, batch), right(batch))


def states(model: PreTrainedModel, batch: Tensors) -> torch.Tensor:
    """(D, H) the last hidden states, from which the logits are computed."""
    hidden: torch.Tensor = model.base_model(input_ids=batch[TOKENS], use_cache=False).last_hidden_state
    return hidden[_asked(batch)]


def states_packed(model: PreTrainedModel, batch: Tensors) -> torch.Tensor:
    """Like `states`, with short items packed into one row if that saves work."""
    rows = _packed(model, batch)
    if rows is None:
        return states(model, batch)
    found = model.base_model(input_ids=rows.tokens, position_ids=rows.positions, use_cache=False)
    return rows.unpacked(found.last_hidden_state)[_asked(batch)]


def read(
    model: PreTrainedModel,
    tokens: torch.Tensor,
    positions: torch.Tensor,
    seen: torch.Tensor,
) -> torch.Tensor:
    """(B, T, H) hidden states of tokens in one row with a custom attention mask, in which each sees at least itself."""
    masks = _masks(model, positions, seen)
    found = model.base_model(input_ids=tokens, attention_mask=masks, position_ids=positions, use_cache=False)
    states: torch.Tensor = found.last_hidden_state
    return states


def _masks(
    model: PreTrainedModel, positions: torch.Tensor, seen: torch.Tensor
) -> torch.Tensor | dict[str, torch.Tensor]:
    """A custom mask for `transformers`: one for all layers, or one for each type of layer. Masks of four dimensions are
    used as they are, so windows are applied here, by position: a branch is as near as what it stands for."""
    config = model.config.get_text_config()
    window, types = getattr(config, "sliding_window", None), getattr(config, "layer_types", None)
    if window is None or (types and _SLIDING not in types):
        return _bias(model, seen)
    near = _bias(model, seen & (positions[:, :, None] - positions[:, None, :] < window))
    return {_FULL: _bias(model, seen), _SLIDING: near} if types else near


def _bias(model: PreTrainedModel, seen: torch.Tensor) -> torch.Tensor:
    """(B, 1, T, T) added to attention scores."""
    import torch

    hidden = torch.finfo(model.dtype).min
    return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill_(~seen, hidden)[:, None]


def head(model: PreTrainedModel) -> Head:
    """The output layer.

    Raises:
        UserError: the model has none.
    """
    layer = model.get_output_embeddings()
    if layer is None:
        kind = model.config.get_text_config().model_type
        raise UserError(f"the '{kind}' model has no output layer over its vocabulary; expected a causal language model")
    return Head(layer.weight, getattr(layer, "bias", None), _cap(model))


def _cap(model: PreTrainedModel) -> float | None:
    config = model.config.get_text_config()
    return next((cap for name in _CAPS if (cap := getattr(config, name, None)) is not None), None)


def ask(model: PreTrainedModel, batch: Tensors) -> Tensors:
    """The same as `answers` of `forward`, a few decisions at a time."""
    import torch

    own, tokens, layer, cap = states_packed(model, batch), right(batch), model.get_output_embeddings(), _cap(model)
    starts = range(0, max(len(own), 1), _ROWS)
    parts = [_scored(capped(layer(own[i : i + _ROWS]), cap), tokens[i : i + _ROWS]) for i in starts]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def probe(model: PreTrainedModel, items: Items) -> Arrays:
    """Greedy continuations (P, N) of a few prefixes, those of one length together, since none needs padding there."""
    starts, count = beginnings(items)
    found = np.zeros((len(starts), count), np.int64)
    lengths = np.array([len(start) for start in starts])
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        said = generate_batch(TorchDecoder(model), [starts[number] for number in same], count)
        found[same] = np.stack(list(said), axis=1)
    return {ALONE: found}


def _scored(rows: torch.Tensor, tokens: torch.Tensor) -> Tensors:
    import torch

    log_p = torch.log_softmax(_full(rows), dim=-1)
    values, ids = log_p.topk(min(KEPT, log_p.shape[-1]), dim=-1)
    return {LOG_P: log_p.gather(-1, tokens[:, None])[:, 0], IDS: ids.to(torch.int32), LOG_PS: values}


def _asked(batch: Tensors) -> torch.Tensor:
    return batch[NEXT] != NONE


def right(batch: Tensors) -> torch.Tensor:
    """(D,) the next token."""
    return batch[NEXT][_asked(batch)].long()


def _full(rows: torch.Tensor) -> torch.Tensor:
    """float32 for half-precision tensors, in which a softmax over a vocabulary is too inaccurate."""
    return rows.float() if rows.element_size() < 4 else rows
