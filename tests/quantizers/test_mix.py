from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx_graphs import WORDS, encoder, logits

from edgedistill.contracts import registry
from edgedistill.contracts.precision import PARTS, Mix
from edgedistill.errors import RefusedError
from edgedistill.exporting.onnx_parts import matrices
from edgedistill.quantizers._mix import quantize_mix


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    file = tmp_path_factory.mktemp("mix") / "model.onnx"
    onnx.save(encoder(), file)
    return file


def mixed(source, folder, block=32, **parts):
    quantize_mix(source, folder / "mixed.onnx", Mix({part: parts[part] for part in PARTS if part in parts}, block))
    return folder / "mixed.onnx"


def operators(file, part) -> Counter:
    return Counter(matrix.node.op_type for matrix in matrices(onnx.load(file).graph) if matrix.part == part)


METHODS = registry.target("onnx").mix.methods
PRODUCTS = {"attention": 4, "feed_forward": 2, "head": 1}


@pytest.mark.parametrize("precision", ["int8-dynamic", "int8", "int4", "int2"])
@pytest.mark.parametrize("part", PRODUCTS)
def test_only_the_products_of_the_part_are_quantized(source, tmp_path, part, precision):
    file = mixed(source, tmp_path, **{part: precision})
    made = "MatMulInteger" if precision == "int8-dynamic" else "MatMulNBits"
    for name, count in PRODUCTS.items():
        found = operators(file, name)
        assert found[made] == (count if name == part else 0)
        assert found.total() == count
    assert operators(file, "embeddings") == {"Gather": 1}
    difference = np.abs(logits(file) - logits(source)).max()
    assert 0 < difference < (0.03 if "8" in precision else 0.3 if precision == "int4" else 1.5)


@pytest.mark.parametrize(("precision", "error"), [("fp16", 1e-3), ("int8", 2e-2), ("int4", 0.2), ("int2", 1.5)])
def test_fewer_bits_of_the_table_are_smaller(source, tmp_path, precision, error):
    file = mixed(source, tmp_path, embeddings=precision)
    assert 0 < np.abs(logits(file) - logits(source)).max() < error
    assert "words" not in {initializer.name for initializer in onnx.load(file).graph.initializer}
    saved = source.stat().st_size - file.stat().st_size
    rows, values = 40, 40 * 32
    stored = {
        "fp16": 2 * values,
        "int8": values + 4 * rows,
        "int4": values / 2 + 5 * rows,
        "int2": values / 4 + 5 * rows,
    }
    assert abs(saved - (4 * values - stored[precision])) < 700  # of nodes and their names


def test_every_part_in_its_own(source, tmp_path):
    file = mixed(source, tmp_path, embeddings="int4", attention="int8-dynamic", feed_forward="int2", head="int8")
    found = {part: set(operators(file, part)) for part in PARTS}
    assert found == {
        "embeddings": {"GatherBlockQuantized"},
        "attention": {"MatMulInteger"},
        "feed_forward": {"MatMulNBits"},
        "head": {"MatMulNBits"},
    }
    assert np.isfinite(logits(file)).all()


INPUTS = [{"ids": ids[None]} for ids in np.random.default_rng(1).integers(0, WORDS, (20, 8))]
"""What `logits` runs."""


def calibrated(source, folder, inputs=INPUTS, method="minmax", **parts):
    quantize_mix(source, folder / f"{method}.onnx", Mix(parts), inputs, method)
    return folder / f"{method}.onnx"


@pytest.mark.parametrize("part", PRODUCTS)
def test_only_products_of_a_calibrated_part_are_between_calibrated_ranges(source, tmp_path, part):
    """So neither the softmax nor the mask, nor products of two activations."""
    file = calibrated(source, tmp_path, **{part: "int8-static"})
    nodes = onnx.load(file).graph.node
    made_by = {name: node.op_type for node in nodes for name in node.output}
    multiplied = [node for node in nodes if node.op_type in ("MatMul", "Gemm")]
    rounded = [node for node in multiplied if all(made_by.get(name) == "DequantizeLinear" for name in node.input[:2])]
    assert len(rounded) == PRODUCTS[part]
    ranges = {node.input[0] for node in nodes if node.op_type == "QuantizeLinear"}
    assert not ranges & {"scores", "shares"}
    assert operators(file, part).total() == PRODUCTS[part]
    assert 0 < np.abs(logits(file) - logits(source)).max() < 0.05


