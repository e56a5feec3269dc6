from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from helpers import assert_close, text_items

from edgedistill.contracts.answers import Answers
from edgedistill.device.files import Component
from edgedistill.measuring.child import Child, MeasuringError
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.latency import LEAST_RUNS, Timed, Timing, time_models
from edgedistill.store.progress import Progress

SILENT = Progress()
DRIVER = "edgedistill.tasks._classification_device"
ANY = {"model": {"files": [(None, "any")], "inputs": [], "outputs": ["logits"]}}


def model_of(file):
    return DeviceModel({"model": Component({None: file})}, "onnxruntime", "text-classification")


@pytest.fixture(scope="module")
def file(finished_run):
    return finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"


@pytest.fixture(scope="module")
def inputs(finished_run, tmp_path_factory):
    given = tmp_path_factory.mktemp("inputs") / "inputs.safetensors"
    finished_run.data("validation").items("validation").save(given)
    return given


def test_every_file_gets_enough_runs_for_the_p99(file, inputs, tmp_path):
    rows = [Timed(name, model_of(file), 1, batch, inputs) for name, batch in (("a", 1), ("b", 4))]
    first, second = time_models(rows, tmp_path, SILENT, min_seconds=0.1).seen.values()
    for timing in (first, second):
        assert len(timing.samples_ms) == sum(timing.passes) >= LEAST_RUNS
        assert len(timing.passes) == 10
        summary: dict[str, Any] = timing.summary()
        assert 0 < summary["p50"] <= summary["p90"] <= summary["p95"] <= summary["p99"]
        low, high = summary["p95_ci"]
        assert low <= summary["p95"] <= high
        assert timing.load_ms > 0
    assert (first.batch, second.batch) == (1, 4)


def test_memory_is_counted_above_the_interpreter(file, inputs, tmp_path):
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("peak memory is read from /proc, which is not here")
    rows = [Timed("a", model_of(file), 1, 1, inputs)]
    timing = time_models(rows, tmp_path, SILENT, min_seconds=0.1).seen["a"]
    assert 5 < timing.peak_rss_mb < 200
    assert timing.empty_mb > 5


RUNTIME_WITH_HARNESS = """
import sys

import numpy as np

from edgedistill.contracts.driver import Port
from edgedistill.contracts.runtime import Runtime
from edgedistill.contracts.packages import Packages


class Graph:
    inputs = {"input_ids": Port("int64", None)}
    outputs = {"logits": Port("float32", None)}

    def __init__(self):
        assert {"only_here", "native"} <= set(sys.modules), "imported while the clock runs"
        self.weights = np.ones(20 * 2**17)

    def run(self, feeds):
        return {"logits": self.weights[:1]}

    def backend(self):
        return {}


def open(file, threads, names):
    return Graph()


def version():
    return "1"


PACKAGES = Packages(imports=("numpy",), harness=("only_here",), library=("native",))
RUNTIME = Runtime(api=1, targets=("any",), suffixes=(".any",), packages=PACKAGES, open=open, version=version)
"""


def test_what_is_needed_in_python_only_counts_neither_as_memory_nor_as_time(tmp_path, monkeypatch):
    """120 MB are the harness's, 60 the library's, 20 the model's."""
    if not os.path.exists("/proc/self/clear_refs"):
        pytest.skip("peak memory is read from /proc, which is not here")
    for name, megabytes in (("only_here", 120), ("native", 60)):
        (tmp_path / f"{name}.py").write_text(f"import numpy\nHELD = numpy.ones({megabytes} * 2**17)\n")
    (tmp_path / "its_runtime.py").write_text(RUNTIME_WITH_HARNESS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    text_items([[0, 1, 2, 3]]).save(tmp_path / "inputs")
    with Child(tmp_path / "log") as child:
        child.ask("inputs", file=str(tmp_path / "inputs"), batch=1, length=None)
        found: dict[str, Any] = child.ask(
            "load", files=ANY, runtime="its_runtime:RUNTIME", driver=DRIVER, threads=1, warm_up=1
        )
    assert found["empty_mb"] > 120
    assert 80 <= found["peak_rss_mb"] < 110


def test_few_samples_support_no_percentile():
    summary = Timing("a", (1.0,) * 30, 1.0, None, None, "1", 1).summary()
    assert summary["p50"] == summary["p90"] == 1.0
    assert summary["p95"] is None
    assert summary["p99"] is None
    assert summary["p95_ci"] is None


def test_phases_are_summed_up_apart_where_there_are_several():
    timing = Timing("a", (5.0,) * 40, 1.0, None, None, "1", 1, {}, {"prefill": (4.0,) * 40, "decode": (1.0,) * 40})
    assert {phase: found["p50"] for phase, found in timing.phases().items()} == {"prefill": 4.0, "decode": 1.0}
    assert timing.summary()["p50"] == 5.0


def test_the_answers_are_the_files_own(file, tmp_path, finished_run):
    items = finished_run.data("validation").items("validation")
    torch_answers = Answers.open(finished_run.artifact("evaluate-r1") / "validation.safetensors")
    with model_of(file).opened(tmp_path) as opened:
        assert opened.loaded.backend == {"providers": ["CPUExecutionProvider"]}
        found, some = opened.answers(items), opened.answers(items, np.array([3, 4, 9]), 2)
    assert_close(found.values["logits"], torch_answers.values["logits"], atol=1e-4)
    assert_close(some.values["logits"], found.values["logits"][[3, 4, 9]], atol=1e-4)
    assert some.item.tolist() == [3, 4, 9]


def test_a_corrupt_file_is_explained_and_costs_the_others_nothing(file, inputs, tmp_path):
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    rows = [Timed(name, model_of(path), 1, 1, inputs) for name, path in (("a", broken), ("b", file))]
    found = time_models(rows, tmp_path, SILENT, min_seconds=0.1)
    assert set(found.seen) == {"b"}
    assert isinstance(found.failed["a"], MeasuringError)
    assert str(found.failed["a"]).startswith("'load' failed: InvalidProtobuf: ")


def test_a_killed_process_is_explained(tmp_path):
    with Child(tmp_path / "log") as child:
        child._process.kill()
        with pytest.raises(MeasuringError, match="was killed by signal 9 during 'load'"):
            child.ask("load", files=ANY, runtime="onnxruntime", driver=DRIVER, threads=1, warm_up=0)
