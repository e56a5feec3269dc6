from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import LOGITS, drifting, file_request
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.models.image_model import PixelsConfig
from edgedistill.models.pruned_model import PrunedBertConfig
from edgedistill.models.static_model import StaticConfig

pytest.importorskip("ncnn", reason="the extra 'ncnn' is not installed")
pytest.importorskip("pnnx", reason="the extra 'ncnn' is not installed")

EXPORTER, RUNTIME = registry.target("ncnn"), registry.runtime("ncnn")
LENGTH = 40
SIZES = {
    "vocab_size": 50,
    "num_labels": 3,
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 48,
}


def samples(batch: int, length: int):
    """Single texts: all of type 0."""
    ids = torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(length))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def built(config, auto=AutoModelForSequenceClassification):
    torch.manual_seed(0)
    return auto.from_config(config).eval()


def made(model, file, precision="fp32", inputs=samples, length=None):
    return EXPORTER.make(file_request(precision, lambda: model, inputs, LENGTH, length=length), file)


def answered(session, inputs):
    return session.run({name: tensor.numpy() for name, tensor in inputs.items()})["logits"]


@pytest.fixture(scope="module")
def model():
    return built(AutoConfig.for_model("bert", **SIZES))


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ncnn")
    facts = {name: made(model, folder / how.file, name) for name, how in EXPORTER.precisions.items()}
    return folder, facts


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 2e-3)])
def test_the_file_agrees_with_torch_at_every_length_padded_or_not(files, model, precision, tolerance):
    session = RUNTIME.open(files[0] / EXPORTER.precisions[precision].file, 1, LOGITS)
    for batch, length in ((1, 1), (1, 7), (3, LENGTH)):
        inputs = samples(batch, length)
        inputs["attention_mask"][-1, length // 2 + 1 :] = 0
        inputs["token_type_ids"][:, length // 3 :] = 1  # as pairs of texts have
        with torch.no_grad():
            expected = model(**inputs).logits.numpy()
        got = answered(session, inputs)
        np.testing.assert_allclose(got, expected, atol=tolerance)
        assert precision == "fp32" or np.abs(got - expected).max() > 1e-6  # something was rounded


def test_the_padding_changes_nothing(files):
    session = RUNTIME.open(files[0] / "model.param", 1, LOGITS)
    inputs = samples(1, 9)
    alone = answered(session, inputs)
    padded = {name: torch.nn.functional.pad(tensor, (0, 20)) for name, tensor in inputs.items()}
    np.testing.assert_allclose(answered(session, padded), alone, atol=1e-5)


def test_checks_and_facts_are_told(files):
    for precision, tolerance in (("fp32", 1e-5), ("fp16", 2e-3)):
        told = files[1][precision]
        assert [(check.batch, check.length) for check in told.checks] == [(1, 1), (1, 16), (2, 37), (8, LENGTH)]
        assert max(check.max_abs_diff for check in told.checks) < tolerance
        assert told.facts["weights"] == precision


def test_weights_take_what_their_precision_says_and_nothing_else_is_left(files, model):
    names = {"model.param", "model.bin", "model_fp16.param", "model_fp16.bin"}
    assert {path.name for path in files[0].iterdir()} == names
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert (files[0] / "model.bin").stat().st_size == pytest.approx(4 * parameters, rel=0.02)
    assert (files[0] / "model_fp16.bin").stat().st_size < 0.6 * (files[0] / "model.bin").stat().st_size


@pytest.mark.parametrize(
    "config",
    [
        AutoConfig.for_model("electra", **SIZES, embedding_size=32),
        PrunedBertConfig(**SIZES, heads_by_layer=[1, 3], neurons_by_layer=[70, 33]),
        StaticConfig(vocab_size=50, hidden_size=32, num_labels=3),
        StaticConfig(vocab_size=50, hidden_size=32, head_size=16, num_labels=3),
    ],
    ids=["factorised", "pruned", "static", "static-with-a-head"],
)
def test_the_other_students_can_be_had(config, tmp_path):
    model = built(config)
    made(model, tmp_path / "model.param")
    inputs = samples(2, 21)
    inputs["attention_mask"][1, 5:] = 0
    with torch.no_grad():
        expected = model(**inputs).logits.numpy()
    np.testing.assert_allclose(answered(RUNTIME.open(tmp_path / "model.param", 1, LOGITS), inputs), expected, atol=1e-5)


def test_images_have_one_size(tmp_path):
    model = built(PixelsConfig(pixels=64, num_labels=10), AutoModelForImageClassification)

    def pixels(batch: int, length: int):
        return {"pixel_values": samples(batch, length)["input_ids"] % 17}

    made(model, tmp_path / "model.param", inputs=pixels, length=64)
    session = RUNTIME.open(tmp_path / "model.param", 1, LOGITS)
    with torch.no_grad():
        expected = model(**pixels(2, 64)).logits.numpy()
    np.testing.assert_allclose(answered(session, pixels(2, 64)), expected, atol=1e-5)
    assert session.backend()["products"] == 2
    with pytest.raises(EdgedistillError, match="an input of 63 values, but the file takes 64"):
        answered(session, pixels(1, 63))


def test_layers_that_ncnn_lacks_are_named(tmp_path):
    model = built(AutoConfig.for_model("roberta", **SIZES, pad_token_id=1))
    with pytest.raises(RefusedError, match=r"ncnn has no layers for .*torch\.ne, which this 'roberta' model needs"):
        made(model, tmp_path / "model.param")


def test_a_model_that_looks_back_only_is_refused(tmp_path):
    model = built(AutoConfig.for_model("llama", **SIZES, num_key_value_heads=4, pad_token_id=0))
    with pytest.raises(RefusedError, match="target ncnn: this 'llama' model cannot be expressed: its attention masks"):
        made(
            model,
            tmp_path / "model.param",
            inputs=lambda batch, length: {k: v for k, v in samples(batch, length).items() if k != "token_type_ids"},
        )


def test_a_file_that_differs_from_torch_is_refused(model, tmp_path, monkeypatch):
    monkeypatch.setattr("edgedistill.runtimes.ncnn.open", drifting(RUNTIME.open))
    with pytest.raises(EdgedistillError, match="target ncnn: .* differs from PyTorch by 0.01"):
        made(model, tmp_path / "model.param")


def test_a_failing_converter_is_told(model, tmp_path, monkeypatch):
    import pnnx

    monkeypatch.setattr(pnnx, "EXEC_PATH", "/bin/false")
    with pytest.raises(EdgedistillError, match="target ncnn: pnnx ended with exit code 1"):
        made(model, tmp_path / "model.param")
