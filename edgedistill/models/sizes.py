"""Sizes of transformers models: read from a configuration under uniform names, counted, and changed.

optimum's `NormalizedConfig` and transformers' `attribute_map` map each architecture's attribute names; others are
registered here.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from optimum.utils import NormalizedConfig, NormalizedConfigManager, NormalizedTextConfig

from edgedistill.contracts.model_shape import ModelShape
from edgedistill.errors import UserError
from edgedistill.models.loading import embedding_shape, parameter_count

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel

_FEED_FORWARD = {
    "codegen": "n_inner",
    "ctrl": "dff",
    "distilbert": "hidden_dim",
    "falcon": "ffn_hidden_size",
    "funnel": "d_inner",
    "gpt2": "n_inner",
    "gpt_bigcode": "n_inner",
    "gptj": "n_inner",
    "opt": "ffn_dim",
    "reformer": "feed_forward_size",
    "xlnet": "d_inner",
}
"""The attribute with the feed-forward width, which optimum does not cover, if it is not `intermediate_size`."""
_REGISTERED = {
    "perceiver": {
        "num_layers": "num_self_attends_per_block",
        "hidden_size": "d_latents",
        "num_attention_heads": "num_self_attention_heads",
    }
}
# Attributes with one entry per layer.
_BY_LAYER = ("layer_types", "heads_by_layer", "neurons_by_layer", "attention_window", "mlp_layer_types")
# Widths that usually equal the hidden size.
_SAME_WIDTH = ("embedding_size", "pooler_hidden_size")
_HEAD_WIDTHS = ("head_dim", "d_head")
# In addition to names ending with `_token_id`.
_LISTS_OF_TOKENS = ("suppress_tokens", "begin_suppress_tokens")
C = TypeVar("C", "PreTrainedConfig", "GenerationConfig")


def shape_of(config: PreTrainedConfig) -> ModelShape:
    """The size of a model from its configuration; `parameters` is None.

    Raises:
        UserError: it does not give the number of layers or their width.
    """
    named = normalized(config)
    layers, hidden_size = _size(named, "num_layers", "num_hidden_layers"), _size(named, "hidden_size")
    if layers is None or hidden_size is None:
        raise UserError(
            f"the configuration of a '{config.model_type}' does not give its number of layers and their width; "
            "expected an architecture with layers of equal width"
        )
    positions = _size(named, "max_position_embeddings")
    return ModelShape(
        layers=layers,
        hidden_size=hidden_size,
        heads=_size(named, "num_attention_heads") or 1,
        vocabulary=_size(named, "vocab_size") or 0,
        embedding_size=_size(named, "embedding_size") or hidden_size,
        heads_by_layer=tuple(getattr(config, "heads_by_layer", ())),
        neurons_by_layer=tuple(getattr(config, "neurons_by_layer", ())),
        architecture=config.model_type,
        key_value_heads=_size(named, "num_key_value_heads"),
        intermediate_size=_size(named, "intermediate_size"),
        positions=positions if positions and positions > 0 else None,  # -1 in XLNet: unlimited
    )


def described(model: PreTrainedModel) -> ModelShape:
    """The size of a model: from its configuration, with its actual token embeddings and parameter count.

    Raises:
        UserError: as for `shape_of`.
    """
    shape = replace(shape_of(model.config), parameters=parameter_count(model))
    rows, width = embedding_shape(model) or (shape.vocabulary, shape.embedding_size)
    return replace(shape, vocabulary=rows, embedding_size=width)


def normalized(config: PreTrainedConfig) -> NormalizedConfig:
    """A configuration with sizes under optimum's names, and the feed-forward width as `intermediate_size`; for a
    multimodal model, that of its text part."""
    inner = config.get_text_config()
    kind = inner.model_type
    try:
        named = NormalizedConfigManager.get_normalized_config_class(kind)
    except KeyError:  # transformers' `attribute_map` covers most others
        named = NormalizedTextConfig
    more = _REGISTERED.get(kind, {})
    return named(inner, allow_new=True, intermediate_size=_feed_forward(inner), **more)


def resized(
    config: PreTrainedConfig,
    layers: Sequence[int],
    hidden_size: int | None = None,
    heads: int | None = None,
    intermediate_size: int | None = None,
) -> PreTrainedConfig:
    """A copy of `config` with these layers (indices in the original) and widths; None keeps the original.

    Raises:
        UserError: heads that do not divide the hidden size, a new width for a model with layers of different sizes, or
            a feed-forward width for an architecture without one.
    """
    smaller = copy.deepcopy(config)
    smaller.num_hidden_layers = len(layers)
    for name in _BY_LAYER:
        if isinstance(by_layer := getattr(config, name, None), list | tuple) and by_layer:
            # A student from scratch may have more layers than its source: repeat the pattern.
            setattr(smaller, name, [by_layer[i % len(by_layer)] for i in layers])
    if hidden_size is not None:
        refuse_unequal_layers(config)
        _set_width(smaller, hidden_size, heads, intermediate_size)
        count = getattr(smaller, "num_attention_heads", 1)
        if smaller.hidden_size % count:
            raise UserError(
                f"student.heads: got {count}, expected a divisor of hidden_size "
                f"{smaller.hidden_size} (for example {math.gcd(smaller.hidden_size, config.num_attention_heads)})"
            )
    return smaller


def refuse_unequal_layers(config: PreTrainedConfig) -> None:
    """The width of a model with layers of different sizes cannot be changed.

    Raises:
        UserError: it is one.
    """
    if getattr(config, "heads_by_layer", None):
        raise UserError(
            "student.from: a pruned model has layers of different sizes, so its width cannot be changed; "
            "expected another model, or init: prune, keep_layers or trim_vocabulary"
        )


def with_vocabulary(config: PreTrainedConfig, kept: Sequence[int]) -> PreTrainedConfig:
    """A copy of `config` for these tokens of its vocabulary, special ones renumbered."""
    smaller = renumbered(config, kept)
    smaller.vocab_size = len(kept)
    return smaller


def renumbered(config: C, kept: Sequence[int]) -> C:
    """A copy of a model's or its generation configuration with every token id replaced by its index in `kept`; None, or
    dropped from a list, if it is not kept."""
    new = {old: number for number, old in enumerate(kept) if old >= 0}  # the others are added bytes
    changed = copy.deepcopy(config)
    for name in config.to_dict():
        if not name.endswith("_token_id") and name not in _LISTS_OF_TOKENS:
            continue
        old = getattr(config, name, None)
        if isinstance(old, int):
            setattr(changed, name, new.get(old))
        elif isinstance(old, list):
            setattr(changed, name, [new[token] for token in old if token in new])
    return changed


def _set_width(config: PreTrainedConfig, hidden_size: int, heads: int | None, intermediate_size: int | None) -> None:
    """Change a configuration to this width, including everything that depends on it."""
    old = config.hidden_size
    ratio = hidden_size / old
    for name in _SAME_WIDTH:  # a different value is an independent size, which stays
        if getattr(config, name, None) == old:
            setattr(config, name, hidden_size)
    _set_feed_forward(config, ratio, intermediate_size)
    config.hidden_size = hidden_size
    before = getattr(config, "num_attention_heads", None)
    if before is None:
        return
    config.num_attention_heads = heads or max(1, round(before * ratio))
    shared = getattr(config, "num_key_value_heads", None)
    if shared is not None:
        config.num_key_value_heads = math.gcd(config.num_attention_heads, max(1, round(shared * ratio)))
    for name in _HEAD_WIDTHS:
        if vars(config).get(name) == old // before:  # Falcon derives it from the others
            setattr(config, name, hidden_size // config.num_attention_heads)


def _set_feed_forward(config: PreTrainedConfig, ratio: float, asked: int | None) -> None:
    """Set the requested feed-forward width, or scale it; a multiple of the hidden size adapts automatically."""
    name = _feed_forward(config)
    if not hasattr(config, name):
        if asked is not None:
            raise UserError(
                f"student.intermediate_size: got {asked}, but a '{config.model_type}' has no separate feed-forward "
                "width; expected none"
            )
        return
    width = getattr(config, name)
    if asked is not None or width is not None:
        setattr(config, name, asked or round(width * ratio))


def _feed_forward(config: PreTrainedConfig) -> str:
    return _FEED_FORWARD.get(config.model_type, "intermediate_size")


def _size(named: NormalizedConfig, *names: str) -> int | None:
    """The first of these sizes that is set to an integer."""
    found = (getattr(named, name, None) for name in names)
    return next((value for value in found if isinstance(value, int)), None)
