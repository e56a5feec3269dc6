from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification

from edgedistill.training.one_token import FirstTokenReaders, read_for_the_first_token

SIZES = {"num_labels": 3, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
LAST = "bert.encoder.layer.1"


def built(auto=AutoModelForSequenceClassification, dropout: float = 0.1):
    torch.manual_seed(0)
    return auto.from_config(AutoConfig.for_model("bert", vocab_size=50, hidden_dropout_prob=dropout, **SIZES))


def ids(batch: int = 3, length: int = 9):
    return {"input_ids": torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))}


def names(model, layers) -> set[str]:
    return {name for name, module in model.named_modules() if module in layers}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_of_a_classifier_it_is_the_last_layer_but_for_keys_and_values(mode):
    model = built()
    with mode():
        found = read_for_the_first_token(model, ids())
    assert names(model, found) == {
        f"{LAST}.{name}"
        for name in ("attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense")
    }


def test_of_a_model_with_an_answer_for_every_token_there_are_none():
    model = built(AutoModelForTokenClassification)
    assert read_for_the_first_token(model, ids()) == frozenset()


def test_of_layers_that_share_their_weights_there_are_none():
    sizes = SIZES | {"embedding_size": 16, "vocab_size": 50}
    model = AutoModelForSequenceClassification.from_config(AutoConfig.for_model("albert", **sizes))
    assert read_for_the_first_token(model, ids()) == frozenset()


def test_looking_changes_neither_random_numbers_nor_gradients():
    model = built(dropout=0.5).train()
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    read_for_the_first_token(model, ids())
    assert torch.equal(torch.rand(4), expected)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_looks_once_at_the_first_input_of_several_tokens(monkeypatch):
    """One token shows nothing: everything is read for it alone."""
    model, readers = built().eval(), FirstTokenReaders()
    query = model.bert.encoder.layer[1].attention.self.query
    runs: list[int] = []
    model.register_forward_pre_hook(lambda _, arguments: runs.append(1))
    with readers.watching(model):
        model(**ids(length=1))
        assert readers.layers is None
        assert query not in readers
        for _ in range(3):
            model(**ids())
    assert query in readers
    assert model.bert.encoder.layer[0].attention.self.query not in readers
    assert len(runs) == 5
    model(**ids())
    assert len(runs) == 6
