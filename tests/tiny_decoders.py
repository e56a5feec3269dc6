"""Tiny decoders of every family with random weights, and what a student initialisation is asked for one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from edgedistill.contracts import registry
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.student import StudentRequest

VOCABULARY = 50
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "intermediate_size": 96,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LOCAL = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"] * 2}
FAMILIES: dict[str, dict[str, object]] = {
    "llama": {"model_type": "llama", **_SIZES, "tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
    "smollm": {"model_type": "llama", **_SIZES, "tie_word_embeddings": True},
    "qwen2": {"model_type": "qwen2", **_SIZES, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", **_SIZES, "head_dim": 12, "tie_word_embeddings": False},
    "gemma": {"model_type": "gemma", **_SIZES, "head_dim": 16},
    "gemma2": {"model_type": "gemma2", **_SIZES, "head_dim": 16, "query_pre_attn_scalar": 16, **_LOCAL},
    "gemma3_text": {"model_type": "gemma3_text", **_SIZES, "head_dim": 16, "query_pre_attn_scalar": 16, **_LOCAL},
    "gpt2": {
        "model_type": "gpt2",
        "vocab_size": VOCABULARY,
        "n_embd": 48,
        "n_layer": 4,
        "n_head": 6,
        "n_positions": 64,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}
TIED = {"smollm", "qwen2", "gemma", "gemma2", "gemma3_text", "gpt2"}


def config_of(family: str, **more):
    given = FAMILIES[family] | more
    return AutoConfig.for_model(
        given["model_type"], **{key: value for key, value in given.items() if key != "model_type"}
    )


def tiny(family: str, **more):
    """A decoder of that family, none of its weights (norms and biases among them) a round number."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config_of(family, **more)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.1)
    return model


def windowed():
    """Configurations of other families whose layers, all or some, only see a window."""
    sizes = {**_SIZES, "sliding_window": 4}
    types = {"layer_types": ["sliding_attention", "full_attention"] * 2}
    for family in ("mistral", "phi3", "starcoder2"):
        yield AutoConfig.for_model(family, **sizes)
    yield AutoConfig.for_model("cohere2", **sizes, **types)
    yield AutoConfig.for_model("qwen2", **sizes, use_sliding_window=True, max_window_layers=2)


def saved(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def texts(count: int = 6, seed: int = 1) -> Items:
    """Sequences of random tokens, of 6 to 12 tokens each."""
    rng = np.random.default_rng(seed)
    ids = [rng.integers(3, VOCABULARY, int(rng.integers(6, 13))).tolist() for _ in range(count)]
    columns = {"input_ids": Column("input", "sequence", tokens=True), "attention_mask": Column("input", "sequence")}
    return Items.of(columns, {"input_ids": ids, "attention_mask": [[1] * len(tokens) for tokens in ids]}, range(count))


def batch_of(items: Items) -> Batch:
    """All items; every token but an item's first is a decision that has a right answer."""
    every = np.arange(len(items))
    inputs = {name: torch.from_numpy(values.astype(np.int64)) for name, values in items.inputs(every).items()}
    mask = torch.from_numpy(items.real(every).astype(np.int64))
    item, position = mask.nonzero(as_tuple=True)
    return Batch(inputs=inputs, targets={}, mask_BT=mask, item_R=item, known_R=position > 0)


def next_token_loss(model, batch: Batch) -> torch.Tensor:
    """(R,) minus the log probability of each token, 0 of the first."""
    ids, mask = batch.inputs["input_ids"], batch.mask_BT.bool()
    log_p = model(**batch.inputs).logits[:, :-1].log_softmax(-1)
    losses = -log_p.gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros(len(ids), 1), losses], dim=1)[mask]


def request(source: Path, probe=None, loss=next_token_loss, **spec) -> StudentRequest:
    items = texts()
    return StudentRequest(
        spec=registry.student(spec["init"]).spec(**spec),
        source=source,
        auto_class=AutoModelForCausalLM,
        config_overrides={},
        tokenizer=None,
        probe=[batch_of(items)] if probe is None else probe,
        loss=loss,
        train=items,
    )


def student(source: Path, **more):
    """The student that a recipe's `more` makes of a model."""
    return registry.student(more["init"]).build(request(source, **more)).eval()


def logits(model, batch: Batch | None = None) -> torch.Tensor:
    """(tokens, vocabulary) of the real tokens."""
    asked = batch_of(texts()) if batch is None else batch
    with torch.no_grad():
        return model(**asked.inputs).logits[asked.mask_BT.bool()]
