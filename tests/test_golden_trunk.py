"""One small run from end to end, with nothing in it left to chance: its figures are pinned, and counted once more.

Two rounds, a control, two seeds, hidden states, a stage that corrects errors, three teachers to choose from, a stop
rule, out-of-distribution sets; a teacher whose weights and words are drawn here; on one thread, in fp32.

The pinned numbers stand in `trunk/pinned.json`. They say that nothing has changed, not that it is right: that is what
the recount is for. Where a change is meant, `python tests/trunk/run.py --pin` rewrites them; never do that to make
a test pass whose failure isn't understood.
"""

from __future__ import annotations

import json
from numbers import Real

import numpy as np
import pytest
from trunk.figures import Recount, leaves
from trunk.materials import recipe, write_data
from trunk.run import PINNED, figures, frozen_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("trunk")


@pytest.fixture(scope="module")
def run(folder):
    return frozen_run(folder)


@pytest.fixture(scope="module")
def told(run):
    """By place, all that `results.json` says."""
    return leaves("results", json.loads((run / "results.json").read_text()))


@pytest.fixture(scope="module")
def predictions(run, folder):
    return Recount(run, write_data(folder), recipe(folder))


@pytest.fixture(scope="module")
def recount(predictions):
    return predictions.expected


def same(told: object, expected: object, tolerance: float) -> bool:
    if isinstance(expected, Real) and not isinstance(expected, bool) and isinstance(told, Real):
        return told == pytest.approx(expected, rel=tolerance, abs=tolerance)
    return told == expected


def differences(told: dict[str, object], expected: dict[str, object], tolerance: float = 1e-6) -> list[str]:
    return [
        f"{place}: {told.get(place, 'nothing')!r}, expected {value!r}"
        for place, value in expected.items()
        if not same(told.get(place, "nothing"), value, tolerance)
    ]


def test_nothing_has_changed(run):
    pinned = json.loads(PINNED.read_text())
    found = figures(run)
    assert differences(found, pinned) == []
    assert set(found) == set(pinned)
    assert sum(place.startswith("training.") for place in pinned) > 200


def test_every_figure_is_what_the_predictions_say(told, recount):
    clock = [place for place in recount if "latency_ms" in place or "throughput" in place]
    exact = {place: value for place, value in recount.items() if place not in clock}
    assert differences(told, exact) == []
    assert differences(told, {place: recount[place] for place in clock}, 1e-3) == []  # samples are kept rounded


def test_a_model_that_does_no_better_than_its_answers_in_random_order_is_named(run, predictions):
    said = json.loads((run / "results.json").read_text())["warnings"]
    rng = np.random.default_rng(1)
    for model in ("teacher", *predictions.rounds):
        right, answers = predictions.right(model).sum(), predictions.says(model)
        by_chance = [(rng.permutation(answers) == predictions.ids["test"]).sum() for _ in range(4000)]
        share = np.mean(by_chance >= right)
        assert not 0.04 < share < 0.06, "too near to call"
        sentence = f"{model} is no better than chance: it is right on {right:.0f} of {len(answers)} test items"
        assert any(line.startswith(sentence) for line in said) == (share > 0.05), (model, share, said)


# What only the clock, the machine or the recipe says, and what others test.
OF_ELSEWHERE = ("min_length", "threads", "batch", "peak_rss_mb", "load_ms", "train_seconds", "samples_per_second")


def test_no_figure_goes_uncounted(told, recount):
    uncounted = {
        place
        for place, value in told.items()
        if place not in recount
        and isinstance(value, Real)
        and not place.endswith(tuple(f".{name}" for name in OF_ELSEWHERE))
        and not place.startswith(("results.hosts.", "results.data.duplicate_counts."))
    }
    assert uncounted == set()


def test_no_other_file_is_within_the_limits_after_a_round(told, recount):
    named, expected = ({place for place in found if ".within_limits." in place} for found in (told, recount))
    assert named == expected != set()


def test_the_run_can_tell_right_from_wrong(told, recount):
    """Figures that are all equal, or all zero, would let a mistake pass."""
    trials = [told[f"results.rounds.1.teacher_trials.{number}.value"] for number in range(3)]
    assert len(set(trials)) == 3
    assert told["results.rounds.1.teacher"] != "teacher"
    assert told["results.teacher.figures.0.value"] != told["results.teacher.figures.2.value"]
    for number in range(2):
        place = f"results.rounds.{number}"
        assert all(told[f"{place}.errors.{kind}"] > 0 for kind in ("corrected", "introduced", "inherited"))
        assert told[f"{place}.gain.value"] != 0 != told[f"{place}.drop.value"]
        assert told[f"{place}.seeds.0.value"] != told[f"{place}.seeds.1.value"]
        assert abs(told[f"{place}.ood.far.auroc.value"] - 0.5) > 0.01
    within = [told[f"results.candidates.{number}.within_limits"] for number in range(4)]
    assert set(within) == {True, False}
    assert any(place.startswith("results.flips") for place in recount)
    assert [told[f"results.candidates.{number}.agreement_with_student"] < 1 for number in (1, 3)] == [True, True]
