"""What a run does with a runtime of another processor. The child process is another test's; here it is stood in for by
the file's own torch answers, some of them changed."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

import edgedistill
from edgedistill.contracts.items import Items
from edgedistill.errors import EdgedistillError
from edgedistill.measuring import instructions
from edgedistill.results import load_results
from edgedistill.tasks._former import Rows, load_rows, save_rows

STEPS = {"validation": "evaluate", "test": "test"}
CHANGE = ["measure.runtimes=[onnxruntime, onnxruntime-arm64]", "export.teacher=false", "quantize=[{precision: fp32}]"]


@pytest.fixture
def folder(finished_run, tmp_path):
    place = tmp_path / "run"
    shutil.copytree(finished_run.folder, place)
    return place


@pytest.fixture
def emulator(monkeypatch, finished_run):
    """Answers what torch does, but the first item otherwise; records what it was asked."""
    asked_of = []

    def answer(files, runtime, task, asked, counted, cpu, scratch, *, length, timeout_seconds):
        name = next(iter(files.values())).parent.name
        model = "r1" if "r1" in name else "r2"
        asked_of.append((runtime, cpu, length, timeout_seconds, counted))
        for split, (inputs, output) in asked.items():
            rows = load_rows(finished_run.artifact(f"{STEPS[split]}-{model}") / f"{split}.safetensors")
            count = len(Items.open(inputs))
            chosen = rows.take(np.linspace(0, len(rows) - 1, count).astype(np.int64))
            values = np.array(chosen.values)
            values[0] = -values[0]
            save_rows(Rows(values, chosen.offsets), output)
        return instructions.Cost(2.5e6, 32, "1.0", {"machine": "aarch64", "cpu": cpu})

    monkeypatch.setattr(instructions, "answer_and_count", answer)
    return asked_of


def test_some_items_are_asked_and_set_beside_torch_and_this_machine(finished_run, folder, emulator):
    change = [*CHANGE, "measure.emulation={cpu: cortex-a53, items: 12}", "measure.lengths=16"]
    found = edgedistill.run(finished_run.recipe, change, out=folder, stream=None)
    assert {each[:3] for each in emulator} == {("onnxruntime-arm64", "cortex-a53", 16)}
    for row in found.emulated:
        assert (row.items, row.items_of, row.test_items, row.test_items_of) == (12, 36, 12, 45)
        assert row.agreement_with_student == pytest.approx(11 / 12)
        assert row.agreement_with_here == pytest.approx(11 / 12)
        assert abs(row.accuracy - row.accuracy_here) <= 1 / 12 + 1e-9
        assert row.accuracy_ci[0] <= row.accuracy <= row.accuracy_ci[1]
        assert (row.instructions_per_inference, row.counted_inputs, row.cpu) == (2.5e6, 32, "cortex-a53")
    assert not any(row.runtime == "onnxruntime-arm64" for row in found.measured)
    assert found.chosen.endswith("/onnxruntime")
    assert load_results(folder).emulated == found.emulated
    for name in ("report.md", "report.html"):
        assert "2.50 M" in (folder / name).read_text()


def test_all_items_are_asked_when_no_number_is_given(finished_run, folder, emulator):
    found = edgedistill.run(finished_run.recipe, [*CHANGE, "measure.emulation.items=null"], out=folder, stream=None)
    assert {(row.items, row.test_items) for row in found.emulated} == {(36, 45)}


def test_what_fails_costs_that_row_only(finished_run, folder, monkeypatch):
    def broken(*_, **__):
        raise EdgedistillError("the emulator died")

    monkeypatch.setattr(instructions, "answer_and_count", broken)
    found = edgedistill.run(finished_run.recipe, CHANGE, out=folder, stream=None)
    assert {(row.runtime, row.state, row.reason) for row in found.unmeasured} == {
        ("onnxruntime-arm64", "failed", "the emulator died")
    }
    assert found.chosen is not None
