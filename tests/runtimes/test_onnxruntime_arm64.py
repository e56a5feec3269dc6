from __future__ import annotations

import dataclasses
import shutil

import pytest
from helpers import LOGITS

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.exporting.candidates import candidates, emulated_candidates, native_candidates
from edgedistill.isolation import environments
from edgedistill.recipe.reading import load

RUNTIME = registry.runtime("onnxruntime-arm64")


def test_the_library_of_this_machine_is_never_used_in_its_place(finished_run, monkeypatch, tmp_path):
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(EdgedistillError, match="runs on x86_64, expected aarch64"):
        RUNTIME.open(file, 1, LOGITS)
    monkeypatch.setenv("EDGEDISTILL_HOME", str(tmp_path))
    with pytest.raises(UserError, match="not installed; install with: edgedistill doctor --install onnxruntime-arm64"):
        environments.interpreter(RUNTIME.packages)


BOTH = ["measure.runtimes=[onnxruntime, onnxruntime-arm64]", "measure.threads=[1, 2]"]


def test_a_run_counts_it_once_and_never_times_it(finished_run):
    rows = candidates(load(finished_run.recipe, BOTH))
    assert {row.runtime for row in emulated_candidates(rows)} == {"onnxruntime-arm64"}
    assert {row.runtime for row in native_candidates(rows)} == {"onnxruntime"}
    # Whatever the threads: one counts, and one only.
    assert 2 * len(emulated_candidates(rows)) == len(native_candidates(rows))


def test_a_file_in_a_run_is_beside_its_own_answers_here(finished_run, tmp_path):
    if not environments.installed("onnxruntime-arm64"):
        pytest.skip("needs edgedistill doctor --install onnxruntime-arm64")
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    change = [BOTH[0], "measure.emulation.items=9", "export.teacher=false", "quantize=[{precision: int8-dynamic}]"]
    found = edgedistill.run(finished_run.recipe, change, out=folder)
    assert {row.model for row in found.emulated} == {"r1", "r2"}
    for row in found.emulated:
        assert (row.cpu, row.items, row.items_of, row.test_items) == ("cortex-a76", 9, 36, 9)
        assert row.agreement_with_here >= 8 / 9
        assert row.instructions_per_inference > 1e4
    assert found.chosen.endswith("/onnxruntime")


def test_a_file_is_answered_and_counted_but_not_timed(finished_run, data_folder):
    if not environments.installed("onnxruntime-arm64"):
        pytest.skip("needs edgedistill doctor --install onnxruntime-arm64")
    file = finished_run.folder / "models" / "r1" / "onnx" / "model_quantized.onnx"
    data = data_folder / "test.jsonl"
    strong, weak = (
        edgedistill.measure(file, data, MeasureOptions(emulated_cpu=cpu, emulated_items=9, runtime="onnxruntime-arm64"))
        for cpu in ("cortex-a76", "cortex-a53")
    )
    for found in (strong, weak):
        assert (found.items, found.items_of, found.counted_inputs) == (9, 45, 9)
        facts = dataclasses.asdict(found)
        assert {facts[name] for name in ("latency_ms", "throughput_per_s", "load_ms", "peak_rss_mb")} == {None}
        assert found.figures
    assert strong.runtime.endswith("on cortex-a76")
    assert 1e4 < strong.instructions_per_inference < weak.instructions_per_inference


def test_several_threads_and_an_unknown_processor_are_refused(finished_run, data_folder):
    file, data = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx", data_folder / "test.jsonl"
    with pytest.raises(UserError, match="counts the instructions of one thread, got 2"):
        edgedistill.measure(file, data, MeasureOptions(runtime="onnxruntime-arm64", threads=2))
    with pytest.raises(UserError, match="got emulated cpu 'i386', expected one of cortex-a76, cortex-a53"):
        MeasureOptions(emulated_cpu="i386")
