"""Files made and opened by child processes of whichever interpreter has LiteRT's packages, as a run does it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.items import Column, Items
from edgedistill.device.files import Component
from edgedistill.errors import UserError
from edgedistill.exporting.candidates import candidates
from edgedistill.exporting.jobs import ExportJob, Part
from edgedistill.isolation import environments
from edgedistill.measuring.child import Child, MeasuringError
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.recipe.reading import validate

EXPORTER, RUNTIME = registry.target("litert"), registry.runtime("litert")
TASK = "text-classification"
BUCKETS = (16, 32)

try:
    PYTHON = environments.interpreter(EXPORTER.packages)
    environments.interpreter(RUNTIME.packages)
except UserError as error:
    PYTHON = Path()
    MISSING = str(error)
else:
    MISSING = ""

needs_packages = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def texts(lengths, seed: int) -> Items:
    random, sequence = np.random.default_rng(seed), Column("input", "sequence")
    content = {
        "input_ids": [random.integers(5, 500, length) for length in lengths],
        "attention_mask": [np.ones(length, np.int64) for length in lengths],
        "labels": np.zeros(len(lengths), np.int64),
    }
    columns = {"input_ids": sequence, "attention_mask": sequence, "labels": Column("target", "scalar")}
    return Items.of(columns, content, range(len(lengths)))


def model_of(kind: str, **more) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"vocab_size": 500, "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, **more}
    config = AutoConfig.for_model(kind, num_hidden_layers=2, max_position_embeddings=80, num_labels=5, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.mul_(3)  # fresh weights give logits so small that nothing shows
    return model


class Made:
    """Files of one model in every precision and bucket, and how to make more."""

    def __init__(self, folder: Path, model: torch.nn.Module) -> None:
        self.folder, self.model = folder, model
        model.save_pretrained(folder / "model")
        texts([32, 31, 20, 9], 0).save(folder / "samples")
        texts([*range(1, 33)] * 2, 1).save(folder / "calibration")
        self.told = {}

    def file(self, precision: str, length: int) -> Path:
        return self.folder / f"{precision}-{length}.tflite"

    def files(self, precision: str) -> dict[int, Path]:
        return {length: self.file(precision, length) for length in BUCKETS}

    def make(self, child: Child, precision: str, file=None, calibration: str = "calibration") -> None:
        how = EXPORTER.precisions[precision]
        source = None if how.made_of is None else how.made_of[1]
        job = ExportJob(
            target="litert",
            exporter=registry.reference("exporters", "litert"),
            precision=precision,
            task=registry.reference("tasks", TASK),
            model=str(self.folder / "model"),
            samples=str(self.folder / "samples"),
            calibration=str(self.folder / calibration) if how.calibrated else None,
            max_length=max(BUCKETS),
            only_length=None,
            fixed=True,
            files=tuple(
                Part(
                    "model",
                    length,
                    str(file or self.file(precision, length)),
                    source and str(self.file(source, length)),
                )
                for length in ([BUCKETS[0]] if file else BUCKETS)
            ),
        )
        self.told[precision] = child.ask("make", job=asdict(job))["made"]

    def child(self) -> Child:
        modules = (registry.reference("exporters", "litert"), registry.reference("tasks", TASK))
        return Child(self.folder / "making.log", python=PYTHON, modules=modules, timeout_seconds=500)

    def answers(self, files: dict[int, Path], data: Items, scratch: Path):
        """Logits of every text by itself, and what ran them."""
        component = Component(files, PortNames(outputs=("logits",)))
        with DeviceModel({"model": component}, "litert", TASK).opened(scratch) as opened:
            return opened.answers(data).values["logits"], opened.loaded.backend

    def expected(self, data: Items) -> np.ndarray:
        """Torch's logits of every text by itself, without padding."""
        batches = [data.batch([i]) for i in range(len(data))]
        names = ("input_ids", "attention_mask")
        with torch.no_grad():
            rows = [self.model(**{name: torch.from_numpy(batch[name]) for name in names}).logits for batch in batches]
        return torch.cat(rows).numpy()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    made = Made(tmp_path_factory.mktemp("litert"), model_of("bert"))
    with made.child() as child:
        for precision in EXPORTER.precisions:
            made.make(child, precision)
    return made


TEXTS = texts([1, 3, 9, 16, 17, 25, 32], 2)


@needs_packages
def test_fp32_agrees_with_torch_in_every_bucket(made, tmp_path):
    checks = [check for file in made.told["fp32"] for check in file["checks"]]
    assert [(check["batch"], check["length"]) for check in checks] == [(1, 16), (1, 32)]
    assert max(check["max_abs_diff"] for check in checks) < 1e-5
    got, _ = made.answers(made.files("fp32"), TEXTS, tmp_path)
    np.testing.assert_allclose(got, made.expected(TEXTS), atol=1e-5)


