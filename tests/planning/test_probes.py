"""Every model is tried before anything is trained, and a trial decides no key but its own."""

from __future__ import annotations

import copy

import pytest

from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading


def steps(tree, *overrides):
    copied = copy.deepcopy(tree)
    for override in overrides:
        reading._override(copied, override)
    recipe = reading.validate(copied, "test")
    return {step.name: step for step in make_plan(recipe, fingerprints.look_up(recipe)).steps}


def test_they_come_after_the_data_and_before_the_teacher(recipe_tree):
    names = list(steps(recipe_tree, "rounds.1.student={init: trim_vocabulary, from: r1}"))
    probes = [name for name in names if name.startswith("probe-")]
    first = names.index("probe-teacher")
    assert probes == names[first : first + 3] == ["probe-teacher", "probe-r1", "probe-r2"]
    assert names[first + 3] == "teacher"
    assert {"data", "data-validation", "data-test", "data-unlabeled", "data-r2"} <= set(names[:first])


def test_nothing_reads_them(recipe_tree):
    assert not [step.name for step in steps(recipe_tree).values() if any("probe" in name for name in step.sources)]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds.1.student.hidden_size=24", {"probe-r2"}),
        ("rounds.0.student.layers=2", {"probe-r1", "probe-r2"}),
        ("rounds.0.stages.0.losses.0.temperature=4", {"probe-r1"}),
        ("rounds.0.stages.0.quantize=int4", {"probe-r1"}),
        ("rounds.0.stages.0.epochs=9", set()),
        ("teacher.fine_tune.epochs=9", set()),
        ("seed=1", set()),
        ("teacher.scratch.hidden_size=16", {"probe-teacher", "probe-r1", "probe-r2"}),
    ],
)
def test_they_are_tried_again_when_what_they_try_is_another(recipe_tree, override, expected):
    before, after = steps(recipe_tree), steps(recipe_tree, override)
    assert {name for name in after if name.startswith("probe-") and after[name].key != before[name].key} == expected


def test_a_round_on_its_own_data_is_tried_with_its_labels(recipe_tree):
    own = {name: recipe_tree["data"][name] for name in ("train", "validation", "test")}
    recipe_tree["rounds"][0] |= {"data": own, "fine_tune": {"epochs": 1}}
    recipe_tree["rounds"][0]["stages"][0]["data"] = ["train"]
    recipe_tree["rounds"][1] |= {"teacher": "teacher"}
    probe = steps(recipe_tree)["probe-r1"]
    read = {role: artifact.step for role, artifact in probe.reads.items()}
    assert read == {"data[teacher-r1]": "data-r1", "data[r1]": "data-r1"}
    assert [model.source for model in probe.settings.models] == [None, "teacher-r1"]
