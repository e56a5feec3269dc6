from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import file_request
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from edgedistill.contracts import registry
from edgedistill.errors import RefusedError

PORTABLE, FUSED = registry.target("onnx"), registry.target("onnx-fused")
SIZES = {"num_labels": 3, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


def built(kind: str, **more):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=50, max_position_embeddings=80, **SIZES | more)
    return AutoModelForSequenceClassification.from_config(config).eval()


def texts(batch: int, length: int):
    ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def files_of(folder, model, precision: str = "fp32"):
    """The portable fp32 file and the fused one of that precision."""
    asked = file_request("fp32", lambda: model, texts, 32)
    source, fused, small = (folder / name for name in ("portable.onnx", "fused.onnx", "small.onnx"))
    PORTABLE.make(asked, source)
    made = FUSED.make(replace(asked, source=source), fused)
    if precision != "fp32":
        FUSED.make(replace(asked, source=fused, precision=precision), small)
        fused = small
    return source, fused, made


def kinds(file) -> list[str]:
    return [node.op_type for node in onnx.load(file).graph.node]


def logits(file, inputs):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {port.name: inputs[port.name].numpy() for port in session.get_inputs()})[0]


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_each_layers_attention_is_one_operator_and_padded_answers_are_the_same(tmp_path, family):
    source, fused, made = files_of(tmp_path, built(family))
    assert made.facts["fused_attention_layers"] == 2
    assert [kind for kind in kinds(fused) if "Attention" in kind] == ["Attention", "MultiHeadAttention"]
    assert "Softmax" not in kinds(fused)
    inputs = texts(3, 20)
    inputs["attention_mask"][1, 7:] = 0
    np.testing.assert_allclose(logits(fused, inputs), logits(source, inputs), atol=1e-6)
    assert [(check.batch, check.length) for check in made.checks] == [(1, 1), (1, 16), (2, 32), (8, 32)]


def test_in_int8_the_operator_and_the_other_products_are_integer(tmp_path):
    source, fused, _ = files_of(tmp_path, built("bert"), "int8-dynamic")
    found = kinds(fused)
    assert [kind for kind in found if "Attention" in kind] == ["QAttention", "MultiHeadAttention"]
    assert not {"Attention", "MatMul", "Gemm"} & set(found)
    np.testing.assert_allclose(logits(fused, texts(1, 9)), logits(source, texts(1, 9)), atol=0.02)


def test_an_image_model_has_no_mask(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("vit", image_size=8, patch_size=4, **SIZES)
    model = AutoModelForImageClassification.from_config(config).eval()

    def images(batch: int, length: int):
        return {"pixel_values": torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))}

    asked = file_request("fp32", lambda: model, images, 32, length=1)
    PORTABLE.make(asked, tmp_path / "portable.onnx")
    FUSED.make(replace(asked, source=tmp_path / "portable.onnx"), tmp_path / "fused.onnx")
    found = [kind for kind in kinds(tmp_path / "fused.onnx") if "Attention" in kind]
    assert found == ["Attention", "MultiHeadAttention"]
    found, expected = (logits(tmp_path / f"{name}.onnx", images(2, 1)) for name in ("fused", "portable"))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_heads_that_were_pruned_differ_between_layers(tmp_path):
    from edgedistill.models.pruned_model import PrunedBertConfig, PrunedBertForSequenceClassification

    sizes = {"vocab_size": 50, "max_position_embeddings": 80, "heads_by_layer": [1, 3], "neurons_by_layer": [40, 64]}
    model = PrunedBertForSequenceClassification(PrunedBertConfig(**SIZES | sizes)).eval()
    source, fused, _ = files_of(tmp_path, model)
    heads = [onnx.helper.get_node_attr_value(node, "num_heads") for node in onnx.load(fused).graph.node if node.domain]
    assert heads == [1, 3]
    np.testing.assert_allclose(logits(fused, texts(2, 9)), logits(source, texts(2, 9)), atol=1e-6)


def test_a_model_without_such_attention_is_refused(tmp_path):
    from edgedistill.models.static_model import StaticConfig, StaticForSequenceClassification

    model = StaticForSequenceClassification(StaticConfig(vocab_size=50, hidden_size=8, num_labels=3)).eval()
    with pytest.raises(RefusedError, match="onnx-fused: no layer of this model has attention .* expected target onnx"):
        files_of(tmp_path, model)


def test_every_precision_is_made_from_the_fused_file():
    sources = {name: precision.made_of for name, precision in FUSED.precisions.items()}
    assert sources == {"fp32": ("onnx", "fp32"), "int8-dynamic": ("onnx-fused", "fp32")}


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
def test_the_record_says_where_the_bytes_are(tmp_path, precision):
    source, fused, _ = files_of(tmp_path, built("bert"))
    asked = file_request(precision, lambda: built("bert"), texts, 32)
    made = FUSED.make(replace(asked, source=source if precision == "fp32" else fused), tmp_path / "made.onnx")
    parts = made.facts["bytes_by_part"]
    assert isinstance(parts, dict)
    assert sum(parts.values()) == (tmp_path / "made.onnx").stat().st_size
    assert parts["attention"] > 8 * 32 * 32  # of two layers, in one byte each at least


def test_a_layer_whose_tokens_are_all_read_is_one_operator_too(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("bert", vocab_size=50, max_position_embeddings=80, **SIZES)
    model = AutoModelForTokenClassification.from_config(config).eval()
    source, fused, _ = files_of(tmp_path, model)
    assert [kind for kind in kinds(fused) if "Attention" in kind] == ["Attention", "Attention"]
    np.testing.assert_allclose(logits(fused, texts(2, 9)), logits(source, texts(2, 9)), atol=1e-6)


def test_a_single_layer_that_is_read_for_one_token_is_fused(tmp_path):
    source, fused, _ = files_of(tmp_path, built("bert", num_hidden_layers=1))
    assert [kind for kind in kinds(fused) if "Attention" in kind] == ["MultiHeadAttention"]
    inputs = texts(3, 20)
    inputs["attention_mask"][1, 7:] = 0
    np.testing.assert_allclose(logits(fused, inputs), logits(source, inputs), atol=1e-6)
