"""The numbers, goals and table of `bench.quantize_peers`, on made-up timings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import stand_in, write_recipe

import edgedistill
from bench.peers import asking, own_files, quantize_goals, verdicts
from bench.peers.asking import Job, ask, timed
from bench.peers.compared import OURS, Measured, Ratio, Student, ratio, row, skipped_row, to_best_peer
from bench.peers.made_files import MadeFile, all_bytes, read_made, write_made
from bench.peers.operator_times import in_words
from bench.peers.own_files import OwnFile, OwnFiles, Variant, make_own
from bench.peers.students import STUDENTS, recipe
from bench.quantize_peers import checked
from edgedistill.arrays import Array, Arrays, Floats
from edgedistill.recipe import reading

CELLS = [(1, 16), (1, 64), (2, 16), (2, 64)]
LABELS = [0, 1, 2, 3] * 50


def spent(milliseconds: float, rounds: int = 20) -> Floats:
    """(rounds, 4), all within 1% of that."""
    return milliseconds * (1 + 0.01 * np.random.default_rng(0).uniform(-1, 1, (rounds, 4)))


def measured(
    group: str, system: str, milliseconds: float, precision: str = "int8", size: int = 10, wrong: int = 0
) -> Measured:
    decided = [(label + (place < wrong)) % 4 for place, label in enumerate(LABELS)]
    runtime = "openvino" if "openvino" in system else "onnxruntime"
    made = MadeFile(group, system, precision, runtime, "file", {"it": "1"})
    return Measured(made, size, 2, decided, {cell: spent(milliseconds * cell[1] / 16) for cell in CELLS})


def student(*ours: Measured) -> Student:
    peers = [
        measured("a", "optimum", 1.0),
        measured("a", "optimum fp32", 2.0, "fp32", 40),
        measured("c", "plain", 1.2, size=9),
        measured("d", "nncf", 0.5),
    ]
    return Student("4.4M", 100, LABELS, LABELS, [*peers, *ours])


def no_limits(student: Student, file: Measured, cell: tuple[int, int]) -> str:
    return f"MatMul at {cell[1]}"


def test_a_ratio_is_that_of_medians_with_an_interval_around_it() -> None:
    found = ratio(spent(1.0), spent(2.0))
    assert found.value == pytest.approx(0.5)
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 0.02


def test_a_ratio_is_paired_by_round() -> None:
    """A machine that is slow in half the rounds leaves the ratio as it is."""
    slow = np.where(np.arange(20) % 2, 3.0, 1.0)[:, None]
    found = ratio(spent(1.0) * slow, spent(2.0) * slow)
    assert found.high - found.low < 0.05


def test_the_measure_is_the_fastest_of_a_to_c_of_the_same_kind() -> None:
    ours, fp32 = measured(OURS, "ours", 0.8), measured(OURS, "ours fp32", 1.0, "fp32")
    own = student(ours, fp32)
    assert own.best_peer((1, 16)).made.system == "optimum", "(d) is no measure, however fast"
    assert to_best_peer(own, ours, (1, 16)).value == pytest.approx(0.8, rel=0.01)
    assert to_best_peer(own, fp32, (1, 16)).value == pytest.approx(0.5, rel=0.01)


def test_the_row_of_a_file() -> None:
    ours = measured(OURS, "ours", 0.8, size=2_000_000, wrong=20)
    found = row(student(ours), ours)
    assert found["file MB"] == 2.0
    assert found["with tokenizer MB"] == pytest.approx(2.0)
    assert found["accuracy [95% CI]"] == pytest.approx([0.9, 0.85, 0.934], abs=0.01)
    assert found["agreement with torch"] == pytest.approx(0.9)
    ahead = found["ahead of torch by [95% CI]"]
    assert isinstance(ahead, list)
    assert ahead[0] == pytest.approx(-0.1)
    milliseconds = found["p50 ms at 16, 64 tokens, threads: 2"]
    assert milliseconds == pytest.approx([0.8, 3.2], rel=0.02)
    ratios = found["x the best peer's [95% CI] at 16, 64 tokens, threads: 1"]
    assert isinstance(ratios, list)
    assert ratios[1][0] == pytest.approx(0.8, rel=0.01)


def test_what_is_skipped_has_a_row_with_the_reason() -> None:
    ours = measured(OURS, "ours", 0.8)
    found = skipped_row(row(student(ours), ours), "mix", "unknown key 'parts'")
    assert list(found) == list(row(student(ours), ours))
    assert (found["system"], found["note"]) == ("mix", "not measured: unknown key 'parts'")


def test_the_goals_on_speed_are_met_by_one_file_at_every_length() -> None:
    faster, best = quantize_goals.speed_goals(student(measured(OURS, "ours", 0.7)), no_limits)
    assert (faster.goal, best.goal) == (quantize_goals.FASTER, quantize_goals.BEST)
    assert faster.met
    assert best.met
    assert "limited by" not in faster.measured
    assert faster.measured.count("tokens") == len(CELLS)


def test_a_goal_on_speed_is_missed_at_a_single_length_and_says_what_limits_it() -> None:
    ours = measured(OURS, "ours", 0.7)
    ours.spent[2, 64][:] = 4.0
    faster, best = quantize_goals.speed_goals(student(ours), no_limits)
    assert not faster.met
    assert not best.met
    assert "limited by MatMul at 64" in faster.measured


def test_another_runtime_counts_for_the_best_and_not_for_onnx_runtime() -> None:
    own = student(measured(OURS, "ours", 0.9), measured(OURS, "ours openvino", 0.6))
    faster, best = quantize_goals.speed_goals(own, no_limits)
    assert not faster.met
    assert best.met
    assert "ours openvino" in best.measured


def test_a_faster_file_that_is_less_accurate_misses_the_goal() -> None:
    faster, best = quantize_goals.speed_goals(student(measured(OURS, "ours", 0.7, wrong=20)), no_limits)
    assert not faster.met
    assert "-0.1000" in faster.measured
    assert best.met


def test_without_a_file_of_ours_the_goals_are_missed() -> None:
    assert [goal.met for goal in quantize_goals.speed_goals(student(), no_limits)] == [False, False]


@pytest.mark.parametrize(
    ("size", "wrong", "met"), [(5, 0, True), (7, 0, False), (5, 1, False)], ids=["small", "large", "inaccurate"]
)
def test_the_goal_on_size_wants_a_small_mix_near_fp32(size: int, wrong: int, met: bool) -> None:
    mix = measured(OURS, "mix", 1.0, "mix", size, wrong)
    found = quantize_goals.size_goal(student(mix), [mix], [])
    assert found.met is met
    assert "plain" in found.measured, "the smallest of the peers' files, not the fastest"


def test_without_a_mix_the_goal_on_size_says_why() -> None:
    found = quantize_goals.size_goal(student(), [], ["unknown key 'parts'"])
    assert not found.met
    assert "unknown key 'parts'" in found.measured


@pytest.mark.parametrize(
    ("interval", "word"), [((1.1, 1.3), "faster"), ((0.7, 0.9), "slower"), ((0.9, 1.1), "no difference")]
)
def test_the_verdict_of_results_is_by_its_interval(interval: tuple[float, float], word: str) -> None:
    low, high = interval
    assert verdicts.verdict({verdicts.FIELD: {"value": (low + high) / 2, "low": low, "high": high}}) == word
    assert verdicts.verdict({}) is None
    assert verdicts.verdict({verdicts.FIELD: None}) is None


@pytest.mark.parametrize(("said", "right"), [("faster", True), ("slower", False), ("no difference", False)])
def test_a_verdict_is_right_where_the_bench_agrees(said: verdicts.Word, right: bool) -> None:
    assert verdicts.Checked("file", said, Ratio(0.8, 0.7, 0.9)).right is right


def test_the_goal_on_verdicts_wants_30_right_ones() -> None:
    right = verdicts.Checked("a file", "faster", Ratio(0.8, 0.7, 0.9))
    wrong = verdicts.Checked("another", "slower", Ratio(0.8, 0.7, 0.9))
    assert verdicts.verdict_goal([right] * 30, "").met
    assert not verdicts.verdict_goal([right] * 29, "").met
    missed = verdicts.verdict_goal([right] * 30 + [wrong], "")
    assert not missed.met
    assert "another" in missed.measured
    assert "no field" in verdicts.verdict_goal([], "no field").measured


class Sleeping:
    """A file that says its inputs, and when it was asked."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self._name, self._asked = name, asked

    def run(self, feeds: Arrays) -> dict[str, Array]:
        self._asked.append(self._name)
        return dict(feeds)


