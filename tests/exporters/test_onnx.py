from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import file_request
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from edgedistill.contracts import registry
from edgedistill.contracts.target import FileRequest
from edgedistill.errors import EdgedistillError

EXPORTER = registry.target("onnx")


def request(model, max_length: int = 32) -> FileRequest:
    def samples(batch: int, length: int):
        ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return file_request("fp32", model.eval, samples, max_length)


SIZES = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.mark.parametrize(
    "architecture",
    [
        "bert",
        *(pytest.param(family, marks=pytest.mark.slow) for family in ("roberta", "distilbert", "mpnet", "electra")),
    ],
)
def test_architectures_export_and_agree_at_every_shape(tmp_path, architecture):
    sizes = {"n_layers": 2, "dim": 32, "n_heads": 4, "hidden_dim": 64} if architecture == "distilbert" else SIZES
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, vocab_size=50, max_position_embeddings=80, num_labels=3, **sizes)
    model = AutoModelForSequenceClassification.from_config(config)
    checks = EXPORTER.make(request(model), tmp_path / "model.onnx").checks
    assert [(check.batch, check.length) for check in checks] == [(1, 1), (1, 16), (2, 32), (8, 32)]
    assert max(check.max_abs_diff for check in checks) < 1e-5


def test_a_file_says_nothing_of_the_machine_that_made_it(finished_run):
    """The exporter notes the source line of every operator, with its path here, and the traced program's signature."""
    files = list((finished_run.folder / "models").rglob("*.onnx"))
    assert len(files) >= 3
    for file in files:
        content = file.read_bytes()
        assert not any(
            part in content for part in (b"site-packages", b"stack_trace", b"signature", str(file.parents[3]).encode())
        )


def test_a_file_gives_what_the_task_makes_of_the_model(tmp_path):
    """And the model is as it was."""
    model = AutoModel.from_config(
        AutoConfig.for_model("bert", vocab_size=50, **SIZES | {"num_hidden_layers": 1})
    ).eval()
    asked = replace(
        request(model),
        outputs=("vector",),
        forward=lambda given, inputs: {"vector": given(**inputs).last_hidden_state[:, -1]},
    )
    assert len(EXPORTER.make(asked, tmp_path / "model.onnx").checks) == 4
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [(port.name, port.shape) for port in session.get_outputs()] == [("vector", ["batch", 32])]
    assert "pooler_output" in model(input_ids=torch.ones(1, 3, dtype=torch.int64))


def test_padding_changes_nothing_in_the_file(finished_run):
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(finished_run.folder / "models" / "r1")

    def run(texts):
        inputs = tokenizer(texts, padding=True, return_tensors="np")
        return session.run(None, {port.name: inputs[port.name] for port in session.get_inputs()})[0]

    alone, padded = (
        run(["is it raining"]),
        run(["is it raining", "wake me up at six thirty tomorrow morning please"]),
    )
    np.testing.assert_allclose(padded[0], alone[0], atol=1e-5)


def test_a_file_that_differs_from_torch_is_refused(tmp_path, monkeypatch):
    config = AutoConfig.for_model("bert", vocab_size=50, num_labels=3, **SIZES)
    model = AutoModelForSequenceClassification.from_config(config)
    asked = request(model)
    original = model.forward

    def drifting(*arguments, **options):
        outputs = original(*arguments, **options)
        if not torch.compiler.is_exporting():
            outputs.logits = outputs.logits + 0.01
        return outputs

    monkeypatch.setattr(model, "forward", drifting)
    with pytest.raises(EdgedistillError, match="the file differs from PyTorch by 0.01, expected at most 0.001"):
        EXPORTER.make(asked, tmp_path / "model.onnx")


def test_the_folder_is_what_edge_clients_look_for(finished_run):
    folder = finished_run.folder / "models" / "r1"
    names = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
    assert {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "onnx/model.onnx",
        "onnx/model_quantized.onnx",
    } <= names
    config = json.loads((folder / "config.json").read_text())
    assert config["id2label"] == {"0": "play_music", "1": "set_alarm", "2": "weather"}
    model = onnx.load(folder / "onnx" / "model.onnx")
    assert {port.name for port in model.graph.input} == {"input_ids", "attention_mask", "token_type_ids"}
    axes = [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", "length"]
    assert {domain.domain for domain in model.opset_import} == {""}  # portable operators only


def test_an_input_that_no_operator_reads_is_not_there(tmp_path):
    from edgedistill.models.static_model import StaticConfig, StaticForSequenceClassification

    class Naming(StaticForSequenceClassification):
        def forward(self, input_ids, attention_mask=None, output_hidden_states=False, token_type_ids=None, **more):
            return super().forward(input_ids, attention_mask)

    def samples(batch: int, length: int):
        ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(0))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}

    model = Naming(StaticConfig(vocab_size=50, hidden_size=8, num_labels=3)).eval()
    EXPORTER.make(file_request("fp32", lambda: model, samples, 32), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    assert [port.name for port in session.get_inputs()] == ["input_ids", "attention_mask"]


def nodes_of(file) -> list[onnx.NodeProto]:
    return list(onnx.load(file, load_external_data=False).graph.node)


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
def test_the_mask_is_an_addend_and_residuals_stay_apart_from_layer_norms(tmp_path, family):
    """Comparisons cost time and some converters refuse them; ONNX Runtime's joint kernel of a sum and a layer norm is
    slower than both."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, vocab_size=50, max_position_embeddings=80, num_labels=3, **SIZES)
    EXPORTER.make(request(AutoModelForSequenceClassification.from_config(config)), tmp_path / "model.onnx")
    kinds = [node.op_type for node in nodes_of(tmp_path / "model.onnx")]
    assert kinds.count("Softmax") == 2
    assert not {"Where", "IsNaN", "GatherND", "And"} & set(kinds)
    assert kinds.count("Sum") == kinds.count("LayerNormalization") == 5
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    onnxruntime.InferenceSession(tmp_path / "model.onnx", options, providers=["CPUExecutionProvider"])
    assert "SkipLayerNormalization" not in {node.op_type for node in nodes_of(tmp_path / "optimized.onnx")}
