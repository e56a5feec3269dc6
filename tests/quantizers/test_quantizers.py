from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from edgedistill.contracts import registry


@pytest.fixture(scope="module")
def source(finished_run):
    return finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"


def quantized(source, folder, precision):
    module = registry.quantizer(precision)
    module.quantize(source, folder / module.file, ())
    return folder / module.file


def logits(file):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    ids = np.random.default_rng(0).integers(5, 100, (4, 10))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run(None, {port.name: inputs[port.name] for port in session.get_inputs()})[0]


def test_fp16_halves_the_weights_and_keeps_inputs_and_outputs(source, tmp_path):
    file = quantized(source, tmp_path, "fp16")
    whole = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
    weights = [initializer for initializer in onnx.load(file).graph.initializer if len(initializer.dims) == 2]
    assert {initializer.data_type for initializer in weights if initializer.data_type not in whole} == {
        onnx.TensorProto.FLOAT16
    }
    assert onnx.load(file).graph.output[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    np.testing.assert_allclose(logits(file), logits(source), atol=0.02)


def test_int8_quantizes_every_matrix_per_channel_and_the_embeddings(source, tmp_path):
    file = quantized(source, tmp_path, "int8-dynamic")
    graph = onnx.load(file).graph
    large = [initializer for initializer in graph.initializer if np.prod(initializer.dims) >= 32 * 32]
    embeddings = [initializer for initializer in large if "embeddings" in initializer.name]
    assert max(initializer.dims[0] for initializer in embeddings) > 100  # the vocabulary
    # ONNX Runtime looks tables up in the type of activations, which are unsigned.
    assert {initializer.data_type for initializer in embeddings} == {onnx.TensorProto.UINT8}
    assert {initializer.data_type for initializer in large if initializer not in embeddings} == {onnx.TensorProto.INT8}
    scales = [
        initializer
        for initializer in graph.initializer
        if initializer.name.endswith("_scale") and list(initializer.dims) == [64]
    ]
    assert scales, "per channel: a feed-forward weight has a scale for each of its 64 neurons"
    assert np.abs(logits(file) - logits(source)).max() < 0.5
    assert np.abs(logits(file) - logits(source)).max() > 0  # something was quantized


def test_names_are_those_that_transformers_js_and_optimum_look_for():
    files = {name: precision.file for name, precision in registry.target("onnx").precisions.items()}
    assert files == {
        "fp32": "model.onnx",
        "fp16": "model_fp16.onnx",
        "int8-dynamic": "model_quantized.onnx",
        "int8-static": "model_int8_static.onnx",
        "int8": "model_int8.onnx",
        "int4": "model_int4.onnx",
        "int4-gptq": "model_int4_gptq.onnx",
        "int4-gptq-tables": "model_int4_gptq_tables.onnx",
        "int2": "model_int2.onnx",
        "int4-tables": "model_int4_tables.onnx",
    }


def texts(seed: int = 0, items: int = 32):
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(items):
        ids = generator.integers(5, 100, (1, int(generator.integers(3, 20))))
        found.append(
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "token_type_ids": np.zeros_like(ids),
                "labels": np.array(1),
            }
        )
    return found


def static(source, folder, seed: int = 0):
    module = registry.quantizer("int8-static")
    module.quantize(source, folder / module.file, texts(seed))
    return folder / module.file


def test_static_int8_quantizes_products_on_both_sides_and_leaves_the_mask_alone(source, tmp_path):
    file = static(source, tmp_path)
    graph = onnx.load(file).graph
    made_by = {output: node for node in graph.node for output in node.output}
    weights = {initializer.name for initializer in graph.initializer if initializer.data_type == onnx.TensorProto.INT8}
    products = [
        [made_by[name] for name in node.input[:2]]
        for node in graph.node
        if node.op_type == "MatMul" and set(made_by[node.input[1]].input) & weights
    ]
    assert len(products) == 6  # queries, keys, values, output and the feed-forward pair of one layer
    assert {node.op_type for pair in products for node in pair} == {"DequantizeLinear"}
    scales = [
        onnx.numpy_helper.to_array(initializer)
        for initializer in graph.initializer
        if initializer.name.endswith("_scale")
    ]
    assert max(scale.max() for scale in scales) < 1  # with the mask's -3.4e38 in its range it would be 1e36
    tables = [
        initializer
        for initializer in graph.initializer
        if "embeddings" in initializer.name and max(initializer.dims, default=0) > 100
    ]
    assert {table.data_type for table in tables} <= {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
    assert file.stat().st_size < 0.75 * source.stat().st_size
    difference = np.abs(logits(file) - logits(source)).max()
    assert 0 < difference < 0.5


def test_static_int8_depends_on_what_it_is_calibrated_with(source, tmp_path):
    contents = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        contents.append(static(source, tmp_path / name, seed).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_an_encoder_rounded_for_its_inputs_is_closer_than_one_rounded_by_weights(source, tmp_path):
    rounded = registry.quantizer("int4-gptq")
    rounded.quantize(source, tmp_path / rounded.file, texts(items=64))
    plain = quantized(source, tmp_path, "int4")
    assert (tmp_path / rounded.file).stat().st_size == plain.stat().st_size
    errors = [np.square(logits(file) - logits(source)).mean() for file in (tmp_path / rounded.file, plain)]
    assert 0 < errors[0] < errors[1]
