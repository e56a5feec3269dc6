"""Candidates that cannot be or go wrong: each costs itself, is named with its reason, and is tried again."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
from helpers import change_plugin, plugged_in

import edgedistill
from edgedistill.evaluation.results import load_results

TOYS = {
    "edgedistill.exporters": {"toy": "toy_target:TARGET"},
    "edgedistill.runtimes": {"toy-runtime": "toy_runtime:RUNTIME"},
}
PRECISIONS = ("fp32", "aborts", "refuses", "garbage", "dies-later", "elsewhere")
OVERRIDES = (
    "rounds=[{id: r1, student: {init: keep_layers, layers: 1}, stages: [{name: s, epochs: 1, batch_size: 16,"
    " losses: [{kind: hard_label}]}]}]",
    "control=false",
    "export.targets=[onnx, toy]",
    "export.buckets=[8, 16]",
    f"quantize=[{', '.join(f'{{precision: {precision}}}' for precision in PRECISIONS)}]",
)


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    with plugged_in(tmp_path_factory.mktemp("site") / "toys", TOYS):
        yield


@pytest.fixture(scope="module")
def broken_run(toys, finished_run, tmp_path_factory):
    """The small run with a target most of whose precisions go wrong."""
    folder = tmp_path_factory.mktemp("broken") / "run"
    shutil.copytree(finished_run.folder, folder)
    edgedistill.run(finished_run.recipe, OVERRIDES, out=folder)
    return folder


def states(folder) -> dict[str, tuple[str, str | None]]:
    rows = load_results(folder).candidates
    return {row.id.removeprefix("r1/"): (row.state, getattr(row, "reason", None)) for row in rows}


def test_each_candidate_has_its_own_state_and_reason(broken_run):
    found = states(broken_run)
    assert found["onnx/fp32/onnxruntime"] == ("ok", None)
    assert found["toy/fp32/toy-runtime"] == ("ok", None)
    state, reason = found["onnx/aborts/onnxruntime"]
    assert state == "refused"
    assert reason.startswith("target onnx has no aborts, only fp32, fp16, ")
    assert found["toy/aborts/toy-runtime"] == (
        "failed",
        "the process was killed by signal 6 during 'make': about to abort",
    )
    assert found["toy/refuses/toy-runtime"] == ("refused", "target toy: this cannot be expressed")
    state, reason = found["toy/garbage/toy-runtime"]
    assert state == "failed"
    assert reason.startswith("'load' failed: InvalidProtobuf: ")
    assert found["toy/dies-later/toy-runtime"][1].startswith("the process was killed by signal 6 during 'answer'")
    assert found["toy/elsewhere/toy-runtime"] == (
        "failed",
        "'load' failed: the toy runs on another backend, expected its own",
    )


def test_the_others_are_measured_chosen_and_published(broken_run):
    results = load_results(broken_run)
    assert results.chosen in {"r1/onnx/fp32/onnxruntime", "r1/toy/fp32/toy-runtime"}
    toy = results.candidate("r1/toy/fp32/toy-runtime")
    assert toy.latency_ms.runs >= 299
    assert toy.backend == {"ran": "toy"}
    assert not (broken_run / "models" / "r1" / "toy" / "model_garbage-8.toy.partial").exists()


def test_a_fixed_shape_target_has_a_file_for_each_bucket_up_to_the_longest_input(broken_run):
    toy = load_results(broken_run).candidate("r1/toy/fp32/toy-runtime")
    onnx = load_results(broken_run).candidate("r1/onnx/fp32/onnxruntime")
    assert toy.lengths == (8, 16, 32)
    names = [f"models/r1/toy/model_fp32-{length}.toy" for length in (16, 32, 8)]
    assert sorted(toy.files) == names
    assert toy.file == "models/r1/toy/model_fp32-32.toy"
    # The notes that the target wrote are published, but no device needs them.
    assert toy.file_bytes == sum((broken_run / name).stat().st_size for name in names) == 3 * onnx.file_bytes
    assert (broken_run / "models/r1/toy/model_fp32-8.notes").is_file()
    assert toy.facts["length"] == 32
    # Padding is masked: the answers are those of the file for every length.
    assert toy.agreement_with_student == 1.0
    assert toy.max_abs_diff < 1e-4
    assert toy.test.value == onnx.test.value


def test_the_reports_and_the_terminal_name_what_is_missing(broken_run, capsys):
    from edgedistill.cli import tables

    tables.results(load_results(broken_run))
    shown = capsys.readouterr().out
    texts = [(broken_run / name).read_text() for name in ("report.md", "report.html")]
    for text in (*texts, shown):
        assert "r1/toy/refuses/toy-runtime" in text
        assert "target toy: this cannot be expressed" in text
        assert "failed" in text
    assert "3 files" in texts[0]
    assert "in 3 files, one per length: 8, 16, 32" in texts[1]


def test_a_failure_is_tried_again_and_the_same_failure_changes_nothing(toys, broken_run, finished_run):
    before, results = len((broken_run / "events.jsonl").read_text().splitlines()), load_results(broken_run)
    edgedistill.run(finished_run.recipe, OVERRIDES, out=broken_run)
    events = [json.loads(line) for line in (broken_run / "events.jsonl").read_text().splitlines()[before:]]
    tried = {event["step"] for event in events if event["event"] == "started"}
    assert {"file-r1-toy-aborts", "verify-r1-toy-garbage-toy-runtime"} <= tried
    assert not {"file-r1-toy-fp32", "measure", "choose", "report"} & tried
    assert load_results(broken_run) == results


def test_what_works_the_second_time_is_measured(toys, broken_run, finished_run, tmp_path, monkeypatch):
    import toy_target

    folder = tmp_path / "run"
    shutil.copytree(broken_run, folder)
    # In this process, without a child: what was refused can be expressed now.
    monkeypatch.setattr(toy_target, "RefusedError", lambda text: None)
    original = toy_target.make

    def make(request, file):
        if request.precision == "aborts":
            raise ValueError("still broken, in another way")
        from dataclasses import replace

        return original(replace(request, precision="fp32") if request.precision == "refuses" else request, file)

    change_plugin(monkeypatch, "exporters", "toy", isolated=False, make=make)
    edgedistill.run(finished_run.recipe, OVERRIDES, out=folder)
    found = states(folder)
    assert found["toy/refuses/toy-runtime"] == ("ok", None)
    state, reason = found["toy/aborts/toy-runtime"]
    assert state == "failed"
    assert reason.startswith("target toy: aborts cannot be exported from this model: its converter or runtime failed")
    assert "[ValueError: still broken, in another way]" in reason
    assert load_results(folder).candidate("r1/toy/refuses/toy-runtime").latency_ms.runs >= 299


@pytest.mark.parametrize("key", ["export.timeout_minutes", "measure.timeout_minutes"])
def test_what_takes_too_long_has_failed(toys, broken_run, finished_run, tmp_path, key):
    folder = tmp_path / "run"
    shutil.copytree(broken_run, folder)
    overrides = [*OVERRIDES, "export.buckets=[4]", "quantize=[{precision: fp32}]", f"{key}=0.0001"]
    edgedistill.run(finished_run.recipe, overrides, out=folder)
    state, reason = states(folder)["toy/fp32/toy-runtime"]
    assert state == "failed"
    word = "make" if key.startswith("export") else "load"
    assert reason == f"the process was killed: '{word}' took longer than 0.0001 minutes"


def test_the_plan_names_what_is_refused(toys, finished_run, tmp_path):
    from edgedistill.cli import tables

    planned = edgedistill.plan(finished_run.recipe, [*OVERRIDES, "measure.batch=[1, 4]"], out=tmp_path)
    facts: dict[str, Any] = tables.plan_facts(planned)
    name = "r1/toy/fp32/toy-runtime@threads=1,batch=4"
    assert facts["refused"][name] == "a file of target toy takes one item at a time, not a batch of 4"
    assert name not in facts["candidates"]
    assert "r1/toy/fp32/toy-runtime@threads=1,batch=1" in facts["candidates"]


def test_a_bucket_or_timeout_changes_only_what_it_must(toys, finished_run, tmp_path):
    def keys(*more: str) -> dict[str, str]:
        plan = edgedistill.plan(finished_run.recipe, [*OVERRIDES, *more], out=tmp_path).plan
        return {step.name: step.key for step in plan.steps}

    before = keys()
    changed = {name for name, key in keys("export.buckets=[8]").items() if key != before[name]}
    assert "file-r1-toy-fp32" in changed
    assert not {name for name in changed if "onnx" in name}
    assert keys("export.timeout_minutes=1", "measure.timeout_minutes=1") == before