@needs_packages
def test_padding_changes_nothing(made, tmp_path):
    full = texts([16] * 3, 3)
    exact, _ = made.answers({16: made.file("fp32", 16)}, full, tmp_path)
    padded, _ = made.answers({32: made.file("fp32", 32)}, full, tmp_path)
    np.testing.assert_allclose(padded, exact, atol=1e-5)


@needs_packages
@pytest.mark.parametrize("precision", ["int8-dynamic", "int8-static"])
def test_int8_is_smaller_and_close(made, tmp_path, precision):
    weights = sum(parameter.numel() for parameter in made.model.parameters() if parameter.ndim > 1)
    for length in BUCKETS:
        saved = made.file("fp32", length).stat().st_size - made.file(precision, length).stat().st_size
        assert saved > 2.4 * weights
    expected = made.expected(TEXTS)
    got, _ = made.answers(made.files(precision), TEXTS, tmp_path)
    assert 1e-4 < np.abs(got - expected).max() < 0.06 * np.abs(expected).max()


@needs_packages
def test_static_ranges_are_those_of_the_given_inputs(made, tmp_path):
    texts([2], 4).save(made.folder / "one")
    with made.child() as child:
        made.make(child, "int8-static", tmp_path / "again.tflite")
        made.make(child, "int8-static", tmp_path / "narrow.tflite", "one")
    first = made.file("int8-static", BUCKETS[0]).read_bytes()
    assert (tmp_path / "again.tflite").read_bytes() == first
    assert (tmp_path / "narrow.tflite").read_bytes() != first
    near = TEXTS.take([0, 1, 2, 3])
    expected = made.expected(near)
    wide, narrow = (
        np.abs(made.answers({16: file}, near, tmp_path)[0] - expected).max()
        for file in (tmp_path / "again.tflite", tmp_path / "narrow.tflite")
    )
    assert wide < narrow


@needs_packages
@pytest.mark.parametrize(("precision", "weights", "activations"), [("int8-dynamic", 14, 0), ("int8-static", 14, 14)])
def test_the_backend_tells_what_is_delegated_and_what_is_int8(made, tmp_path, precision, weights, activations):
    """Six products with weights a layer, pooler and classifier; two without a layer, between activations."""
    _, plain = made.answers(made.files("fp32"), TEXTS, tmp_path)
    _, int8 = made.answers(made.files(precision), TEXTS, tmp_path)
    assert (plain["products"], plain["int8_weights"], plain["int8_activations"]) == (18, 0, 0)
    assert (int8["products"], int8["int8_weights"], int8["int8_activations"]) == (18, weights, activations)
    for backend in (plain, int8):
        assert backend["delegate"] == "XNNPACK"
        assert 0.9 * backend["operators"] < backend["delegated"] < backend["operators"]
        assert "EMBEDDING_LOOKUP" in backend["left"]
        assert not {"FULLY_CONNECTED", "BATCH_MATMUL", "SOFTMAX"} & set(backend["left"])


OPENING = """
import importlib, pathlib, sys
from edgedistill.contracts.driver import PortNames
from edgedistill.runtimes import litert
for name in litert.RUNTIME.packages.library:
    importlib.import_module(name)
before = set(sys.modules)
litert.open(pathlib.Path(sys.argv[1]), 1, PortNames(outputs=("logits",)))
print([name for name in set(sys.modules) - before if name.startswith("ai_edge_litert")])
"""


@needs_packages
def test_opening_loads_no_more_of_the_library(made, tmp_path):
    """What it loaded would count as the file's load time."""
    where = os.environ | {
        "PYTHONPATH": str(environments.bridge(tmp_path / "path", [registry.reference("runtimes", "litert")]))
    }
    command = [PYTHON, "-c", OPENING, made.file("fp32", 16)]
    done = subprocess.run(command, env=where, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@needs_packages
def test_a_model_that_cannot_be_converted_is_one_sentence(tmp_path):
    model = model_of("longformer", attention_window=4, pad_token_id=1)
    odd = Made(tmp_path, model)
    expected = "target litert: this 'longformer' model cannot be converted: Could not guard on data-dependent"
    with odd.child() as child, pytest.raises(MeasuringError, match=expected):
        odd.make(child, "fp32")


def test_a_precision_that_the_format_has_not_is_refused(recipe_tree):
    change = {"export": {"targets": ["litert"], "teacher": False}, "quantize": [{"precision": "fp16"}]}
    refused = {row.refused for row in candidates(validate(recipe_tree | change, "test"))}
    assert refused == {"target litert has no fp16, only fp32, int8-dynamic, int8-static"}
