from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from helpers import LOGITS, drifting, file_request
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError
from edgedistill.runtimes import mnn
from edgedistill_exporters import mnn as exporter
from edgedistill_exporters import onnx

pytest.importorskip("MNN", reason="the extra 'mnn' is not installed")

EXPORTER, RUNTIME = registry.target("mnn"), registry.runtime("mnn")
LENGTH = 32


def samples(batch: int, length: int):
    ids = torch.randint(5, 500, (batch, length), generator=torch.Generator().manual_seed(length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def answered(session, inputs):
    return session.run({name: tensor.numpy() for name, tensor in inputs.items()})["logits"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "bert",
        vocab_size=500,
        num_labels=3,
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=40,
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)  # activations far from zero, where approximations of GELU part
    return model


@pytest.fixture(scope="module")
def made(model, tmp_path_factory):
    """Each precision's file, made of the ONNX file, and what is told of it."""
    folder = tmp_path_factory.mktemp("mnn")
    source = folder / "model.onnx"
    onnx.make(file_request("fp32", lambda: model, samples, LENGTH), source)
    told = {}
    for name, how in EXPORTER.precisions.items():
        assert how.made_of == ("onnx", "fp32")
        request = file_request(name, lambda: model, samples, LENGTH, source=source)
        told[name] = (EXPORTER.make(request, folder / how.file), folder / how.file)
    return told


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 1e-2), ("int8-dynamic", 0.1)])
def test_the_file_agrees_with_torch_at_every_shape_padded_or_not(made, model, precision, tolerance):
    session = RUNTIME.open(made[precision][1], 1, LOGITS)
    for batch, length in ((1, 1), (1, 7), (3, LENGTH)):
        inputs = samples(batch, length)
        inputs["attention_mask"][-1, length // 2 + 1 :] = 0
        with torch.no_grad():
            expected = model(**inputs).logits.numpy()
        got = answered(session, inputs)
        np.testing.assert_allclose(got, expected, atol=tolerance)
        assert precision == "fp32" or np.abs(got - expected).max() > 1e-5  # something was rounded


def test_fp32_is_compared_with_torch(made):
    checks = made["fp32"][0].checks
    assert [(check.batch, check.length) for check in checks] == [(1, 1), (1, 16), (2, LENGTH), (8, LENGTH)]
    assert max(check.max_abs_diff for check in checks) < 1e-5  # the approximated GELU would be 1e-4 off


def test_tables_too_are_smaller(made, model):
    tables = sum(module.weight.numel() for module in model.modules() if isinstance(module, torch.nn.Embedding))
    fp32, fp16, int8 = (made[name][1].stat().st_size for name in ("fp32", "fp16", "int8-dynamic"))
    others = sum(parameter.numel() for parameter in model.parameters()) - tables
    assert [made[name][0].facts["embedding"] for name in EXPORTER.precisions] == ["fp32", "fp16", "fp16"]
    assert fp32 - fp16 == pytest.approx(2 * (tables + others), rel=0.05)
    assert fp32 - int8 == pytest.approx(2 * tables + 3 * others, rel=0.06)


def test_the_backend_tells_what_activations_are_multiplied_in(made):
    told = {name: RUNTIME.open(file, 1, LOGITS).backend() for name, (_, file) in made.items()}
    assert {name: facts["activations"] for name, facts in told.items()} == {
        "fp32": "fp32",
        "fp16": "fp32",
        "int8-dynamic": "int8",
    }
    assert told["fp32"]["threads"] == 1


def test_a_file_that_is_not_computed_as_it_was_meant_is_refused(made, monkeypatch):
    monkeypatch.setattr(mnn, "_LOW", mnn._NORMAL)
    session = RUNTIME.open(made["int8-dynamic"][1], 1, LOGITS)
    with pytest.raises(EdgedistillError, match="MNN computes activations in fp32, but the file is for int8-dynamic"):
        session.backend()


def test_outputs_are_the_callers_own(made):
    session = RUNTIME.open(made["fp32"][1], 1, LOGITS)
    first = answered(session, samples(1, 8))
    kept = first.copy()
    answered(session, samples(1, 9))
    np.testing.assert_array_equal(first, kept)


def test_a_conversion_that_writes_nothing_is_told(model, tmp_path):
    with pytest.raises(EdgedistillError, match=r"target mnn: the converter wrote no file of 'nothing\.onnx'"):
        exporter._call("ONNX", tmp_path / "nothing.onnx", tmp_path / "model.mnn", "fp32")


def test_a_file_that_differs_from_torch_is_refused(made, model, tmp_path, monkeypatch):
    monkeypatch.setattr(mnn, "open", drifting(mnn.open))
    source = made["fp32"][1].with_name("model.onnx")
    with pytest.raises(EdgedistillError, match="target mnn: .* differs from PyTorch by 0.01"):
        EXPORTER.make(file_request("fp32", lambda: model, samples, LENGTH, source=source), tmp_path / "model.mnn")


def test_nothing_that_reports_to_its_makers_is_loaded(made):
    """`made` has converted and run in this process by now."""
    assert "_tools" in sys.modules
    assert not [name for name in sys.modules if name.startswith(("MNN.tools", "aliyun"))]
