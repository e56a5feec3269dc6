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

# The attribute that holds the feed-forward width, by architecture; `intermediate_size` where none is named.
_INTERMEDIATE = {"distilbert": "hidden_dim", "gpt2": "n_inner", "t5": "d_ff"}
# Attributes that hold one entry a layer.
_BY_LAYER = ("layer_types", "heads_by_layer", "neurons_by_layer")
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")


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
        if getattr(config, name, None):
            setattr(smaller, name, [getattr(config, name)[i] for i in layers])
    if hidden_size is not None:
        refuse_unequal_layers(config)
        ratio = hidden_size / config.hidden_size
        if getattr(config, "embedding_size", None) == config.hidden_size:  # not projected, so not a size of its own
            smaller.embedding_size = hidden_size
        smaller.hidden_size = hidden_size
        smaller.num_attention_heads = heads or max(1, round(config.num_attention_heads * ratio))
        attribute = _INTERMEDIATE.get(config.model_type, "intermediate_size")
        setattr(smaller, attribute, intermediate_size or round(getattr(config, attribute) * ratio))
    if smaller.hidden_size % smaller.num_attention_heads:
        raise UserError(
            f"student.heads: got {smaller.num_attention_heads}, expected a divisor of hidden_size "
            f"{smaller.hidden_size} (for example {math.gcd(smaller.hidden_size, config.num_attention_heads)})"
        )
    return smaller


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


def longest_input(config: PreTrainedConfig) -> int:
    """How many tokens a model takes at most."""
    positions = getattr(config, "max_position_embeddings", None) or sys.maxsize
    # These number positions from behind the padding token's.
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(positions) - offset


def intermediate_size(config: PreTrainedConfig) -> int:
    """The feed-forward width."""
    return int(getattr(config, _INTERMEDIATE.get(config.model_type, "intermediate_size")))


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


def save_model(model: PreTrainedModel, folder: Path) -> None:
    """Write weights (safetensors) and `config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    quiet_transformers()
    model.save_pretrained(folder)


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
