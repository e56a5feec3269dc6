from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
import torch
from helpers import file_request
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill_exporters.onnx_one_token import read_one_token

PORTABLE = registry.target("onnx")
SIZES = {"num_labels": 3, "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
DISTILBERT = {"n_layers": 3, "dim": 32, "n_heads": 4, "hidden_dim": 64, "num_labels": 3}


def built(kind: str, auto=AutoModelForSequenceClassification):
    torch.manual_seed(0)
    sizes = DISTILBERT if kind == "distilbert" else SIZES
    config = AutoConfig.for_model(kind, vocab_size=50, max_position_embeddings=80, **sizes)
    return auto.from_config(config).eval()


def texts(batch: int, length: int):
    ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def exported(folder, model, forward=None):
    """The file, and the shapes of its values."""
    asked = file_request("fp32", lambda: model, texts, 32)
    if forward is not None:
        asked = replace(asked, outputs=("vector",), forward=forward)
    PORTABLE.make(asked, folder / "model.onnx")
    return folder / "model.onnx"


def products(file) -> list[int | str]:
    """The tokens that each product with a constant matrix of an (B, T, N) output is computed for, in order."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(file)).graph
    stored = {initializer.name for initializer in graph.initializer}
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    made = [
        shapes[node.output[0]] for node in graph.node if node.op_type == "MatMul" and stored.intersection(node.input)
    ]
    return [dims[1].dim_value or "T" for dims in made if len(dims) == 3]


def answers(file, inputs):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {port.name: inputs[port.name].numpy() for port in session.get_inputs()})[0]


def padded():
    inputs = texts(3, 20)
    inputs["attention_mask"][1, 7:] = 0
    return inputs


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "distilbert"])
def test_the_last_layer_is_computed_for_the_token_that_is_read(tmp_path, kind):
    """But for keys and values; what the products before it are computed for stays as it was."""
    model = built(kind)
    file = exported(tmp_path, model)
    found = products(file)
    assert found.count("T") == 2 * 6 + 2 + (kind == "electra")  # its embeddings have a product too
    assert found.count(1) >= 4  # query, output, both of the feed-forward part; some heads are written as such products
    with torch.no_grad():
        expected = model(**padded()).logits.numpy()
    np.testing.assert_allclose(answers(file, padded()), expected, atol=1e-5)


def test_any_one_token_will_do(tmp_path):
    model = built("bert", AutoModel)

    def last(given, inputs):
        return {"vector": given(**inputs).last_hidden_state[:, -1]}

    file = exported(tmp_path, model, last)
    assert products(file).count(1) == 4
    inputs = texts(2, 11)
    with torch.no_grad():
        expected = last(model, inputs)["vector"].numpy()
    np.testing.assert_allclose(answers(file, inputs), expected, atol=1e-5)


@pytest.mark.parametrize("read", ["the mean", "two tokens", "one token and the mean"])
def test_what_is_read_for_more_tokens_is_computed_for_all(tmp_path, read):
    model = built("bert", AutoModel)

    def forward(given, inputs):
        states = given(**inputs).last_hidden_state
        several = {"the mean": states.mean(1), "two tokens": states[:, 0] + states[:, -1]}
        return {"vector": several[read] if read in several else states[:, 0] * states.mean(1)}

    file = exported(tmp_path, model, forward)
    assert products(file) == ["T"] * 18
    inputs = texts(2, 11)
    with torch.no_grad():
        expected = forward(model, inputs)["vector"].numpy()
    np.testing.assert_allclose(answers(file, inputs), expected, atol=1e-5)


def test_an_image_model_reads_one_token_too(tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model("vit", image_size=8, patch_size=4, **SIZES)
    model = AutoModelForImageClassification.from_config(config).eval()

    def images(batch: int, length: int):
        return {"pixel_values": torch.rand(batch, 3, 8, 8, generator=torch.Generator().manual_seed(0))}

    asked = file_request("fp32", lambda: model, images, 32, length=1)
    PORTABLE.make(asked, tmp_path / "model.onnx")
    assert products(tmp_path / "model.onnx") == [5] * 12 + [1, 5, 5, 1, 1, 1]
    with torch.no_grad():
        expected = model(**images(2, 1)).logits.numpy()
    np.testing.assert_allclose(answers(tmp_path / "model.onnx", images(2, 1)), expected, atol=1e-5)


def test_an_answer_no_longer_depends_on_how_other_tokens_of_the_last_layer_are_rounded(tmp_path):
    """In int8, the scales of the last layer's inputs cover the token that is read."""
    file, small = exported(tmp_path, built("bert")), tmp_path / "small.onnx"
    PORTABLE.make(
        replace(file_request("int8-dynamic", lambda: built("bert"), texts, 32), source=file),
        small,
    )
    np.testing.assert_allclose(answers(small, padded()), answers(file, padded()), atol=0.02)
    graph = onnx.load(small).graph
    made = {output: node for node in graph.node for output in node.output}
    assert [made[node.input[0]].op_type for node in graph.node if node.op_type == "DynamicQuantizeLinear"].count(
        "Slice"
    ) == 1


@pytest.mark.parametrize(("length", "narrowed"), [("length", 1), (None, 0)])
def test_sizes_that_nobody_knows_are_not_taken_for_equal(length, narrowed):
    sizes = ["batch", length, 4]
    nodes = [
        onnx.helper.make_node("Add", ["x", "y"], ["sum"]),
        onnx.helper.make_node("Gather", ["sum", "first"], ["z"], axis=1),
    ]
    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, sizes) for name in ("x", "y", "sum")]
    out = onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["batch", 4])
    first = onnx.helper.make_tensor("first", onnx.TensorProto.INT64, [], [0])
    graph = onnx.helper.make_graph(nodes, "graph", ports[:2], [out], [first], value_info=ports[2:])
    model = onnx_ir.from_proto(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)]))
    assert read_one_token(model) == narrowed
    session = onnxruntime.InferenceSession(
        onnx_ir.to_proto(model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x, y = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(session.run(None, {"x": x, "y": y})[0], (x + y)[:, 0])
