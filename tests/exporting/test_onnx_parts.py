"""Which part a matrix belongs to, on graphs of several architectures as exported, written out, fused and quantized."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from helpers import file_request
from transformers import AutoModelForSequenceClassification as Classifier
from transformers import BertConfig, ElectraConfig, ModernBertConfig, MPNetConfig

from edgedistill.contracts import registry
from edgedistill.exporting.onnx_parts import matrices, part_sizes
from edgedistill_exporters.onnx_attention import fuse_attention

SIZES = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 48, "vocab_size": 60}
EXPORTER = registry.target("onnx")


def exported(config, file):
    torch.manual_seed(0)
    config.num_labels = 3
    model = Classifier.from_config(config).eval()
    for name, values in model.named_parameters():
        if name.endswith("bias"):  # of a fresh model they are equal, and would be stored once
            torch.nn.init.normal_(values, std=0.02)

    def samples(batch, length):
        ids = torch.arange(batch * length).reshape(batch, length) % 50 + 5
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    EXPORTER.make(file_request("fp32", lambda: model, samples, 16, min_length=3), file)
    return file


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return exported(BertConfig(**SIZES), tmp_path_factory.mktemp("bert") / "model.onnx")


def parts(file) -> Counter:
    return Counter((matrix.kind, matrix.part) for matrix in matrices(onnx.load(file).graph))


BERT = {
    ("table", "embeddings"): 3,
    ("product", "attention"): 8,
    ("product", "feed_forward"): 4,
    ("product", "head"): 2,
}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int8-static", "int4"])
def test_the_parts_of_a_quantized_file_are_those_of_its_model(bert, tmp_path, precision):
    file = bert
    if precision != "fp32":
        file = tmp_path / "quantized.onnx"
        ids = np.arange(5, 13)[None]
        registry.quantizer(precision).quantize(bert, file, [{"input_ids": ids, "attention_mask": np.ones_like(ids)}])
    assert parts(file) == BERT


def test_attention_as_one_operator(bert, tmp_path):
    """Its weights hold those of queries, keys and values; in the last layer, which is read for one token, they stay
    apart."""
    graph = onnx_ir.load(bert)
    assert fuse_attention(graph) == 2
    onnx_ir.save(graph, tmp_path / "fused.onnx")
    assert parts(tmp_path / "fused.onnx") == BERT | {("product", "attention"): 2 + 4}


def test_sums_of_three_instead_of_two_additions(bert, tmp_path):
    """A residual addition together with its bias."""
    model = onnx.load(bert)
    made = {node.output[0]: node for node in model.graph.node}
    weights = {initializer.name for initializer in model.graph.initializer}
    joined = 0
    for node in model.graph.node:
        bias = made.get(node.input[0]) if node.op_type == "Sum" else None
        if bias is not None and bias.op_type == "Add" and bias.input[1] in weights and node.input[1] not in weights:
            node.input[:] = [*bias.input, node.input[1]]
            joined += 1
    assert joined == 4
    onnx.save(model, tmp_path / "sums.onnx")
    assert parts(tmp_path / "sums.onnx") == BERT


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # A product after the tables; no pooler but a dense layer in the head.
        (
            ElectraConfig(**SIZES, embedding_size=16),
            {
                ("table", "embeddings"): 3,
                ("product", "embeddings"): 1,
                ("product", "attention"): 8,
                ("product", "feed_forward"): 4,
                ("product", "head"): 2,
            },
        ),
        # Relative positions are looked up for the attention.
        (
            MPNetConfig(**SIZES),
            {
                ("table", "embeddings"): 2,
                ("table", "attention"): 1,
                ("product", "attention"): 8,
                ("product", "feed_forward"): 4,
                ("product", "head"): 2,
            },
        ),
        # Norms first, one product for queries, keys and values, no biases, gated feed-forward layers.
        (
            ModernBertConfig(**SIZES, pad_token_id=0, global_attn_every_n_layers=1),
            {
                ("table", "embeddings"): 1,
                ("product", "attention"): 4,
                ("product", "feed_forward"): 4,
                ("product", "head"): 2,
            },
        ),
    ],
    ids=["electra", "mpnet", "modernbert"],
)
def test_other_architectures(config, expected, tmp_path):
    assert parts(exported(config, tmp_path / "model.onnx")) == expected


def test_the_weights_of_every_layer_are_counted(bert):
    square, wide = 32 * 32, 32 * 48
    assert part_sizes(bert) == {
        ("embeddings", None): (60 + 512 + 2) * 32,
        ("attention", 0): 4 * square,
        ("feed_forward", 0): 2 * wide,
        ("attention", 1): 4 * square,
        ("feed_forward", 1): 2 * wide,
        ("head", None): square + 3 * 32,
    }


def test_a_part_is_one_unit_if_the_layer_of_one_matrix_is_unknown(bert, tmp_path):
    model = onnx.load(bert)
    bias = "bert.encoder.layer.1.output.dense.bias"
    assert bias in {initializer.name for initializer in model.graph.initializer}
    for values in (*model.graph.initializer, *model.graph.node):
        if values.name == bias:
            values.name = "renamed"
        if hasattr(values, "input"):
            values.input[:] = ["renamed" if name == bias else name for name in values.input]
    onnx.save(model, tmp_path / "renamed.onnx")
    found = part_sizes(tmp_path / "renamed.onnx")
    assert found.keys() == {
        ("embeddings", None), ("attention", 0), ("attention", 1), ("feed_forward", None), ("head", None)
    }  # fmt: skip
    assert found["feed_forward", None] == 4 * 32 * 48
