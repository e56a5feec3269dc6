"""Which step reads which: every arm its own models and signals, every file its own model, every judgement its round."""

from __future__ import annotations

import pytest

from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.recipe.round_spec import Place
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store.records.files import FileId


@pytest.fixture
def plan(recipe_tree):
    recipe_tree["seeds"] = [7, 8]
    recipe_tree["rounds"][0]["stages"][0]["augment"] = {"swap": 0.2}
    recipe_tree["rounds"][1]["teacher"] = {"choose": ["teacher", "r1", ["teacher", "r1"]], "epochs": 1}
    recipe_tree["rounds"][1]["stages"][0] |= {"epochs": 5, "errors": {"of": "r1"}}
    recipe_tree["stop"] = {"when": {"accuracy_drop": 0.5}}
    recipe_tree["export"]["teacher"] = True
    recipe = reading.validate(recipe_tree, "recipe")
    return make_plan(recipe, fingerprints.look_up(recipe))


def logits(model: str) -> SignalId:
    return SignalId("logits", model, Place("train"))


ARMS = ["", "-seed7", "-seed8"]


@pytest.mark.parametrize("arm", ARMS)
def test_an_arms_student_goes_on_from_its_own_arms_source(plan, arm):
    assert plan.step(f"r1{arm}").inputs.source.step == "teacher"
    assert plan.step(f"r1-control{arm}").inputs.source.step == "teacher"
    for name in (f"r2{arm}", f"r2-control{arm}", f"r2{arm}-trial-1", f"r2{arm}-trial-3"):
        assert plan.step(name).inputs.source.step == f"r1{arm}"


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_is_taught_by_its_own_models(plan, arm):
    inputs = plan.step(f"r2{arm}").inputs
    assert inputs.choice.step == f"r2{arm}-teacher"
    signals = {wanted: made.step for wanted, made in inputs.signals.items()}
    assert signals == {logits("r1"): f"logits-r1{arm}-train", logits("teacher"): "logits-teacher-train"}
    assert {name: made.step for name, made in inputs.teachers.items()} == {"teacher": "teacher", "r1": f"r1{arm}"}
    assert plan.step(f"logits-r1{arm}-train").inputs.model.step == f"r1{arm}"
    trials = [made.step for made in plan.step(f"r2{arm}-teacher").inputs.trials]
    assert trials == [f"r2{arm}-trial-{number}" for number in (1, 2, 3)]


def test_a_trial_reads_what_it_tries_and_what_it_corrects(plan):
    first, second = plan.step("r2-trial-1"), plan.step("r2-trial-2")
    assert set(first.inputs.teachers) == {"teacher"}
    assert set(second.inputs.teachers) == {"r1"}
    assert logits("r1") in first.inputs.signals  # the errors are r1's, whoever teaches
    assert logits("teacher") not in second.inputs.signals
    assert [stage.epochs for stage in first.settings.round.stages] == [1]
    assert [stage.epochs for stage in plan.step("r2").settings.round.stages] == [5]


@pytest.mark.parametrize("arm", ARMS)
def test_the_control_reads_views_and_no_signals(plan, arm):
    roles = [role for role in plan.step(f"r1-control{arm}").reads if not role.startswith("data")]
    assert roles == ["views[soft-targets]", "source"]
    settings = plan.step(f"r1-control{arm}").settings
    assert settings.control
    assert settings.seed == plan.step(f"r1{arm}").settings.seed == int(arm.removeprefix("-seed") or 4)
    (stage,), (taught,) = settings.round.stages, plan.step(f"r1{arm}").settings.round.stages
    assert [loss.kind for loss in stage.losses] == ["hard_label"]
    assert (stage.epochs, stage.batch_size, stage.data) == (taught.epochs, taught.batch_size, taught.data)
    assert (stage.learning_rate, stage.augment) == (taught.learning_rate, taught.augment)


def test_files_are_made_of_the_first_arm_and_verified_against_their_own_model(plan):
    for model in ("teacher", "r1", "r2"):
        assert plan.step(f"file-{model}-onnx-fp32").inputs.model.step == model
        verified = plan.step(f"verify-{model}-onnx-fp32-onnxruntime").inputs
        assert (verified.file.step, verified.reference.step) == (f"file-{model}-onnx-fp32", f"evaluate-{model}")
    assert not [step.name for step in plan.steps if step.kind.name == "make_file" and "seed" in step.name]


def test_every_model_is_evaluated_on_validation_and_on_test(plan):
    models = ["teacher", *(f"{model}{arm}" for model in ("r1", "r2", "r1-control", "r2-control") for arm in ARMS)]
    for model in models:
        for name, split in (("evaluate", "validation"), ("test", "test")):
            step = plan.step(f"{name}-{model}")
            assert step.inputs.model.step == model
            assert step.settings.split == split


def test_a_round_is_judged_by_validation_against_the_teacher(plan):
    inputs = plan.step("judge-r1").inputs
    assert (inputs.teacher.step, inputs.student.step) == ("evaluate-teacher", "evaluate-r1")
    assert set(inputs.files) == {FileId("r1", "onnx", "fp32"), FileId("r1", "onnx", "int8-dynamic")}


def test_what_chooses_reads_no_figure_of_the_test_set(plan):
    """But through `measure`, whose figures of speed are of the test set's inputs."""
    for name in ("choose", "judge-r1", "judge-r2"):
        assert not [step for step in plan.step(name).sources if step.startswith(("test-", "data-test"))]
    assert plan.step("choose").inputs.teacher.step == "evaluate-teacher"


def test_a_part_of_the_plan_ends_with_the_step_that_is_named(plan):
    part = plan.until("judge-r1")
    assert part.steps[-1].name == "judge-r1"
    assert part.steps == plan.steps[: len(part.steps)]
    assert "r2" not in {step.name for step in part.steps}