def test_calibrated_parts_beside_all_others(source, tmp_path):
    parts = {"embeddings": "int4", "attention": "int8-static", "feed_forward": "int4", "head": "int8-dynamic"}
    file = calibrated(source, tmp_path, **parts)
    found = Counter(node.op_type for node in onnx.load(file).graph.node)
    assert (found["GatherBlockQuantized"], found["MatMulNBits"], found["MatMulInteger"]) == (1, 2, 1)
    assert found["QuantizeLinear"] > 0
    assert 0 < np.abs(logits(file) - logits(source)).max() < 0.4


def test_ranges_follow_the_inputs_and_the_method(source, tmp_path):
    narrow = [{"ids": np.full((1, 8), 3)}]
    (tmp_path / "narrow").mkdir()
    error, wrong = (
        np.abs(logits(file) - logits(source)).max()
        for file in (
            calibrated(source, tmp_path, feed_forward="int8-static"),
            calibrated(source, tmp_path / "narrow", narrow, feed_forward="int8-static"),
        )
    )
    assert wrong > 3 * error
    made = {calibrated(source, tmp_path, method=method, feed_forward="int8-static").read_bytes() for method in METHODS}
    assert len(made) == len(METHODS)


def test_a_layers_own_precision_takes_precedence(tmp_path):
    model = encoder()
    for initializer in model.graph.initializer:  # as an exporter names them
        if initializer.name in ("query", "up"):
            initializer.name = f"layer.{1 if initializer.name == 'up' else 0}.{initializer.name}"
    for node in model.graph.node:
        for old, new in (("query", "layer.0.query"), ("up", "layer.1.up")):
            if node.op_type == "MatMul" and node.input[1] == old:
                node.input[1] = new
    onnx.save(model, tmp_path / "model.onnx")
    quantize_mix(
        tmp_path / "model.onnx",
        tmp_path / "mixed.onnx",
        Mix({"attention": "int4", "attention.0": "int8-dynamic", "feed_forward.1": "int2"}),
    )
    assert operators(tmp_path / "mixed.onnx", "attention") == {"MatMulInteger": 1, "MatMulNBits": 3}
    assert operators(tmp_path / "mixed.onnx", "feed_forward") == {"MatMulNBits": 1, "MatMul": 1}


def test_a_bias_stays_in_the_product(source, tmp_path):
    """The head's; without it the logits would be off by up to 0.3."""
    assert np.abs(logits(mixed(source, tmp_path, head="int8")) - logits(source)).max() < 0.02


def test_the_block_changes_the_file(source, tmp_path):
    sizes = [mixed(source, tmp_path, block, embeddings="int4", attention="int4").stat().st_size for block in (16, 32)]
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize(
    ("model", "parts", "sentence"),
    [
        (
            {"tied": True},
            {"embeddings": "int4"},
            "'words' .* is an embedding table and the matrix of a product at once",
        ),
        ({"entry": True}, {"head": "int8"}, r"'entry' \(MatMul\) is in none of the parts"),
    ],
)
def test_what_is_in_no_part_is_refused(tmp_path, model, parts, sentence):
    onnx.save(encoder(**model), tmp_path / "model.onnx")
    with pytest.raises(RefusedError, match=sentence):
        mixed(tmp_path / "model.onnx", tmp_path, **parts)


def test_a_part_that_the_model_lacks_is_no_mix(tmp_path, source):
    model = onnx.load(source)
    gather, last = model.graph.node[0], model.graph.node[-1]
    mean = onnx.helper.make_node("ReduceMean", [gather.output[0], "axes"], [last.input[0]], keepdims=0)
    del model.graph.node[:]
    model.graph.node.extend([gather, mean, last])
    onnx.save(model, tmp_path / "static.onnx")
    with pytest.raises(RefusedError, match="no matrix in the parts to quantize"):
        mixed(tmp_path / "static.onnx", tmp_path, attention="int8-dynamic")
    mixed(tmp_path / "static.onnx", tmp_path, attention="int8-dynamic", embeddings="int4")
