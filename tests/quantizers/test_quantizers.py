from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from edgedistill import plugins


@pytest.fixture(scope="module")
def source(finished_run):
    return finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"


def quantized(source, folder, precision):
    module = plugins.find("quantizers", precision)
    module.quantize(source, folder / module.FILE, ())
    return folder / module.FILE


def logits(file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(5, 100, (4, 10))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run(None, {each.name: inputs[each.name] for each in session.get_inputs()})[0]


def test_fp16_halves_the_weights_and_keeps_inputs_and_outputs(source, tmp_path):
    file = quantized(source, tmp_path, "fp16")
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    weights = [each for each in onnx.load(file).graph.initializer if len(each.dims) == 2]
    assert {each.data_type for each in weights if each.data_type not in whole} == {onnx.TensorProto.FLOAT16}
    assert onnx.load(file).graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    np.testing.assert_allclose(logits(file), logits(source), atol=0.02)


def test_int8_quantizes_every_matrix_per_channel_and_the_embeddings(source, tmp_path):
    file = quantized(source, tmp_path, "int8-dynamic")
    graph = onnx.load(file).graph
    large = [each for each in graph.initializer if np.prod(each.dims) >= 32 * 32]
    embeddings = [each for each in large if "embeddings" in each.name]
    assert max(each.dims[0] for each in embeddings) > 100  # the vocabulary
    # ONNX Runtime looks tables up in the type of activations, which are unsigned.
    assert {each.data_type for each in embeddings} == {onnx.TensorProto.UINT8}
    assert {each.data_type for each in large if each not in embeddings} == {onnx.TensorProto.INT8}
    scales = [each for each in graph.initializer if each.name.endswith("_scale") and list(each.dims) == [64]]
    assert scales, "per channel: a feed-forward weight has a scale for each of its 64 neurons"
    assert np.abs(logits(file) - logits(source)).max() < 0.5
    assert np.abs(logits(file) - logits(source)).max() > 0  # something was quantized


def test_names_are_those_that_transformers_js_and_optimum_look_for():
    files = {name: each.file for name, each in plugins.find("exporters", "onnx").PRECISIONS.items()}
    assert files == {"fp32": "model.onnx", "fp16": "model_fp16.onnx", "int8-dynamic": "model_quantized.onnx"}
