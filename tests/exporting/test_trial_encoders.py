"""Encoders with random weights: exported like any model, and of the size that is expected of their files."""

from __future__ import annotations

import numpy as np
import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.file_kind import FileKind
from edgedistill.exporting.trial_encoders import Trial, Wanted, as_given, export, inputs_of, trial_file, with_sources
from edgedistill.models.encoder_weights import weights_of
from edgedistill.models.meta_sizes import Request

SIZES = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 2, "num_hidden_layers": 4}
UNIFORM = [FileKind(target, name) for target in ("onnx", "onnx-fused") for name in registry.target(target).precisions]


def mix(embeddings: str, attention: str, feed_forward: str, head: str, block: int | None = None) -> FileKind:
    """A mix of these precisions."""
    parts = (("embeddings", embeddings), ("attention", attention), ("feed_forward", feed_forward), ("head", head))
    return FileKind("onnx", None, parts, block)


MIXES = [
    mix("fp16", "fp32", "int8-dynamic", "fp32"),
    mix("int8", "int8-static", "int8-static", "int8-static"),
    mix("int4", "int8-dynamic", "int4", "int8-dynamic", 32),
    mix("int2", "int8", "int2", "int4", 16),
    mix("int8", "int8-dynamic", "int8-static", "fp32"),
]
KINDS = [*UNIFORM, *MIXES]


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """An ELECTRA of two layers, in every precision and some mixes."""
    folder = tmp_path_factory.mktemp("trial")
    source = {"model_type": "electra", **SIZES, "embedding_size": 32, "vocab_size": 5000, "pad_token_id": 0}
    request = Request(task="text-classification", source=source, scratch=None, labels=3, students=[])
    given = Trial(request=request, layers=2, folder=str(folder))
    assert not any(export(given, Wanted(kinds=[as_given(kind) for kind in KINDS], longest=12, trials=[given])))
    return folder


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.words)
def test_a_file_is_as_large_as_its_weights_say(kind, trial):
    model = AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(trial / "model"))
    weights = weights_of(model)
    assert weights.layers == 2
    assert kind.sizing(weights) == pytest.approx(trial_file(trial, kind).stat().st_size, rel=0.015)


def test_it_has_few_layers_and_tokens_and_the_widths_of_its_model(trial):
    config = AutoConfig.from_pretrained(trial / "model")
    assert (config.num_hidden_layers, config.vocab_size) == (2, 1000)
    assert (config.hidden_size, config.intermediate_size, config.embedding_size) == (64, 256, 32)


def test_it_runs_on_inputs_of_any_length(trial):
    graph = registry.runtime("onnxruntime").open(trial_file(trial, FileKind("onnx", "fp32")), 1, PortNames())
    for length in (4, 12):
        items = inputs_of(length)
        assert set(items.lengths) == {length}
        assert graph.run(items.batch(np.arange(2), None))["logits"].shape == (2, 3)


def test_no_weights_are_counted_of_unknown_layouts():
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=2, vocab_size=60)
    assert weights_of(AutoModelForSequenceClassification.from_config(config)) is None


def test_each_kind_comes_after_the_one_that_it_is_made_from():
    fused, fp32 = FileKind("onnx-fused", "int8-dynamic"), FileKind("onnx", "fp32")
    assert with_sources([fused, fp32]) == [fp32, FileKind("onnx-fused", "fp32"), fused]


def test_one_kind_that_cannot_be_exported_costs_no_other(tmp_path):
    source = {"model_type": "mpnet", **SIZES, "num_hidden_layers": 1, "vocab_size": 5000, "pad_token_id": 1}
    request = Request(task="text-classification", source=source, scratch=None, labels=3, students=[])
    given = Trial(request=request, layers=1, folder=str(tmp_path))
    kinds = [FileKind("onnx-fused", "int8-dynamic"), FileKind("onnx", "int8-dynamic")]
    reasons = export(given, Wanted(kinds=[as_given(kind) for kind in kinds], longest=8, trials=[given]))
    assert "attention that ONNX Runtime's operator can express" in str(reasons[0])
    assert reasons[1] is None
    assert trial_file(tmp_path, kinds[1]).is_file()
