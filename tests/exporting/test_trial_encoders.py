"""Encoders with random weights: exported like any model, and of the size that is expected of their files."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.exporting.trial_encoders import Trial, Wanted, export, inputs_of, trial_file
from edgedistill.models.encoder_weights import weights_of
from edgedistill.models.meta_sizes import Request

SIZES = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 2, "num_hidden_layers": 4}
PRECISIONS = tuple(registry.target("onnx").precisions)


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """An ELECTRA of two layers, in every precision."""
    folder = tmp_path_factory.mktemp("trial")
    source = {"model_type": "electra", **SIZES, "embedding_size": 32, "vocab_size": 5000, "pad_token_id": 0}
    request = Request(task="text-classification", source=source, scratch=None, labels=3, students=[])
    given = Trial(request=request, layers=2, folder=str(folder))
    export(given, Wanted(precisions=[name for name in PRECISIONS if name != "mix"], longest=12, trials=[given]))
    return folder


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_file_is_as_large_as_its_weights_say(precision, trial):
    sizing = registry.target("onnx").precisions[precision].sizing
    if sizing is None:
        pytest.skip("its size is not known from weights")
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(trial / "model"))
    weights = weights_of(model)
    assert weights.layers == 2
    assert sizing(weights) == pytest.approx(trial_file(trial, precision).stat().st_size, rel=0.015)


def test_it_has_few_layers_and_tokens_and_the_widths_of_its_model(trial):
    config = AutoConfig.from_pretrained(trial / "model")
    assert (config.num_hidden_layers, config.vocab_size) == (2, 1000)
    assert (config.hidden_size, config.intermediate_size, config.embedding_size) == (64, 256, 32)


def test_it_runs_on_inputs_of_any_length(trial):
    graph = registry.runtime("onnxruntime").open(trial_file(trial, "fp32"), 1, PortNames())
    for length in (4, 12):
        items = inputs_of(length)
        assert set(items.lengths) == {length}
        assert graph.run(items.batch(np.arange(2), None))["logits"].shape == (2, 3)


def test_no_weights_are_counted_of_unknown_layouts():
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=2, vocab_size=60)
    assert weights_of(AutoModelForSequenceClassification.from_config(config)) is None
