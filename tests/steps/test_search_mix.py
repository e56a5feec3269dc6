"""Searches in a run: the trials are of the files that are made, and what misses the bound is never chosen."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from helpers import tiny_recipe, write_recipe

import edgedistill
from edgedistill.evaluation.results import load_results
from edgedistill.steps import search_mix

FOUND = {"name": "found", "search": {"max_drop": 1.0, "trials": 3}}
MISSED = {"name": "missed", "search": {"max_drop": 0.0, "precisions": ["int2", "int4"], "trials": 1}}
FAST = {"name": "fast", "search": {"max_drop": 1.0, "prefer": "latency", "trials": 2}}
KILLED_AT_THE_THIRD = """
import os, signal, sys
import edgedistill
from edgedistill.steps import search_mix

measure, made = search_mix._Trying.measure, []

def measured(self, parts):
    if len(made) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    made.append(parts)
    return measure(self, parts)

search_mix._Trying.measure = measured
edgedistill.run(sys.argv[1], out=sys.argv[2])
"""


@pytest.fixture(scope="module")
def searched_run(finished_run, data_folder, tmp_path_factory):
    """The first round of the small run, with searched mixes; one loses more than it does."""
    measure = search_mix._Trying.measure

    def worse(self, parts):
        seen = measure(self, parts)
        return replace(seen, drop=seen.drop + 0.5) if self.settings.file.precision == "missed" else seen

    folder = tmp_path_factory.mktemp("searched")
    shutil.copytree(finished_run.folder, folder / "run", symlinks=True)
    recipe = tiny_recipe(data_folder)
    recipe["rounds"] = recipe["rounds"][:1]
    recipe |= {"quantize": [{"precision": "fp32"}, FOUND, MISSED, FAST], "select": {"prefer": "size"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_mix._Trying, "measure", worse)
        edgedistill.run(write_recipe(recipe, folder), out=folder / "run")
    return folder / "run"


def candidate(run, precision):
    return load_results(run).candidate(f"r1/onnx/{precision}/onnxruntime")


def on_validation(found) -> float:
    return next(figure.value for figure in found.figures if figure.split == "validation")


def test_the_published_file_is_the_one_that_was_tried(searched_run):
    found = candidate(searched_run, "found")
    trial = found.search.trials[found.search.chosen]
    assert trial.parts == dict.fromkeys(("embeddings", "attention", "feed_forward", "head"), "int4")
    assert found.facts["mix"] == trial.parts
    assert found.file_bytes == trial.seen.bytes
    fp32 = candidate(searched_run, "fp32")
    assert found.file_bytes < fp32.file_bytes
    assert trial.seen.drop == pytest.approx(on_validation(fp32) - on_validation(found), abs=1e-9)
    assert trial.seen.divergence > 1e-4
    assert trial.seen.p50_ms is None


def test_what_misses_its_bound_is_not_chosen(searched_run):
    results = load_results(searched_run)
    missed = candidate(searched_run, "missed")
    assert missed.search.blocked.startswith("none of the 1 mixes that the search tried meets max_drop 0: the closest")
    assert missed.blocked_by == (missed.search.blocked,)
    assert missed.file_bytes == min(row.file_bytes for row in results.measured)
    assert results.chosen != missed.id
    assert candidate(searched_run, "found").search.blocked is None


def test_files_are_timed_with_the_fp32_file_for_latency(searched_run):
    found = candidate(searched_run, "fast").search
    assert found.exhausted
    assert [trial.parts for trial in found.trials] == [{"embeddings": "int8"}, {"attention": "int8-dynamic"}]
    for trial in found.trials:
        assert trial.seen.p50_ms > 0
        assert trial.seen.fp32_p50_ms > 0
        assert trial.fits == (trial.seen.p50_ms < trial.seen.fp32_p50_ms)


def test_the_reports_show_every_trial(searched_run):
    for report in ("report.md", "report.html"):
        text = (searched_run / report).read_text(encoding="utf-8")
        assert "int4: embeddings, attention, feed_forward, head" in text
        assert "int8-dynamic: attention" in text
        assert "r1/onnx/missed: none of the 1 mixes that the search tried meets max_drop 0" in text


def test_a_killed_search_goes_on_after_its_last_finished_file(finished_run, data_folder, tmp_path, monkeypatch):
    shutil.copytree(finished_run.folder, tmp_path / "run", symlinks=True)
    recipe = tiny_recipe(data_folder)
    slow = {"name": "slow", "search": {"max_drop": 1.0, "prefer": "latency", "trials": 4}}
    recipe |= {"rounds": recipe["rounds"][:1], "quantize": [{"precision": "fp32"}, slow]}
    file = write_recipe(recipe, tmp_path)
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_THE_THIRD, file, tmp_path / "run"], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    measure, made = search_mix._Trying.measure, []

    def measured(self, parts):
        made.append(parts)
        return measure(self, parts)

    monkeypatch.setattr(search_mix._Trying, "measure", measured)
    edgedistill.run(file, out=tmp_path / "run")
    trials = candidate(tmp_path / "run", "slow").search.trials
    assert len(trials) == 4
    assert made == [trial.parts for trial in trials[2:]]
