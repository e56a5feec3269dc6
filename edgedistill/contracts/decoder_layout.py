"""Where each family of decoders keeps its weights, and which size of the model each axis of a weight has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Axis = Literal["hidden", "query", "key_value", "joined", "neurons", "whole"]
"""`query` and `key_value` are heads x head size; `joined` is queries, keys and values in one; `whole` is never cut (the
vocabulary, the dimensions of one head, classes)."""
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class DecoderLayout:
    """A family of decoders. Names inside a layer are relative to it, others to the body."""

    layer: Mapping[str, Axes]
    """The axes of every weight that a layer may have."""
    body: Mapping[str, Axes]
    """And of those that the body has outside its layers."""
    attention_in: str
    """A projection that reads the normalised hidden states, before attention."""
    attention_out: str
    """The projection whose inputs are heads x head size."""
    feed_forward_in: str
    """A projection that reads the normalised hidden states, before the feed-forward neurons."""
    feed_forward_out: str
    """The projection whose inputs are the feed-forward neurons."""
    final_norm: str
    embeddings: str
    centred: bool = False
    """LayerNorm, which takes off the mean, not RMSNorm."""
    scale_from: float = 0.0
    """A norm multiplies by its weight and this (Gemma stores what its scale is more than 1)."""
    scaled_embeddings: bool = False
    """The embeddings are multiplied by the square root of the hidden size."""
    own_head_size: bool = True
    """A head's dimensions are a size of their own; else they are the hidden size divided by the heads."""
    divisible: bool = False
    """transformers refuses a hidden size that the heads don't divide, even where `own_head_size`."""


def _linear(name: str, rows: Axis, columns: Axis) -> dict[str, Axes]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _transposed(name: str, rows: Axis, columns: Axis) -> dict[str, Axes]:
    """GPT-2 keeps the weight of a linear layer the other way round."""
    return {f"{name}.weight": (columns, rows), f"{name}.bias": (rows,)}


def _norm(name: str) -> dict[str, Axes]:
    return {f"{name}.weight": ("hidden",), f"{name}.bias": ("hidden",)}


def _llama(
    *norms: str, scale_from: float = 0.0, scaled_embeddings: bool = False, divisible: bool = False
) -> DecoderLayout:
    """Llama and those built like it, with more norms in a layer if given."""
    layer = {
        **_linear("self_attn.q_proj", "query", "hidden"),
        **_linear("self_attn.k_proj", "key_value", "hidden"),
        **_linear("self_attn.v_proj", "key_value", "hidden"),
        **_linear("self_attn.o_proj", "hidden", "query"),
        **_linear("mlp.gate_proj", "neurons", "hidden"),
        **_linear("mlp.up_proj", "neurons", "hidden"),
        **_linear("mlp.down_proj", "hidden", "neurons"),
        "self_attn.q_norm.weight": ("whole",),
        "self_attn.k_norm.weight": ("whole",),
    }
    for name in ("input_layernorm", "post_attention_layernorm", *norms):
        layer |= _norm(name)
    return DecoderLayout(
        layer=layer,
        body={"embed_tokens.weight": ("whole", "hidden"), **_norm("norm")},
        attention_in="self_attn.q_proj",
        attention_out="self_attn.o_proj",
        feed_forward_in="mlp.gate_proj",
        feed_forward_out="mlp.down_proj",
        final_norm="norm",
        embeddings="embed_tokens",
        scale_from=scale_from,
        scaled_embeddings=scaled_embeddings,
        divisible=divisible,
    )


def _gemma(*norms: str, divisible: bool) -> DecoderLayout:
    return _llama(*norms, scale_from=1.0, scaled_embeddings=True, divisible=divisible)


_AROUND = ("pre_feedforward_layernorm", "post_feedforward_layernorm")
DECODERS: Mapping[str, DecoderLayout] = {
    "gemma": _gemma(divisible=False),
    "gemma2": _gemma(*_AROUND, divisible=True),
    "gemma3_text": _gemma(*_AROUND, divisible=True),
    "gpt2": DecoderLayout(
        layer={
            **_norm("ln_1"),
            **_transposed("attn.c_attn", "joined", "hidden"),
            **_transposed("attn.c_proj", "hidden", "query"),
            **_norm("ln_2"),
            **_transposed("mlp.c_fc", "neurons", "hidden"),
            **_transposed("mlp.c_proj", "hidden", "neurons"),
        },
        body={"wte.weight": ("whole", "hidden"), "wpe.weight": ("whole", "hidden"), **_norm("ln_f")},
        attention_in="attn.c_attn",
        attention_out="attn.c_proj",
        feed_forward_in="mlp.c_fc",
        feed_forward_out="mlp.c_proj",
        final_norm="ln_f",
        embeddings="wte",
        centred=True,
        own_head_size=False,
    ),
    "llama": _llama(divisible=True),
    "qwen2": _llama(),
    "qwen3": _llama(),
}
HEADS: Mapping[str, Axes] = {
    "lm_head.weight": ("whole", "hidden"),
    "score.weight": ("whole", "hidden"),
    "score.bias": ("whole",),
}
"""What may stand on the body: the head of a language model, or of a classifier."""


def decoder_fault(config: Mapping[str, object]) -> str | None:
    """Why a decoder of this `config.json` can't be cut to size, as the end of a sentence; or None."""
    kind = config.get("model_type")
    if kind not in DECODERS:
        return f"which it does not support (only {', '.join(sorted(DECODERS))})"
    if config.get("add_cross_attention"):
        return "that also attends to another model's states"
    return None
