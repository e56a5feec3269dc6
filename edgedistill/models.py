"""Loading, resizing and saving transformers models: safetensors only, no remote code, one clear sentence on failure."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import UserError
from .interfaces import AutoClass

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

    from .recipe import Architecture

# The attribute that holds the feed-forward width, the first that a configuration has.
_INTERMEDIATE = ("hidden_dim", "n_inner", "d_inner", "d_ff", "intermediate_size")
# Attributes that hold one entry a layer.
_BY_LAYER = ("layer_types", "heads_by_layer", "neurons_by_layer", "attention_window", "mlp_layer_types")
# Widths that are the hidden size's in an architecture's usual configuration.
_SAME_WIDTH = ("embedding_size", "pooler_hidden_size")
_HEAD_WIDTHS = ("head_dim", "d_head")
_POSITION_TABLES = ("position_embeddings", "position_embedding", "embed_positions", "wpe")


def load_config(
    source: str | Path | None, revision: str | None, overrides: Mapping[str, object] | None = None
) -> PreTrainedConfig:
    """The configuration of a folder or hub id.

    Raises:
        UserError: it can't be had.
    """
    from transformers import AutoConfig

    from . import image_model, pruned_model, static_model  # noqa: F401 - the auto classes learn of their models

    with _Explained(source):
        return AutoConfig.from_pretrained(str(source), **_revision(revision), **dict(overrides or {}))


def load_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id.

    Raises:
        UserError: it can't be had.
    """
    from transformers import AutoTokenizer

    with _Explained(source):
        return AutoTokenizer.from_pretrained(str(source), **_revision(revision))


