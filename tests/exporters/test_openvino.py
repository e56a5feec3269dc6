from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import LOGITS, assert_close, file_request
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.target import FileRequest
from edgedistill.errors import EdgedistillError
from edgedistill_exporters import onnx

pytest.importorskip("openvino", reason="the extra 'openvino' is not installed")
pytest.importorskip("nncf", reason="the extra 'openvino' is not installed")

EXPORTER, RUNTIME = registry.target("openvino"), registry.runtime("openvino")
LENGTH = 32


def ids_of(batch: int, length: int) -> torch.Tensor:
    return torch.randint(5, 50, (batch, length), generator=torch.Generator().manual_seed(length))


def samples(batch: int, length: int):
    ids = ids_of(batch, length)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "bert",
        vocab_size=50,
        num_labels=3,
        num_hidden_layers=2,
        hidden_size=64,
        num_attention_heads=4,
        intermediate_size=128,
    )
    return AutoModelForSequenceClassification.from_config(config).eval()


def requested(model, precision, source=None, calibration=()) -> FileRequest:
    return file_request(precision, lambda: model, samples, LENGTH, source=source, calibration=calibration)


@pytest.fixture(scope="module")
def files(model, tmp_path_factory):
    """Each precision's file, made of the one that it says it is made of."""
    folder = tmp_path_factory.mktemp("openvino")
    onnx.make(requested(model, "fp32"), folder / "model.onnx")
    made = {("onnx", "fp32"): folder / "model.onnx"}
    inputs = [{name: tensor.numpy() for name, tensor in samples(1, length).items()} for length in range(4, LENGTH)]
    for name, how in EXPORTER.precisions.items():
        calibration = inputs if how.calibrated else ()
        EXPORTER.make(requested(model, name, made[how.made_of], calibration), folder / how.file)
        made["openvino", name] = folder / how.file
    return {name: file for (target, name), file in made.items() if target == "openvino"}


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("fp16", 5e-3), ("int8-static", 0.1)])
def test_the_file_agrees_with_torch_at_every_shape(files, model, precision, tolerance):
    session = RUNTIME.open(files[precision], 1, LOGITS)
    for batch, length in ((1, 1), (1, 7), (3, LENGTH)):
        with torch.no_grad():
            expected = model(**samples(batch, length)).logits.numpy()
        got = session.run({name: tensor.numpy() for name, tensor in samples(batch, length).items()})["logits"]
        assert_close(got, expected, atol=tolerance)
        if precision == "int8-static":
            assert np.abs(got - expected).max() > 1e-4  # something was quantized


def test_weights_take_what_their_precision_says(files):
    sizes = {name: file.with_suffix(".bin").stat().st_size for name, file in files.items()}
    assert sizes["fp16"] < 0.55 * sizes["fp32"]
    assert sizes["int8-static"] < 0.4 * sizes["fp32"]


def test_the_backend_tells_what_is_computed_in_int8(files):
    told: list[dict[str, Any]] = [RUNTIME.open(files[name], 1, LOGITS).backend() for name in ("fp32", "int8-static")]
    fp32, int8 = told
    assert (fp32["devices"], fp32["precision"]) == (["CPU"], "f32")
    assert fp32["products_in_int8"] == 0
    # Some processors' plug-ins keep a few small products in fp32.
    assert 0.75 * int8["products"] <= int8["products_in_int8"] <= int8["products"] > 0


def test_outputs_are_the_callers_own(files):
    session = RUNTIME.open(files["fp32"], 1, LOGITS)
    first = session.run({name: tensor.numpy() for name, tensor in samples(1, 8).items()})["logits"]
    kept = first.copy()
    session.run({name: tensor.numpy() for name, tensor in samples(1, 9).items()})
    np.testing.assert_array_equal(first, kept)


def test_inputs_of_another_type_and_layout_are_read_as_they_are(files):
    session = RUNTIME.open(files["fp32"], 1, LOGITS)
    inputs = {name: tensor.numpy() for name, tensor in samples(2, 8).items()}
    expected = session.run(inputs)["logits"]
    wide = {name: np.repeat(array, 2, axis=1).astype(np.int32)[:, ::2] for name, array in reversed(inputs.items())}
    np.testing.assert_array_equal(session.run(wide)["logits"], expected)


def test_another_device_or_arithmetic_is_refused(files):
    session: Any = RUNTIME.open(files["fp32"], 1, LOGITS)
    compiled = session._compiled

    class Elsewhere:
        def get_property(self, name):
            return ["GPU"] if name == "EXECUTION_DEVICES" else compiled.get_property(name)

    session._compiled = Elsewhere()
    with pytest.raises(EdgedistillError, match="OpenVINO runs the file on GPU in f32, expected CPU in f32"):
        session.backend()


def test_a_file_that_differs_from_torch_is_refused(model, files, tmp_path, monkeypatch):
    original = model.forward

    def drifting(*arguments, **options):
        outputs = original(*arguments, **options)
        outputs.logits = outputs.logits + 0.01
        return outputs

    monkeypatch.setattr(model, "forward", drifting)
    source = files["fp32"].with_name("model.onnx")
    with pytest.raises(EdgedistillError, match="target openvino: .* differs from PyTorch by 0.01"):
        EXPORTER.make(requested(model, "fp32", source), tmp_path / "model.xml")


def test_what_openvino_cannot_compile_is_quantized_by_the_plain_preset_and_the_facts_tell(
    model, files, tmp_path, monkeypatch
):
    asked = []

    def refusal(made):
        asked.append(made)
        return "cannot fold" if len(asked) == 1 else None

    source = files["fp32"]
    inputs = [{name: tensor.numpy() for name, tensor in samples(1, length).items()} for length in (4, 9)]
    told = EXPORTER.make(requested(model, "int8-static", source, inputs), tmp_path / "first.xml")
    assert told.facts == {"nncf_model_type": "transformer"}
    monkeypatch.setattr("edgedistill_exporters.openvino._refusal", refusal)
    told = EXPORTER.make(requested(model, "int8-static", source, inputs), tmp_path / "model.xml")
    assert told.facts == {"nncf_model_type": "none"}
    backend: dict[str, Any] = RUNTIME.open(tmp_path / "model.xml", 1, LOGITS).backend()
    assert backend["products_in_int8"] > 0
    monkeypatch.setattr("edgedistill_exporters.openvino._refusal", lambda _: "cannot fold")
    with pytest.raises(EdgedistillError, match="OpenVINO cannot compile the quantized model: cannot fold"):
        EXPORTER.make(requested(model, "int8-static", source, inputs), tmp_path / "none.xml")
