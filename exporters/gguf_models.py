"""Models in GGUF: sizes, weight names and weight order as llama.cpp expects them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.errors import RefusedError

if TYPE_CHECKING:
    import gguf
    from transformers import PreTrainedConfig, PreTrainedModel

    from edgedistill.arrays import Floats

ARCHITECTURES: Mapping[str, str] = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gpt2": "gpt2",
}
"""transformers' model type -> llama.cpp's architecture."""
_ACTIVATIONS = {
    "llama": "silu",
    "qwen2": "silu",
    "qwen3": "silu",
    "gemma": "gelu_pytorch_tanh",
    "gpt2": "gelu_new",
}
_TURNED = (".c_attn.weight", ".c_proj.weight", ".c_fc.weight")
"""Of GPT-2: stored as (in, out)."""


def architecture(model: PreTrainedModel) -> str:
    """llama.cpp's architecture name.

    Raises:
        RefusedError: none is known, or the model computes differently from that architecture.
    """
    config = model.config
    kind = config.model_type
    if kind not in ARCHITECTURES:
        raise RefusedError(f"target gguf: '{kind}' is not supported ({', '.join(ARCHITECTURES)})")
    activation = getattr(config, "hidden_activation", None) or getattr(config, "hidden_act", None)
    activation = activation or config.activation_function
    if activation != _ACTIVATIONS[kind]:
        raise RefusedError(f"target gguf: llama.cpp uses {_ACTIVATIONS[kind]} in a '{kind}', the model {activation}")
    others = ("use_sliding_window", "scale_attn_by_inverse_layer_idx", "add_cross_attention")
    if used := [name for name in others if getattr(config, name, False)]:
        raise RefusedError(f"target gguf: llama.cpp has no '{kind}' with {', '.join(used)}")
    return ARCHITECTURES[kind]


def write_sizes(writer: gguf.GGUFWriter, model: PreTrainedModel) -> None:
    """The model's hyperparameters.

    Raises:
        RefusedError: position embeddings that llama.cpp does not support.
    """
    config = model.config
    width, heads = config.hidden_size, config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(width)
    writer.add_head_count(heads)
    writer.add_vocab_size(config.vocab_size)
    if config.model_type == "gpt2":
        writer.add_feed_forward_length(config.n_inner or 4 * width)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        return
    size = _head_size(config)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        import gguf

        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    elif kind not in ("default", "llama3"):
        raise RefusedError(f"target gguf: position embeddings of type '{kind}' are not supported")


def named_weights(model: PreTrainedModel) -> Iterator[tuple[str, Floats]]:
    """Every weight once, in fp32; a head tied to the table is omitted, and llama.cpp uses the table.

    Raises:
        RefusedError: a weight that the architecture does not have.
    """
    import gguf

    config, kind = model.config, model.config.model_type
    names = {name: number for number, name in gguf.MODEL_ARCH_NAMES.items()}
    known = gguf.get_tensor_name_map(names[ARCHITECTURES[kind]], config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        ours = known.get_name(name, try_suffixes=(".weight", ".bias"))
        if ours is None:
            raise RefusedError(f"target gguf: llama.cpp has no weight '{name}' in a '{kind}'")
        weights: Floats = parameter.detach().float().numpy()
        if kind == "llama" and ".q_proj." in name:
            weights = _paired(weights, config.num_attention_heads)
        elif kind == "llama" and ".k_proj." in name:
            weights = _paired(weights, config.num_key_value_heads)
        elif kind == "gemma" and name.endswith("norm.weight"):
            weights = weights + 1  # added by the model itself
        elif kind == "gpt2" and name.endswith(_TURNED):
            weights = weights.T
        yield ours, np.ascontiguousarray(weights)
    if kind != "gpt2" and config.rope_parameters.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _stretched(model)


def _head_size(config: PreTrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _paired(weights: Floats, heads: int) -> Floats:
    """Permute the rows of each head for llama.cpp's rotary embeddings, which pair neighbours where transformers pairs
    rows half a head apart."""
    parts = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return np.asarray(parts.swapaxes(1, 2).reshape(weights.shape))


def _stretched(model: PreTrainedModel) -> Floats:
    """The factor by which each frequency is lowered."""
    found = model.base_model.rotary_emb.inv_freq.float().numpy()
    size = 2 * len(found)
    plain = float(model.config.rope_parameters["rope_theta"]) ** (-np.arange(0, size, 2) / size)
    return np.asarray(plain / found, np.float32)
