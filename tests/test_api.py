from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.contracts.answers import Answers, References
from edgedistill.errors import UserError
from edgedistill.evaluation.results import load_results


def test_a_run_gives_typed_results_and_the_contract_on_disk(finished_run):
    results = finished_run.results
    content = json.loads((finished_run.folder / "results.json").read_text())
    assert content["schema"] == "edgedistill/results/2"
    assert [round_.id for round_ in results.rounds] == ["r1", "r2"]
    assert [candidate.id for candidate in results.candidates] == [
        "r1/onnx/fp32/onnxruntime",
        "r1/onnx/int8-dynamic/onnxruntime",
        "r2/onnx/fp32/onnxruntime",
        "r2/onnx/int8-dynamic/onnxruntime",
    ]
    assert results.chosen in {candidate.id for candidate in results.candidates}
    assert load_results(finished_run.folder) == results
    for name in ("recipe.yaml", "events.jsonl", "report.md", "report.html"):
        assert (finished_run.folder / name).stat().st_size > 100


def test_the_figures_are_those_of_the_files(finished_run):
    results = finished_run.results
    for row in results.candidates:
        file = finished_run.folder / row.file
        assert file.stat().st_size == row.file_bytes
        assert row.test.low <= row.test.value <= row.test.high
        assert row.latency_ms.runs >= 299
        assert row.agreement_with_student > 0.8
    fp32 = results.candidate("r1/onnx/fp32/onnxruntime")
    assert fp32.agreement_with_student == 1.0
    assert fp32.test.value == results.rounds[0].test.value
    assert fp32.max_abs_diff < 1e-4
    int8 = results.candidate("r1/onnx/int8-dynamic/onnxruntime")
    assert int8.file_bytes < 0.75 * fp32.file_bytes
    assert int8.max_abs_diff > fp32.max_abs_diff


def test_accuracy_is_counted_from_the_predictions_on_test(finished_run):
    labels = load_file(finished_run.folder / "predictions/test/references.safetensors")["value.class"]
    rows = load_file(finished_run.folder / "predictions/test/r2-onnx-fp32-onnxruntime.safetensors")
    accuracy = (rows["value.logits"].argmax(1) == labels).mean()
    assert finished_run.results.candidate("r2/onnx/fp32/onnxruntime").test.value == pytest.approx(accuracy)


def test_a_gain_over_the_control_is_paired(finished_run):
    for round_ in finished_run.results.rounds:
        assert round_.gain.value == pytest.approx(round_.test.value - round_.control.value)
        assert round_.gain.low <= round_.gain.value <= round_.gain.high
        assert 0 <= round_.gain.p <= 1


def test_running_again_skips_everything_and_gives_the_same(finished_run):
    before = (finished_run.folder / "results.json").read_bytes()
    planned = edgedistill.plan(finished_run.recipe, out=finished_run.folder)
    assert planned.done == {step.name for step in planned.plan.steps}
    assert edgedistill.run(finished_run.recipe, out=finished_run.folder) == finished_run.results
    assert (finished_run.folder / "results.json").read_bytes() == before


def test_what_a_user_deleted_comes_back_without_work(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "models")
    (tmp_path / "copy" / "results.json").unlink()
    edgedistill.run(finished_run.recipe, out=tmp_path / "copy")
    assert (tmp_path / "copy" / "models" / "r1" / "onnx" / "model.onnx").is_file()
    assert (tmp_path / "copy" / "results.json").is_file()


def test_a_changed_limit_only_chooses_again(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "copy")
    planned = edgedistill.plan(finished_run.recipe, ["select.limits.file_mb=0.0001"], out=tmp_path / "copy")
    assert {step.name for step in planned.plan.steps} - planned.done == {"choose", "report", "bundle"}
    results = edgedistill.run(finished_run.recipe, ["select.limits.file_mb=0.0001"], out=tmp_path / "copy")
    assert results.chosen is None
    assert "No candidate meets the limits. Closest: r2/onnx/" in results.why
    assert len(results.measured) == len(results.candidates)
    assert all(row.blocked_by for row in results.measured)


