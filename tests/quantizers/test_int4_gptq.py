"""int4-gptq beside int4, and int4-gptq-tables beside int4-tables, on a language model with a cache; `test_quantizers`
has an encoder."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from language_models import VOCABULARY, causal_request, tiny
from onnx import TensorProto, helper, numpy_helper

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import CachedDecoder
from edgedistill.quantizers._gram import gram_matrices

TOKENS = 20


def texts(count: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Of a few of the tokens, so that inputs depend on each other, as those of real texts do."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        tokens = generator.integers(3, TOKENS, (1, int(generator.integers(5, 20))))
        found.append({"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
    return found


def opened(file):
    return registry.runtime("onnxruntime").open(file, 1, PortNames())


@pytest.fixture(scope="module")
def file(made_once):
    def fill(folder):
        registry.target("onnx").make(causal_request(tiny()), folder / "model.onnx")

    return made_once("causal-onnx-for-gptq", fill) / "model.onnx"


def errors(file, quantized, inputs) -> float:
    """Mean square of what quantizing changes in the logits."""
    found = []
    for text in inputs:
        right, rounded = (CachedDecoder(opened(one)).advance(text["input_ids"]) for one in (file, quantized))
        found.append(np.square(rounded - right).mean())
    return float(np.mean(found))


def quantized(precision, source, folder, calibration):
    quantizer = registry.quantizer(precision)
    quantizer.quantize(source, folder / quantizer.file, calibration)
    return folder / quantizer.file


@pytest.fixture(scope="module")
def made(file, tmp_path_factory):
    """The language model in each of these precisions."""
    folder, inputs = tmp_path_factory.mktemp("made"), texts(40, seed=0)
    names = ("int4", "int4-gptq", "int4-tables", "int4-gptq-tables")
    return {name: quantized(name, file, folder, inputs) for name in names}


@pytest.mark.parametrize(("plain", "rounded"), [("int4", "int4-gptq"), ("int4-tables", "int4-gptq-tables")])
def test_a_language_models_outputs_are_closer_than_those_of_weights_rounded_by_themselves(file, made, plain, rounded):
    others = texts(10, seed=1)
    assert errors(file, made[rounded], others) < 0.9 * errors(file, made[plain], others)


def test_a_file_rounded_for_its_inputs_is_as_large_and_smaller_in_larger_blocks(made):
    size = {name: file.stat().st_size for name, file in made.items()}
    assert size["int4-gptq"] == size["int4"]
    assert size["int4-gptq-tables"] < size["int4-tables"]
    bits = {attributes["bits"] for attributes in _in_blocks(made["int4-gptq-tables"])}
    sizes = {(attributes["N"], attributes["block_size"]) for attributes in _in_blocks(made["int4-gptq-tables"])}
    assert bits == {4}
    assert {size for width, size in sizes if width == VOCABULARY} == {32}, "the tied head, in the table's blocks"
    assert {size for width, size in sizes if width != VOCABULARY} == {64}


def _in_blocks(file):
    """Attributes of the products."""
    return [
        {attribute.name: attribute.i for attribute in node.attribute}
        for node in onnx.load(file).graph.node
        if node.op_type == "MatMulNBits"
    ]


def test_a_table_that_is_the_head_is_rounded_for_the_heads_inputs(tmp_path):
    """So scores of real inputs, one component of which is large, are closer than with each row rounded by itself."""
    generator = np.random.default_rng(0)
    table = generator.normal(size=(30, 32)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["found"]),
        helper.make_node("MatMul", ["found", "square"], ["hidden"]),
        helper.make_node("Transpose", ["table"], ["columns"], perm=[1, 0]),
        helper.make_node("MatMul", ["hidden", "columns"], ["scores"]),
    ]
    stored = {"table": table, "square": np.diag([20.0, *[1.0] * 31])}
    made = helper.make_graph(
        nodes,
        "tied",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [None, None])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in stored.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    given = [{"ids": generator.integers(0, 30, (1, 8))} for _ in range(20)]
    rows = table[np.concatenate([text["ids"][0] for text in given])]
    hidden = rows @ stored["square"]
    np.testing.assert_allclose(gram_matrices(tmp_path / "model.onnx", given)["table"], hidden.T @ hidden, rtol=1e-4)
    errors = {}
    for name in ("int4-tables", "int4-gptq-tables"):
        rows_found = _rows(quantized(name, tmp_path / "model.onnx", tmp_path, given), 30)
        errors[name] = np.square((rows_found - table) @ hidden.T).mean()
    assert errors["int4-gptq-tables"] < 0.9 * errors["int4-tables"]


def _rows(file, count):
    """What the file looks up."""
    model = onnx.load(file)
    lookup = next(node for node in model.graph.node if node.op_type == "GatherBlockQuantized")
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(lookup.output[0], TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"ids": np.arange(count)[None]})[0][0]


@pytest.mark.parametrize("precision", ["int4-gptq", "int4-gptq-tables"])
def test_it_depends_on_what_it_is_calibrated_with(file, tmp_path, precision):
    contents = []
    for seed in (0, 0, 1):
        contents.append(quantized(precision, file, tmp_path, texts(4, seed)).read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_inputs_of_products_are_summed_over_all_texts(tmp_path):
    """Two products of the graph's own input, two of one matrix, and one whose matrix is no constant."""
    weights = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    stored = {"first": weights, "second": weights[:, :3], "third": weights[:4]}
    nodes = [
        helper.make_node("MatMul", ["x", "first"], ["found"]),
        helper.make_node("MatMul", ["x", "second"], ["also"]),
        helper.make_node("Relu", ["found"], ["positive"]),
        helper.make_node("MatMul", ["positive", "third"], ["y"]),
        helper.make_node("Transpose", ["y"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["y", "turned"], ["scores"]),
        helper.make_node("MatMul", ["y", "third"], ["again"]),
    ]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, 6])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("also", "scores", "again")]
    made = helper.make_graph(
        nodes, "products", inputs, outputs, [numpy_helper.from_array(array, name) for name, array in stored.items()]
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    generator = np.random.default_rng(1)
    given = [generator.normal(size=(1, length, 6)).astype(np.float32) for length in (3, 5)]
    found = gram_matrices(tmp_path / "model.onnx", [{"x": array} for array in given])
    rows = np.concatenate([array.reshape(-1, 6) for array in given])
    positive = np.maximum(rows @ weights, 0)
    assert sorted(found) == ["first", "second", "third"]
    twice = np.concatenate([positive, positive @ weights[:4]])
    for name, expected in (("first", rows), ("second", rows), ("third", twice)):
        np.testing.assert_allclose(found[name], expected.T @ expected, rtol=1e-5)