def load_model(
    auto_class: AutoClass,
    source: str | Path | None,
    revision: str | None,
    overrides: Mapping[str, object] | None = None,
    *,
    head_required: bool = False,
) -> PreTrainedModel:
    """A model in float32 and evaluation mode, read from safetensors.

    Args:
        head_required: refuse a checkpoint that lacks some of the model's weights (a body without the task's head).

    Raises:
        UserError: it can't be had, or a weight is missing and `head_required`.
    """
    import torch

    from . import image_model, pruned_model, static_model  # noqa: F401 - the auto classes learn of their models

    quiet_transformers()
    with _Explained(source):
        model, info = auto_class.from_pretrained(
            str(source),
            **_revision(revision),
            **dict(overrides or {}),
            use_safetensors=True,
            ignore_mismatched_sizes=not head_required,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    missing = sorted(info["missing_keys"])
    unexplained = [name for name in missing if ".layer" in name or "embeddings" in name]
    if unexplained:
        raise UserError(
            f"model '{source}' lacks weights of its body ({', '.join(unexplained[:3])}); expected a complete checkpoint"
        )
    if missing and head_required:
        raise UserError(
            f"teacher.model: '{source}' has no trained head for this task (missing {', '.join(missing[:3])}); "
            "give teacher.fine_tune, or a model that was fine-tuned on it"
        )
    return model.eval()


def resized(
    config: PreTrainedConfig,
    layers: Sequence[int],
    hidden_size: int | None = None,
    heads: int | None = None,
    intermediate_size: int | None = None,
) -> PreTrainedConfig:
    """A copy of `config` with these layers (numbers in the original) and widths; what is None stays.

    Raises:
        UserError: heads that don't divide the hidden size, or another width of a model whose layers differ in size.
    """
    smaller = copy.deepcopy(config)
    smaller.num_hidden_layers = len(layers)
    for name in _BY_LAYER:
        if isinstance(by_layer := getattr(config, name, None), list | tuple) and by_layer:
            # A student from nothing may have more layers than its source: the pattern goes on.
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


def _set_width(config: PreTrainedConfig, hidden_size: int, heads: int | None, intermediate_size: int | None) -> None:
    """Change a configuration to this width, and with it what follows from it."""
    old = config.hidden_size
    ratio = hidden_size / old
    for name in _SAME_WIDTH:  # another value is a size of its own, which stays
        if getattr(config, name, None) == old:
            setattr(config, name, hidden_size)
    feed_forward = _intermediate_attribute(config)
    width = getattr(config, feed_forward, None)
    if intermediate_size is not None or width is not None:
        setattr(config, feed_forward, intermediate_size or round(width * ratio))
    config.hidden_size = hidden_size
    before = getattr(config, "num_attention_heads", None)
    if before is None:
        return
    config.num_attention_heads = heads or max(1, round(before * ratio))
    shared = getattr(config, "num_key_value_heads", None)
    if shared is not None:
        config.num_key_value_heads = math.gcd(config.num_attention_heads, max(1, round(shared * ratio)))
    for name in _HEAD_WIDTHS:
        if getattr(config, name, None) == old // before:
            setattr(config, name, hidden_size // config.num_attention_heads)


def refuse_unequal_layers(config: PreTrainedConfig) -> None:
    """Another width can't be given to a model whose layers differ in size.

    Raises:
        UserError: it is one.
    """
    if getattr(config, "heads_by_layer", None):
        raise UserError(
            "student.from: the layers of a pruned model differ in size, so it cannot be made narrower or built at "
            "another width; expected another model, or init: prune, keep_layers or trim_vocabulary"
        )


def with_vocabulary(config: PreTrainedConfig, kept: Sequence[int]) -> PreTrainedConfig:
    """A copy of `config` for these tokens of its vocabulary, special ones renumbered."""
    smaller = copy.deepcopy(config)
    smaller.vocab_size = len(kept)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id", "mask_token_id"):
        old = getattr(config, name, None)
        if isinstance(old, int):
            setattr(smaller, name, kept.index(old) if old in kept else None)
    return smaller


def longest_input(model: PreTrainedModel) -> int:
    """How many tokens a model takes at most, by its configuration and its tables of positions.

    RoBERTa and its relatives number positions from behind the padding token's, which their tables know.
    """
    named = getattr(model.config, "max_position_embeddings", None)
    limits = [named if isinstance(named, int) and named > 0 else sys.maxsize]  # -1 of XLNet: as many as there are
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if name.rsplit(".", 1)[-1] in _POSITION_TABLES and weight is not None:
            padding = getattr(module, "padding_idx", None)
            limits.append(len(weight) - (0 if padding is None else padding + 1))
    return min(limits)


def outline(auto_class: AutoClass, config: PreTrainedConfig) -> PreTrainedModel:
    """A model's modules and the shapes of its weights, without memory for them."""
    import torch

    with torch.device("meta"):
        return auto_class.from_config(config)


def intermediate_size(config: PreTrainedConfig) -> int:
    """The feed-forward width."""
    return int(getattr(config, _intermediate_attribute(config)))


def _intermediate_attribute(config: PreTrainedConfig) -> str:
    return next((name for name in _INTERMEDIATE if hasattr(config, name)), _INTERMEDIATE[-1])


def give_padding_token(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a tokenizer without a padding token (GPT-2, Llama) pad with the one that ends a text.

    Raises:
        UserError: it has no such token either.
    """
    if tokenizer.pad_token_id is not None:
        return
    if tokenizer.eos_token is None:
        raise UserError(
            "the tokenizer has neither a padding token nor one that ends a text; expected 'pad_token' in its "
            "tokenizer_config.json"
        )
    tokenizer.pad_token = tokenizer.eos_token


def know_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> PreTrainedModel:
    """The model, its configuration naming the padding token where it named none: a classifier that reads its answer
    from the last token must tell which that is."""
    if tokenizer is not None and getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return model


def bert_config(
    architecture: Architecture, vocabulary: int, positions: int, labels: Mapping[str, object]
) -> PreTrainedConfig:
    """The configuration of a BERT of that size, for text models trained from nothing."""
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary,
        num_hidden_layers=architecture.layers,
        hidden_size=architecture.hidden_size,
        num_attention_heads=architecture.heads,
        intermediate_size=architecture.intermediate_size,
        max_position_embeddings=positions,
        type_vocab_size=1,
        hidden_dropout_prob=architecture.dropout,
        attention_probs_dropout_prob=architecture.dropout,
        **labels,
    )


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None, folder: Path) -> None:
    """Write weights (safetensors), `config.json` and the tokenizer's files, where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet_transformers()
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)


def parameter_count(model: nn.Module) -> int:
    """Parameters, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def quiet_transformers() -> None:
    """Keep load reports and bars of transformers off the terminal: what matters is checked here and said once."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def _revision(revision: str | None) -> dict[str, str]:
    return {"revision": revision} if revision else {}


class _Explained:
    """Turn what `from_pretrained` raises into one sentence."""

    def __init__(self, source: str | Path | None) -> None:
        self.source = source

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError | ValueError | KeyError):
            reason = " ".join(str(error).split())
            raise UserError(
                f"model '{self.source}' cannot be loaded; expected a hub id that can be reached, or a folder with "
                f"config.json and *.safetensors: {reason[:300]}"
            ) from error
