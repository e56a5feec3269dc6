from __future__ import annotations

import pytest
import torch
from helpers import file_request
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.errors import RefusedError
from edgedistill_exporters.plain_graph import PlainGraph


def built(kind: str, **more):
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "num_labels": 3, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 64, "max_position_embeddings": 40}
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **sizes, **more)).eval()


def batch(items: int, length: int, types: bool = True):
    ids = torch.randint(5, 50, (items, length), generator=torch.Generator().manual_seed(length))
    found = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return found | ({"token_type_ids": torch.zeros_like(ids)} if types else {})


def plain(model, samples) -> PlainGraph:
    """The graph of a model with the inputs of these samples."""
    return PlainGraph(file_request("fp32", lambda: model, lambda items, length: samples[0], 40), samples)


@pytest.mark.parametrize(("kind", "more"), [("bert", {}), ("electra", {"embedding_size": 16})])
@pytest.mark.parametrize("types", [True, False])
def test_logits_are_the_models_at_every_length_and_under_masks(kind, more, types):
    model = built(kind, **more)
    graph = plain(model, [batch(1, 9, types), batch(1, 20, types)])
    for items, length in ((1, 1), (3, 13), (2, 40)):
        inputs = batch(items, length, types)
        inputs["attention_mask"][-1, length // 2 + 1 :] = 0
        if types:
            inputs["token_type_ids"][:, length // 3 :] = 1  # the samples had none
        with torch.no_grad():
            expected, got = model(**inputs).logits, graph(*graph.arguments(inputs))[0]
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_only_tables_that_are_read_from_their_start_are_cut():
    with_types = plain(built("bert"), [batch(1, 9), batch(1, 20)]).model.bert.embeddings
    kinds = [type(getattr(with_types, f"{name}_embeddings")).__name__ for name in ("word", "position", "token_type")]
    assert kinds == ["Embedding", "_FirstRows", "Embedding"]
    without = plain(built("bert"), [batch(1, 9, False), batch(1, 20, False)]).model.bert.embeddings
    assert type(without.token_type_embeddings).__name__ == "_FirstRow"


def test_the_graph_holds_no_comparison_and_no_fused_attention():
    inputs = batch(1, 9)
    graph = plain(built("bert"), [inputs, batch(1, 20)])
    with torch.no_grad():
        traced = torch.jit.trace(graph, graph.arguments(inputs), check_trace=False)
    text = str(traced.inlined_graph)
    assert "aten::softmax" in text
    assert not [name for name in ("aten::where", "aten::scaled_dot", "aten::to(", "aten::masked_fill") if name in text]


def test_the_model_stays_as_it_was():
    model = built("bert")
    before = model.config._attn_implementation
    plain(model, [batch(1, 9), batch(1, 20)])
    assert model.config._attn_implementation == before
    assert isinstance(model.bert.embeddings.position_embeddings, torch.nn.Embedding)


def test_a_model_that_looks_back_only_is_refused():
    model = built("llama", num_key_value_heads=4, pad_token_id=0)
    with pytest.raises(RefusedError, match="its attention masks more than padding"):
        plain(model, [batch(1, 9, types=False), batch(1, 20, types=False)])
