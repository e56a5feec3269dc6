"""Writes `genai_config.json` for a graph of ours, with its names mapped for ONNX Runtime GenAI."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.device.decoding import LAYOUT

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_DESCRIPTION = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json")


def write_settings(config: PreTrainedConfig, inputs: Collection[str], graph: str, folder: Path) -> None:
    """Write it.

    Args:
        inputs: names of the graph's inputs.
        graph: its file's name.
    """
    heads = config.num_attention_heads
    ends = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    every = "%d"  # placeholder for a layer index
    asked = {name: name for name in (LAYOUT.tokens, LAYOUT.mask, LAYOUT.positions) if name in inputs}
    past = {f"past_{what}_names": LAYOUT.past(every, what) for what in ("key", "value")}
    present = {f"present_{what}_names": LAYOUT.present(every, what) for what in ("key", "value")}
    decoder = {
        "filename": graph,
        "head_size": getattr(config, "head_dim", None) or config.hidden_size // heads,
        "hidden_size": config.hidden_size,
        "num_attention_heads": heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": getattr(config, "num_key_value_heads", None) or heads,
        "inputs": {**asked, **past},
        "outputs": {LAYOUT.logits: LAYOUT.logits, **present},
        "session_options": {"provider_options": []},
    }
    longest = config.max_position_embeddings
    model = {
        "type": config.model_type,
        "vocab_size": config.vocab_size,
        "context_length": longest,
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": ends if config.pad_token_id is None else config.pad_token_id,
        "decoder": decoder,
    }
    search = {"do_sample": False, "max_length": longest, "past_present_share_buffer": False}
    content = {"model": model, "search": search}
    (folder / "genai_config.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def copy_tokenizer(model: Path, folder: Path) -> None:
    """Files for the library's tokenizer."""
    for name in _DESCRIPTION:
        if (model / name).is_file():
            shutil.copyfile(model / name, folder / name)
