"""What a run does with a runtime of another processor. The child process is another test's; here it is stood in for by
the file's own torch answers, some of them changed."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import edgedistill
from edgedistill.contracts.answers import Answers
from edgedistill.errors import EdgedistillError
from edgedistill.evaluation.results import load_results
from edgedistill.measuring.device_model import Cost, DeviceModel

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

    class Opened:
        def __init__(self, model):
            self.model = model
            made = model.files["model"].files[None].parent.name
            steps = (finished_run.folder / "steps").iterdir()
            self.name = "r1" if any("-r1-" in step.name for step in steps if step.resolve().name == made) else "r2"

        def answers(self, items, chosen, batch=1):
            split = {36: "validation", 45: "test"}[len(items)]
            whole = Answers.open(finished_run.artifact(f"{STEPS[split]}-{self.name}") / f"{split}.safetensors")
            logits = np.array(whole.of_items(chosen).values["logits"])
            logits[0] = -logits[0]
            return replace(whole.of_items(chosen), values={"logits": logits})

        def cost(self, items, batch, length):
            asked_of.append((self.model.runtime, self.model.cpu, length, batch, len(items)))
            return Cost(2.5e6, 32, "1.0", {"machine": "aarch64", "cpu": self.model.cpu})

    own = DeviceModel.opened

    @contextmanager
    def opened(self, scratch):
        if self.cpu is None:
            with own(self, scratch) as real:
                yield real
        else:
            yield Opened(self)

    monkeypatch.setattr(DeviceModel, "opened", opened)
    return asked_of


def test_some_items_are_asked_and_set_beside_torch_and_this_machine(finished_run, folder, emulator):
    change = [*CHANGE, "measure.emulation={cpu: cortex-a53, items: 12}", "measure.lengths=16"]
    found = edgedistill.run(finished_run.recipe, change, out=folder)
    assert set(emulator) == {("onnxruntime-arm64", "cortex-a53", 16, 1, 12)}
    for row in found.emulated:
        assert (row.items, row.items_of, row.test_items, row.test_items_of) == (12, 36, 12, 45)
        assert row.agreement_with_student == pytest.approx(11 / 12)
        assert row.agreement_with_here == pytest.approx(11 / 12)
        assert abs(row.test.value - row.here) <= 1 / 12 + 1e-9
        assert row.test.low <= row.test.value <= row.test.high
        assert (row.instructions_per_inference, row.counted_inputs, row.cpu) == (2.5e6, 32, "cortex-a53")
    assert not any(row.runtime == "onnxruntime-arm64" for row in found.measured)
    assert found.chosen.endswith("/onnxruntime")
    assert load_results(folder).emulated == found.emulated
    for name in ("report.md", "report.html"):
        assert "2.50 M" in (folder / name).read_text()


def test_all_items_are_asked_when_no_number_is_given(finished_run, folder, emulator):
    found = edgedistill.run(finished_run.recipe, [*CHANGE, "measure.emulation.items=null"], out=folder)
    assert {(row.items, row.test_items) for row in found.emulated} == {(36, 45)}


def test_what_fails_costs_that_row_only(finished_run, folder, monkeypatch):
    own = DeviceModel.opened

    def broken(self, scratch):
        if self.cpu is not None:
            raise EdgedistillError("the emulator died")
        return own(self, scratch)

    monkeypatch.setattr(DeviceModel, "opened", broken)
    found = edgedistill.run(finished_run.recipe, CHANGE, out=folder)
    assert {(row.runtime, row.state, row.reason) for row in found.unmeasured} == {
        ("onnxruntime-arm64", "failed", "the emulator died")
    }
    assert found.chosen is not None