def test_a_lone_file_is_measured(finished_run, data_folder):
    file = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx"
    found = edgedistill.measure(file, data_folder / "test.jsonl", MeasureOptions(min_seconds=0.1, max_length=32))
    row = finished_run.results.candidate("r1/onnx/fp32/onnxruntime")
    assert found.figures[0].value == pytest.approx(row.test.value)
    assert found.file_bytes == row.file_bytes
    assert found.latency_ms["runs"] >= 299
    unlabeled = edgedistill.measure(file, data_folder / "unlabeled.jsonl", MeasureOptions(min_seconds=0.1))
    assert unlabeled.figures == ()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"file": "absent.onnx"}, "measure: 'absent.onnx' is not a file"),
        ({"data": "absent.jsonl"}, "measure: data 'absent.jsonl' is not a file or folder"),
        (
            {"options": MeasureOptions(metric="bleu")},
            "metric 'bleu' is unknown for text-classification; expected one of accuracy, f1_macro",
        ),
        ({"options": MeasureOptions(runtime="onyx")}, "unknown runtimes 'onyx'; known: browser, executorch"),
        ({"options": MeasureOptions(columns={"text": "sentence"})}, "has no column 'sentence'"),
        ({"out": "results.json"}, "--out is only valid when measuring a bundle"),
        (
            {"options": MeasureOptions(emulated_items=3)},
            "got emulation options (--emulated-...), but onnxruntime is not emulated",
        ),
        ({"options": MeasureOptions(emulated_cpu="cortex-a53")}, "but onnxruntime is not emulated"),
    ],
)
def test_a_wrong_measurement_gets_a_sentence(finished_run, data_folder, change, expected):
    asked = {
        "file": finished_run.folder / "models" / "r1" / "onnx" / "model.onnx",
        "data": data_folder / "test.jsonl",
        "options": MeasureOptions(min_seconds=0.1),
    }
    with pytest.raises(UserError) as caught:
        edgedistill.measure(**(asked | change))
    assert expected in str(caught.value)


def test_a_file_without_a_tokenizer_says_how_to_name_one(finished_run, data_folder, tmp_path):
    shutil.copy(finished_run.folder / "models" / "r1" / "onnx" / "model.onnx", tmp_path / "model.onnx")
    with pytest.raises(UserError, match="no tokenizer.json beside or above .* --tokenizer"):
        edgedistill.measure(tmp_path / "model.onnx", data_folder / "test.jsonl")
    folder = finished_run.folder / "models" / "r1"
    options = MeasureOptions(tokenizer=folder, min_seconds=0.1)
    found = edgedistill.measure(tmp_path / "model.onnx", data_folder / "test.jsonl", options)
    assert found.figures


def test_runs_on_the_same_test_set_are_compared_item_by_item(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "other")
    content = json.loads((tmp_path / "other" / "results.json").read_text())
    (tmp_path / "other" / "results.json").write_text(json.dumps(content | {"chosen": "r2/onnx/fp32/onnxruntime"}))
    first, second = edgedistill.compare([finished_run.folder, tmp_path / "other"])
    assert first.difference_from_first is None
    rows = {
        name: finished_run.results.candidate(name).test.value for name in (first.results.chosen, second.results.chosen)
    }
    expected = rows[second.results.chosen] - rows[first.results.chosen]
    assert second.difference_from_first.gain == pytest.approx(expected)


def test_runs_that_cut_their_examples_into_other_items_are_compared_by_example(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "other")
    folder = tmp_path / "other" / "predictions" / "test"
    chosen = f"{str(finished_run.results.chosen).replace('/', '-')}.safetensors"
    for name, kind in ((chosen, Answers), ("references.safetensors", References)):
        said = kind.open(folder / name)
        twice = np.repeat(np.arange(len(said)), 2)
        replace(said.where(twice), item=np.arange(len(twice))).save(folder / name)
    _, second = edgedistill.compare([finished_run.folder, tmp_path / "other"])
    found = second.difference_from_first
    assert (found.gain, found.interval.low, found.interval.high) == (0, 0, 0)
    References.open(folder / "references.safetensors").of_items(range(10)).save(folder / "references.safetensors")
    Answers.open(folder / chosen).of_items(range(10)).save(folder / chosen)
    assert edgedistill.compare([finished_run.folder, tmp_path / "other"])[1].difference_from_first is None


