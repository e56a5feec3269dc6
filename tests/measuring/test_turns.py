"""Who is asked what, and when, while files are timed: a recorder stands in place of the measuring processes."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import stand_in

from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.items import Column, Items
from edgedistill.device.files import Component
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.candidates import Candidate
from edgedistill.measuring import device_model
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.latency import LEAST_RUNS, Timed, time_models
from edgedistill.store.progress import Progress

SILENT = Progress()
SPEED = {"a": 1.0, "b": 2.0, "c": 4.0}


class Child:
    """In place of a measuring process: writes down every command, and is as fast as its file's name says."""

    asked: list[tuple[str, str, dict[str, object]]]
    dies_at: tuple[str, int] | None

    def __init__(self, runtime):
        self.runtime, self.name, self.turns = runtime, "?", 0

    @classmethod
    def of_runtime(cls, runtime, log, *, driver, cpu=None, timeout_seconds):
        cls.asked.append((runtime, "started", {"driver": driver, "timeout_seconds": timeout_seconds}))
        return cls(runtime)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.asked.append((self.name, "stopped", {}))

    def ask(self, command, **arguments):
        if command == "load":
            self.name = Path(arguments["files"]["model"]["files"][0][1]).stem
        self.asked.append((self.name, command, arguments))
        if command == "load":
            return {
                "load_ms": SPEED[self.name],
                "longest": None,
                "peak_rss_mb": 10 * SPEED[self.name],
                "empty_mb": 5.0,
                "version": "1",
                "backend": {"ran": self.name},
                "ports": {},
            }
        if command == "time":
            self.turns += 1
            if self.dies_at == (self.name, self.turns):
                raise EdgedistillError(f"{self.name} died")
            return {"samples_ms": [{"inference": SPEED[self.name] + self.turns / 100}] * arguments["least"]}
        if command == "answer":
            Answers({"logits": np.eye(2)}, np.arange(2), np.arange(2)).save(Path(arguments["output"]))
        return {}


@pytest.fixture
def child(monkeypatch):
    Child.asked, Child.dies_at = [], None
    monkeypatch.setattr(device_model, "Child", Child)
    return Child


def timed(name: str, threads: int = 1, batch: int = 1) -> Timed:
    return Timed(name, model_of(Path(f"/{name}.onnx")), threads, batch, Path(f"/{name}.inputs"))


def model_of(file: Path) -> DeviceModel:
    return DeviceModel({"model": Component({None: file})}, "onnxruntime", "text-classification", 77.0)


def commands(child, wanted: str) -> list[str]:
    return [name for name, command, _ in child.asked if command == wanted]


def test_candidates_take_turns(child, tmp_path):
    time_models([timed("a"), timed("b"), timed("c")], tmp_path, SILENT, min_seconds=5.0)
    assert commands(child, "time") == ["a", "b", "c"] * 10


def test_all_are_loaded_before_the_first_is_timed_and_stay_until_the_last(child, tmp_path):
    time_models([timed("a"), timed("b")], tmp_path, SILENT, min_seconds=5.0)
    order = [command for _, command, _ in child.asked]
    assert order.index("time") > max(i for i, command in enumerate(order) if command == "load")
    assert order.index("stopped") > max(i for i, command in enumerate(order) if command == "time")


