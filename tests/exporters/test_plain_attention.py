from __future__ import annotations

import pytest
import torch
from helpers import file_request
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill_exporters.plain_attention import NAME, plain_attention

SIZES = {"vocab_size": 50, "num_labels": 3, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 64, "max_position_embeddings": 40}


def built(kind: str, **more):
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **SIZES, **more)).eval()


def batch(items: int = 2, length: int = 12):
    ids = torch.randint(5, 50, (items, length), generator=torch.Generator().manual_seed(length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def asked(model):
    return file_request("fp32", lambda: model, lambda items, length: batch(items, length), 40)


def test_padded_logits_are_the_models_and_it_is_as_it_was_afterwards():
    model = built("bert")
    inputs = batch(3, 20)
    inputs["attention_mask"][1, 7:] = 0
    before = model.config._attn_implementation
    with torch.no_grad():
        expected = model(**inputs).logits
        with plain_attention(asked(model), batch()) as written_out:
            assert written_out
            assert model.config._attn_implementation == NAME
            torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)
    assert model.config._attn_implementation == before
    assert "forward" not in vars(model)


def test_a_model_that_masks_more_than_padding_keeps_its_attention():
    model = built("modernbert", local_attention=4, global_attn_every_n_layers=2, pad_token_id=0, cls_token_id=1)
    before = model.config._attn_implementation
    with plain_attention(asked(model), batch()) as written_out:
        assert not written_out
        assert model.config._attn_implementation == before


def test_a_model_whose_attention_has_more_than_a_mask_keeps_it(monkeypatch):
    """The plain one would drop the bias."""
    from transformers.models.bert import modeling_bert

    model = built("bert")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8)
    original = modeling_bert.ALL_ATTENTION_FUNCTIONS.get_interface

    def with_a_bias(name, default):
        if name == NAME:
            return original(name, default)
        return lambda module, query, key, value, mask, **more: original(name, default)(
            module, query, key + torch.linspace(-3, 3, key.shape[2])[:, None], value, mask, **more
        )

    monkeypatch.setattr(modeling_bert.ALL_ATTENTION_FUNCTIONS, "get_interface", with_a_bias)
    with plain_attention(asked(model), batch()) as written_out:
        assert not written_out


@pytest.mark.parametrize("kind", ["mpnet", "deberta-v2", "mobilebert"])
def test_other_attention_is_left_alone(kind):
    more = {"embedding_size": 16, "intra_bottleneck_size": 16} if kind == "mobilebert" else {}
    model = built(kind, **more)
    inputs = batch()
    with torch.no_grad():
        expected = model(**inputs).logits
        with plain_attention(asked(model), batch()):
            torch.testing.assert_close(model(**inputs).logits, expected, atol=1e-5, rtol=0)