def test_files_take_turns_in_a_changing_order() -> None:
    asked: list[str] = []
    found = timed({name: Sleeping(name, asked) for name in "abc"}, [{"x": np.zeros(1)}], 0.0)
    assert {samples.shape for samples in found.values()} == {(5, 4)}
    turns = [asked[i] for i in range(0, len(asked), 6)]
    rounds = ["".join(turns[i : i + 3]) for i in range(0, len(turns), 3)]
    assert {"".join(sorted(order)) for order in rounds} == {"abc"}
    assert len(set(rounds)) > 1


def test_a_listing_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = [MadeFile("a", "optimum", "int8", "onnxruntime", "x/model.onnx", {"onnxruntime": "1"})]
    write_made(tmp_path, made)
    assert read_made(tmp_path) == made


def test_the_size_of_a_file_includes_its_weights(tmp_path: Path) -> None:
    for name, size in (("a.onnx", 3), ("a.onnx.data", 4), ("b.xml", 5), ("b.bin", 6), ("c.onnx", 7)):
        (tmp_path / name).write_bytes(bytes(size))
    assert [all_bytes(tmp_path / name) for name in ("a.onnx", "b.xml", "c.onnx")] == [7, 11, 7]


def test_the_largest_shares_are_named() -> None:
    assert in_words(dict.fromkeys("abcde", 0.2)) == "a 20%, b 20%, c 20%, d 20%"