def test_runs_on_other_test_sets_are_not_subtracted(finished_run, tmp_path):
    shutil.copytree(finished_run.folder, tmp_path / "other")
    content = json.loads((tmp_path / "other" / "results.json").read_text())
    content["data"]["test_sha256"] = "another"
    (tmp_path / "other" / "results.json").write_text(json.dumps(content))
    _, second = edgedistill.compare([finished_run.folder, tmp_path / "other"])
    assert second.difference_from_first is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", '{"schema": "edgedistill/results/2"}'),
        ("results.json", "[" * 100_000),
        ("predictions/test/references.safetensors", "{"),
        ("predictions/test/references.safetensors", ""),
        ("predictions", "x"),
        ("predictions/test/r*.safetensors", ""),
        ("predictions/test/r*.safetensors", "x" * 100),
    ],
)
def test_a_damaged_file_of_a_run_is_named(finished_run, tmp_path, name, content):
    first, second = tmp_path / "first", tmp_path / "second"
    for copied in (first, second):
        shutil.copytree(finished_run.folder, copied)
    if name == "predictions":
        shutil.rmtree(second / name)
        assert edgedistill.compare([first, second])[1].difference_from_first is None
        return
    for file in second.glob(name):
        file.write_text(content)
    with pytest.raises(UserError) as caught:
        edgedistill.compare([first, second])
    assert str(second / name.split("*")[0]) in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UserError, match="expected a finished run's folder or its results.json"):
        edgedistill.compare([tmp_path, tmp_path])
    with pytest.raises(UserError, match="got 1 run, expected at least 2"):
        edgedistill.compare([tmp_path])
    (tmp_path / "results.json").write_text('{"schema": "other/1"}')
    with pytest.raises(UserError, match="schema is 'other/1', expected 'edgedistill/results/2'"):
        edgedistill.compare([tmp_path, tmp_path])


def test_a_run_takes_all_that_it_can_from_the_store_of_others_and_remembers_it(finished_run, tmp_path):
    store, two = finished_run.folder / "artifacts", tmp_path / "two"
    before = sorted(store.iterdir())
    assert not edgedistill.plan(finished_run.recipe, out=two).done
    assert len(edgedistill.plan(finished_run.recipe, out=two, store=store).done) == len(finished_run.steps())
    assert edgedistill.run(finished_run.recipe, out=two, store=store) == finished_run.results
    assert '"started"' not in (two / "events.jsonl").read_text()
    assert sorted(store.iterdir()) == before
    for file in finished_run.folder.glob("predictions/**/*.safetensors"):
        assert (two / file.relative_to(finished_run.folder)).read_bytes() == file.read_bytes()
    planned = edgedistill.plan(finished_run.recipe, out=two)
    assert planned.done == {step.name for step in planned.plan.steps}
    assert (edgedistill.bundle(two, out=tmp_path / "bundle") / "MODEL_CARD.md").is_file()


def test_a_run_folder_of_a_former_version_is_refused_by_whatever_would_go_on_from_it(finished_run, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(finished_run.folder, old, symlinks=True)
    shutil.rmtree(old / "steps")
    (old / "steps").mkdir()
    for number, folder in enumerate(sorted((old / "artifacts").glob("*-*"))):
        folder.rename(old / "steps" / f"{number:02d}-step-{folder.name[:12]}")
    shutil.rmtree(old / "artifacts")
    before = {file: file.stat().st_mtime_ns for file in old.rglob("*") if file.is_file() and file.name != ".lock"}
    for go in (
        lambda: edgedistill.run(finished_run.recipe, out=old),
        lambda: edgedistill.plan(finished_run.recipe, out=old),
        lambda: edgedistill.evaluate(finished_run.recipe, out=old),
        lambda: edgedistill.bundle(old),
    ):
        with pytest.raises(UserError, match=r"an earlier version .* kept artifacts.* another folder with --out"):
            go()
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert len(edgedistill.compare([old, finished_run.folder])) == 2
