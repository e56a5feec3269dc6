"""The shipped recipe `stories`, whole, as docs/language-models.md runs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgedistill
from edgedistill.evaluation.results import load_results
from edgedistill.measuring.options import MeasureOptions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def cli(*words, cwd):
    command = [sys.executable, "-m", "edgedistill.cli.app", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where it was run."""
    folder = tmp_path_factory.mktemp("stories")
    done = cli("run", "stories", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_round_is_ahead_of_its_control_and_the_last_has_a_quarter_of_the_parameters(folder):
    results = load_results(folder / "runs" / "stories")
    assert [round_.id for round_ in results.rounds] == ["r1", "r2", "r3"]
    assert all(round_.gain is not None and round_.gain.low > 0 for round_ in results.rounds)
    assert results.rounds[-1].parameters <= results.teacher.parameters / 4


def test_a_file_is_chosen_that_costs_at_most_a_percent_and_tests_itself(folder):
    results = load_results(folder / "runs" / "stories")
    assert results.chosen is not None
    chosen = results.candidate(results.chosen)
    student = next(round_ for round_ in results.rounds if round_.id == chosen.model)
    assert chosen.test.value / student.test.value < 1.01
    found = edgedistill.measure(folder / "runs" / "stories" / "bundle", options=MeasureOptions(min_seconds=0.1))
    assert found.golden.passed
    assert found.golden.continued == found.golden.continued_of >= 50


def test_it_tells_a_story(folder):
    words = ("--prompt", "Once upon a time", "--max-tokens", "60")
    done = cli("generate", str(folder / "runs" / "stories"), *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 20
