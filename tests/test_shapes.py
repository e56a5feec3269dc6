from __future__ import annotations

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.models import parameter_count, resized
from edgedistill.shapes import ModelShape

SIZES = {"num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
DISTIL = {"n_layers": 3, "dim": 48, "n_heads": 4, "hidden_dim": 96}


def config(architecture: str):
    sizes = DISTIL if architecture == "distilbert" else SIZES
    sizes = {**sizes, "embedding_size": 16} if architecture == "electra" else sizes
    return AutoConfig.for_model(architecture, vocab_size=200, max_position_embeddings=40, num_labels=7, **sizes)


@pytest.mark.parametrize(
    "architecture", ["bert", "roberta", "xlm-roberta", "camembert", "distilbert", "mpnet", "electra"]
)
def test_the_estimate_is_the_real_count(architecture):
    real = AutoModelForSequenceClassification.from_config(config(architecture))
    shape = ModelShape.from_config(real.config.to_dict(), labels=7)
    assert shape.parameters() == parameter_count(real)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "mpnet", "electra"])
def test_the_estimate_of_a_resized_model_is_the_real_count(architecture):
    smaller = resized(config(architecture), [0, 2], hidden_size=24, heads=2)
    real = AutoModelForSequenceClassification.from_config(smaller)
    shape = ModelShape.from_config(config(architecture).to_dict(), labels=7)
    assert shape.resized(layers=2, hidden_size=24, heads=2).parameters() == parameter_count(real)


def test_embeddings_that_are_not_projected_follow_the_hidden_size():
    whole = AutoConfig.for_model("electra", vocab_size=200, embedding_size=48, num_labels=7, **SIZES)
    smaller = resized(whole, [0, 2], hidden_size=24, heads=2)
    assert smaller.embedding_size == 24
    real = AutoModelForSequenceClassification.from_config(smaller)
    shape = ModelShape.from_config(whole.to_dict(), labels=7)
    assert shape.resized(layers=2, hidden_size=24, heads=2).parameters() == parameter_count(real)


def test_a_pruned_model_has_what_it_was_pruned_to_until_it_is_resized():
    shape = ModelShape("edgedistill-pruned-bert", 2, 8, 2, 16, 50, 10, 2, 3, pruned_to=1000)
    assert shape.parameters() == 1000
    assert shape.resized(layers=1).parameters() is None


def test_an_unknown_architecture_has_no_estimate():
    shape = ModelShape.from_config({**SIZES, "vocab_size": 9, "max_position_embeddings": 9, "model_type": "x"}, 2)
    assert shape.parameters() is None
    assert ModelShape.from_config({"model_type": "bert"}, 2) is None
