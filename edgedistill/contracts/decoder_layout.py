"""Names of each decoder family's weights, and the model dimension of each of their axes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Axis = Literal["hidden", "query", "key_value", "joined", "neurons", "whole"]
"""`query` and `key_value` are heads x head size; `joined` is queries, keys and values together; `whole` is never cut
(vocabulary, head dimensions, classes)."""
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class DecoderLayout:
    """A decoder family. Names inside a layer are relative to the layer, others to the body."""

    layer: Mapping[str, Axes]
    """The axes of every weight in a layer."""
    body: Mapping[str, Axes]
    """The axes of the body's weights outside the layers."""
    attention_in: str
    """A projection of the normalised hidden states before attention."""
    attention_out: str
    """The projection with heads x head size inputs."""
    feed_forward_in: str
    """A projection of the normalised hidden states before the feed-forward neurons."""
    feed_forward_out: str
    """The projection from the feed-forward neurons."""
    final_norm: str
    embeddings: str
    centred: bool = False
    """Whether norms are LayerNorm (which subtracts the mean) and not RMSNorm."""
    scale_from: float = 0.0
    """Norms scale by their weight plus this (Gemma stores the scale minus 1)."""
    scaled_embeddings: bool = False
    """The embeddings are multiplied by the square root of the hidden size."""
    own_head_size: bool = True
    """Whether the head size is configured separately; otherwise it is the hidden size divided by the heads."""
    divisible: bool = False
    """Whether transformers requires the hidden size to be a multiple of the heads, even with `own_head_size`."""


def _linear(name: str, rows: Axis, columns: Axis) -> dict[str, Axes]:
    return {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}


def _transposed(name: str, rows: Axis, columns: Axis) -> dict[str, Axes]:
    """Whether linear weights are stored transposed (GPT-2)."""
    return {f"{name}.weight": (columns, rows), f"{name}.bias": (rows,)}


def _norm(name: str) -> dict[str, Axes]:
    return {f"{name}.weight": ("hidden",), f"{name}.bias": ("hidden",)}


def _llama(
    *norms: str, scale_from: float = 0.0, scaled_embeddings: bool = False, divisible: bool = False
) -> DecoderLayout:
    """Llama and similar families, optionally with more norms per layer."""
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
"""Possible heads on the body: language model or classifier."""


def decoder_fault(config: Mapping[str, object]) -> str | None:
    """Why a decoder with this `config.json` cannot be cut to size, as the end of a sentence; or None."""
    kind = config.get("model_type")
    if kind not in DECODERS:
        return f"which it does not support (only {', '.join(sorted(DECODERS))})"
    if config.get("add_cross_attention"):
        return "that also attends to another model's states"
    return None