def test_the_recipe_of_the_students_is_one(tmp_path: Path) -> None:
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    made = recipe(tmp_path, tmp_path / "minilm", tmp_path / "tiny")
    read = reading.load(write_recipe(made, tmp_path))
    assert {"teacher", *(round_.id for round_ in read.rounds)} == set(STUDENTS.values())


def candidate(precision: str, said: object = None) -> Any:
    return stand_in(
        id=f"tiny/onnx/{precision}",
        model="tiny",
        precision=precision,
        runtime="onnxruntime",
        threads=1,
        file=f"{precision}.onnx",
        model_dump=lambda: {verdicts.FIELD: said},
    )


def test_a_variant_that_the_recipe_refuses_is_skipped_with_its_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(recipe: str, overrides: list[str], **places: Path) -> None:
        if "quantize=parts" in overrides:
            raise edgedistill.UserError("recipe.yaml: quantize: unknown key 'parts'")

    def run(recipe: str, overrides: list[str], **places: Path) -> Any:
        failed = stand_in(id="tiny/onnx/fp16", reason="cannot be traced")
        return stand_in(measured=[candidate("int8-dynamic")], unmeasured=[failed])

    monkeypatch.setattr(own_files, "VARIANTS", [Variant("onnx", ("export.targets=[onnx]",))])
    monkeypatch.setattr(own_files, "MIXES", [Variant("mix", ("quantize=parts",))])
    monkeypatch.setattr(edgedistill, "plan", plan)
    monkeypatch.setattr(edgedistill, "run", run)
    found = make_own(tmp_path / "recipe.yaml", [16, 64], 1.0, tmp_path / "own", tmp_path / "store")
    assert [(file.student, file.length, file.system) for file in found.files] == [
        ("4.4M", 16, "edgedistill, onnx, int8-dynamic"),
        ("4.4M", 64, "edgedistill, onnx, int8-dynamic"),
    ]
    assert found.skipped == {"mix": "quantize: unknown key 'parts'", "onnx, tiny/onnx/fp16": "cannot be traced"}


def test_each_verdict_is_compared_with_the_timing_of_both_files(tmp_path: Path) -> None:
    faster = {"value": 1.2, "low": 1.1, "high": 1.3}
    files = [
        OwnFile("4.4M", "onnx", length, tmp_path, candidate(precision, said))
        for length in (16, 64)
        for precision, said in (("fp32", None), ("int8-dynamic", faster), ("fp16", None))
    ]
    own = student(
        measured(OURS, "edgedistill, onnx, fp32", 1.0, "fp32"),
        measured(OURS, "edgedistill, onnx, fp16", 2.0, "fp16"),
        measured(OURS, "edgedistill, onnx, int8-dynamic", 1.5),
    )
    found = checked([own], OwnFiles(files, {}))
    assert [file.name for file in found] == [f"4.4M, edgedistill, onnx, int8-dynamic at {n} tokens" for n in (16, 64)]
    assert [file.found.value for file in found] == pytest.approx([1.5, 1.5], rel=0.01)
    assert not any(file.right for file in found)


def test_a_job_is_done_once_unless_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def work(command: list[str], **how: object) -> None:
        done.append(command[-1])
        np.savez(tmp_path / "out.npz", one=np.ones((1, 2)))

    monkeypatch.setattr(asking.subprocess, "run", work)
    job = Job({"one": ("onnxruntime", "a.onnx")}, "in.npz", str(tmp_path / "out.npz"), 1, 1.0, {"one": "abc"})
    assert ask(job)["one"].tolist() == ask(job)["one"].tolist() == [[1.0, 1.0]]
    assert len(done) == 1
    ask(replace(job, contents={"one": "abd"}))
    assert len(done) == 2


def test_answers_are_those_of_each_input_in_its_order(tmp_path: Path) -> None:
    inputs: dict[str, Any] = {f"0/{number}/x": np.full((1, 2), number) for number in (10, 2, 0)}
    np.savez(tmp_path / "in.npz", **inputs)
    items = asking.by_length(tmp_path / "in.npz")
    assert asking.answers(Sleeping("file", []), items[0]).tolist() == [[0, 0], [2, 2], [10, 10]]


def test_the_variants_override_what_a_recipe_has(tmp_path: Path) -> None:
    """But for keys and targets that come with other versions."""
    for name in ("train", "validation", "test"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a", "label": "b"}\n', encoding="utf-8")
    file = write_recipe(recipe(tmp_path, tmp_path / "minilm", tmp_path / "tiny"), tmp_path)
    read = {
        variant.name: reading.load(file, variant.overrides)
        for variant in own_files.VARIANTS
        if variant.name != "onnx-fused"
    }
    assert [entry.precision for entry in read["onnx"].quantize] == ["fp32", "fp16", "int8-dynamic"]
    assert read["openvino"].export.targets == ("openvino",)
