from __future__ import annotations

import pytest
from helpers import LOGITS

import edgedistill
from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError
from edgedistill.isolation import environments
from edgedistill.runtimes._executorch import native

RUNTIME = registry.runtime("executorch-arm64")


def test_the_library_of_this_machine_is_never_used_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(EdgedistillError, match="runs on x86_64, expected aarch64"):
        RUNTIME.open(tmp_path / "model.pte", 1, LOGITS)


def test_without_the_compiled_runtime_that_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(native, "find_spec", lambda name: None)
    with pytest.raises(EdgedistillError, match=r"edgedistill_executorch.so is not beside the package executorch"):
        native.NativeGraph(tmp_path / "model.pte", 1, LOGITS)


def test_its_environment_has_no_torch():
    assert not any(line.startswith("torch") for line in environments.requirements("executorch-arm64"))


def test_files_of_a_run_answer_there_as_here(finished_run, tmp_path):
    pytest.importorskip("executorch", reason="needs the extra 'executorch'")
    if not environments.installed("executorch-arm64"):
        pytest.skip("needs edgedistill doctor --install executorch-arm64")
    change = [
        "export.targets=[executorch]",
        "export.teacher=false",
        "control=false",
        "quantize=[{precision: fp32}, {precision: int8-dynamic}]",
        "measure.runtimes=[executorch, executorch-arm64]",
        "measure.emulation.items=9",
    ]
    found = edgedistill.run(finished_run.recipe, change, out=tmp_path / "run")
    assert {(row.model, row.precision) for row in found.emulated} == {
        (number, precision) for number in ("r1", "r2") for precision in ("fp32", "int8-dynamic")
    }
    for row in found.emulated:
        assert (row.runtime, row.state, row.cpu) == ("executorch-arm64", "emulated", "cortex-a76")
        assert row.agreement_with_here >= 8 / 9
        assert row.instructions_per_inference > 1e4