def test_every_turn_is_a_tenth_of_the_time_and_of_the_runs(child, tmp_path):
    time_models([timed("a"), timed("b")], tmp_path, SILENT, min_seconds=5.0)
    turns = [arguments for _, command, arguments in child.asked if command == "time"]
    assert {turn["seconds"] for turn in turns} == {0.5}
    assert {turn["least"] for turn in turns} == {-(-LEAST_RUNS // 10)}
    assert 10 * turns[0]["least"] >= 299


def test_each_is_opened_with_its_own_threads_batch_and_inputs_and_warmed_up(child, tmp_path):
    rows = [timed("a", threads=1, batch=8), timed("b", threads=4, batch=2)]
    time_models(rows, tmp_path, SILENT, min_seconds=1.0, length=16)
    loads = {name: arguments for name, command, arguments in child.asked if command == "load"}
    assert {name: load["threads"] for name, load in loads.items()} == {"a": 1, "b": 4}
    assert {load["warm_up"] for load in loads.values()} == {10}
    assert {load["runtime"] for load in loads.values()} == {"edgedistill.runtimes.onnxruntime:RUNTIME"}
    given = [arguments for _, command, arguments in child.asked if command == "inputs"]
    assert [(inputs["file"], inputs["batch"], inputs["length"]) for inputs in given] == [
        ("/a.inputs", 8, 16),
        ("/b.inputs", 2, 16),
    ]
    assert {arguments["timeout_seconds"] for _, command, arguments in child.asked if command == "started"} == {77.0}


def test_each_has_its_own_samples_in_the_order_they_were_taken(child, tmp_path):
    seen = time_models([timed("a"), timed("b", batch=4)], tmp_path, SILENT, min_seconds=1.0).seen
    for name, batch in (("a", 1), ("b", 4)):
        samples = np.array(seen[name].samples_ms)
        expected = np.repeat(SPEED[name] + np.arange(1, 11) / 100, 30)
        np.testing.assert_allclose(samples, expected)
        assert seen[name].throughput_per_s == pytest.approx(1e3 * batch / samples.mean())
        assert seen[name].load_ms == SPEED[name]
        assert (seen[name].peak_rss_mb, seen[name].empty_mb) == (10 * SPEED[name], 5.0)
        assert seen[name].backend == {"ran": name}
        assert seen[name].summary()["p50"] == pytest.approx(np.percentile(samples, 50))
        assert seen[name].summary()["p99"] == pytest.approx(np.percentile(samples, 99))


def test_one_that_dies_on_its_way_drops_out_and_the_others_go_on(child, tmp_path):
    child.dies_at = ("b", 3)
    found = time_models([timed("a"), timed("b"), timed("c")], tmp_path, SILENT, min_seconds=1.0)
    assert commands(child, "time") == ["a", "b", "c"] * 3 + ["a", "c"] * 7
    assert set(found.seen) == {"a", "c"}
    assert str(found.failed["b"]) == "b died"


def test_answers_are_given_one_thread_no_warm_up_and_by_the_tasks_own_driver(child, tmp_path):
    items = stand_in(save=lambda file: None)
    with model_of(Path("/a.onnx")).opened(tmp_path) as opened:
        assert opened.loaded.backend == {"ran": "a"}
        assert opened.answers(items, np.array([0, 1]), 2).values["logits"].tolist() == [[1, 0], [0, 1]]
    (_, _, load), (_, _, answer) = (call for call in child.asked if call[1] in ("load", "answer"))
    assert (load["threads"], load["warm_up"]) == (1, 0)
    assert load["driver"] == "edgedistill.tasks._classification_device"
    assert (answer["chosen"], answer["batch"]) == ([0, 1], 2)


class Data:
    """In place of `PreparedData`: the name of its items' length column says of which split and model they are."""

    def __init__(self, model):
        self.model = model

    @classmethod
    def of(cls, model):
        return cls(model)

    def items(self, split):
        columns = {"labels": Column("target", "scalar")}
        return Items.of(columns, {"labels": np.array([2, 0, 1])}, [0, 1, 2], f"{split} of {self.model.name}")


class Recorder:
    """In place of what asks and times files: writes down what it is given. A file named `broken` cannot be opened."""

    def __init__(self):
        self.timed, self.options, self.answered = [], {}, []

    @contextmanager
    def opened(self, model):
        file = model.files["model"].files[None]
        if "broken" in file.name:
            self.answered.append((file.name, "broken", ""))
            raise EdgedistillError("it breaks")

        def answers(items):
            return SimpleNamespace(save=lambda output: self.answered.append((file.name, items.length_of, output.name)))

        yield SimpleNamespace(answers=answers)

    def time_models(self, models, scratch, progress, **options):
        self.timed, self.options = models, options
        return SimpleNamespace(seen={}, failed={})


def candidate(model, precision, threads=1, batch=1) -> Candidate:
    return Candidate(
        id=f"{model}/onnx/{precision}@{threads}",
        model=model,
        target="onnx",
        precision=precision,
        runtime="onnxruntime",
        threads=threads,
        batch=batch,
    )


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The measuring step over two models of two files each, one under two numbers of threads; what it asked for."""
    from edgedistill.steps import measure

    asked = Recorder()
    monkeypatch.setattr(measure, "PreparedData", Data)
    monkeypatch.setattr(DeviceModel, "opened", lambda model, scratch: asked.opened(model))
    monkeypatch.setattr(measure, "time_models", asked.time_models)
    monkeypatch.setattr(measure, "read_files", lambda artifact: artifact)
    rows = [candidate("r1", "fp32"), candidate("r1", "fp32", 4, 8), candidate("r2", "int8"), candidate("r2", "broken")]
    opened = {planned.file_key: {"model": Component({None: Path(f"/{planned.file_key}.onnx")})} for planned in rows}
    inputs = measure.Inputs(
        data={model: stand_in(name=model) for model in ("r1", "r2")},
        models={},
        files={key: stand_in(opened=files, bytes=7) for key, files in opened.items()},
        verified={planned.verify_key: stand_in(failure=None) for planned in rows},
    )
    settings = stand_in(
        task=stand_in(type="text-classification"),
        candidates=rows,
        measure=stand_in(min_seconds=3.0, lengths=16, timeout_minutes=2.0),
    )
    folder, scratch = tmp_path / "folder", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    context = stand_in(scratch=scratch, progress=SILENT, failures={})
    record = measure.run(settings, inputs, folder, context)
    return SimpleNamespace(asked=asked, folder=folder, failures=context.failures, record=record)


def test_every_candidate_is_timed_on_its_own_models_test_set(measured):
    """Together, in one call: only then can they take turns."""
    found = [
        (
            entry.id,
            entry.model.files["model"].files[None].name,
            entry.threads,
            entry.batch,
            Items.open(entry.inputs).length_of,
        )
        for entry in measured.asked.timed
    ]
    assert found == [
        ("r1/onnx/fp32@1", "r1-onnx-fp32.onnx", 1, 1, "test of r1"),
        ("r1/onnx/fp32@4", "r1-onnx-fp32.onnx", 4, 8, "test of r1"),
        ("r2/onnx/int8@1", "r2-onnx-int8.onnx", 1, 1, "test of r2"),
    ]
    options = measured.asked.options
    assert (options["min_seconds"], options["length"]) == (3.0, 16)
    assert {entry.model.timeout_seconds for entry in measured.asked.timed} == {120.0}


def test_every_file_answers_its_own_models_test_set_once(measured):
    assert measured.asked.answered == [
        ("r1-onnx-fp32.onnx", "test of r1", "r1-onnx-fp32-onnxruntime.safetensors"),
        ("r2-onnx-int8.onnx", "test of r2", "r2-onnx-int8-onnxruntime.safetensors"),
        ("r2-onnx-broken.onnx", "broken", ""),
    ]
    references = References.open(measured.folder / "test" / "references.safetensors")
    assert references.values["class"].tolist() == [2, 0, 1]


def test_a_file_that_cannot_answer_is_not_timed_and_says_why(measured):
    assert {name: failure.reason for name, failure in measured.failures.items()} == {"r2/onnx/broken@1": "it breaks"}


def test_what_answered_is_named_and_what_did_not_is_not(measured):
    names = ("r1-onnx-fp32-onnxruntime", "r2-onnx-int8-onnxruntime")
    assert measured.record.answers == {name: f"test/{name}.safetensors" for name in names}
    assert measured.record.candidates == {}


def test_prompts_are_timed_in_the_same_turns_each_length_apart(child, tmp_path):
    rows = [replace(timed(name), prompts={16: Path("/16"), 128: Path("/128")}) for name in ("a", "b")]
    seen = time_models(rows, tmp_path, SILENT, min_seconds=6.0, length=8).seen
    turns = [(name, options.get("name", "")) for name, command, options in child.asked if command == "time"]
    assert turns == [(name, of) for name in ("a", "b") for of in ("", "16", "128")] * 10
    given = [
        (options["file"], options["length"], options.get("name"))
        for _, command, options in child.asked
        if command == "inputs"
    ]
    assert given[:3] == [("/a.inputs", 8, None), ("/16", None, "16"), ("/128", None, "128")]
    asked = [(options["seconds"], options["least"]) for _, command, options in child.asked if command == "time"][:3]
    assert asked == [(0.6, 30), (0.3, 6), (0.3, 6)]  # 59 runs for a p95
    assert {tokens: len(phases["inference"]) for tokens, phases in seen["a"].prompts_ms.items()} == {16: 60, 128: 60}
    assert len(seen["a"].samples_ms) == 300


def test_a_prompt_that_kills_its_file_costs_that_candidate_only(child, tmp_path):
    child.dies_at = ("a", 2)  # its second command to time is the first prompt
    rows = [replace(timed(name), prompts={16: Path("/16")}) for name in ("a", "b")]
    found = time_models(rows, tmp_path, SILENT, min_seconds=1.0)
    assert set(found.seen) == {"b"}
    assert str(found.failed["a"]) == "a died"
