"""What a plan knows of recorded distributions: who can read them, what they take, and when that is too much."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from helpers import change_plugin
from transformers import PreTrainedModel

from edgedistill.contracts import registry
from edgedistill.contracts.task import Head
from edgedistill.errors import UserError
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.steps.kinds import record_signals


def planned(tree: dict[str, object], **changes: object) -> Plan:
    recipe = reading.validate(tree | changes, "test")
    return make_plan(recipe, fingerprints.look_up(recipe))


@pytest.fixture
def tree(recipe_tree):
    """With one teacher everywhere: several are averaged, which only logits can be."""
    tree = copy.deepcopy(recipe_tree)
    tree["rounds"][1]["teacher"] = "teacher"
    return tree


def states(model: PreTrainedModel, batch: object) -> torch.Tensor: ...


def head(model: PreTrainedModel) -> Head: ...


@pytest.fixture
def vocabulary(monkeypatch):
    """The task's classes are the tokens of its vocabulary from now on."""
    model = replace(registry.task("text-classification").model, states=states, head=head)
    change_plugin(monkeypatch, "tasks", "text-classification", model=model)


def recordings(plan: Plan) -> dict[str, str]:
    found = {step.name: step.summary for step in plan.steps if step.kind.name == "record_signals"}
    return {name: summary for name, summary in found.items() if not name.startswith("hidden-")}


def test_each_form_says_its_bytes(tree, vocabulary, data_folder):
    # 300 tokens, 32 entries of a hidden state; kl is at temperature 2 in both rounds.
    text = (data_folder / "train.jsonl").stat().st_size / 4
    for form, name, a_decision, once in (
        ({}, "logits-teacher-train", 1200, 0),
        ({"form": "top-k", "k": 8}, "top-k-teacher-train-r1", 18, 0),
        ({"form": "sampled", "k": 8}, "sampled-teacher-train-r1", 18, 0),
        ({"form": "hidden"}, "states-teacher-train-r1", 64, 300 * 33 * 4),
        ({"form": "hidden", "hidden_bits": 8}, "states-teacher-train-r1", 36, 300 * 33 * 4),
    ):
        summary = recordings(planned(tree, signals=form))[name]
        total = (text * a_decision + once) / 1e9
        assert summary.endswith(f"of teacher on train, {a_decision} bytes per decision, about {total:.2g} GB"), summary


def test_a_round_may_record_in_a_form_of_its_own(tree, vocabulary):
    tree["rounds"][0]["signals"] = {"form": "hidden"}
    assert set(recordings(planned(tree, signals={"form": "top-k"}))) == {
        "states-teacher-train-r1",
        "states-teacher-unlabeled-r1",
        "top-k-teacher-train-r2",
    }


def test_rounds_that_record_the_same_share_it(tree):
    names = list(recordings(planned(tree, signals={"form": "top-k", "k": 2})))
    assert names == ["top-k-teacher-train-r1", "top-k-teacher-unlabeled-r1"]


def test_the_rest_is_recorded_at_every_temperature_that_a_loss_of_the_round_has(tree):
    losses = tree["rounds"][0]["stages"][0]["losses"]
    losses.append({"kind": "jsd", "temperature": 3})
    losses.append({"kind": "reverse_kl", "temperature": 1})
    step = planned(tree, signals={"form": "top-k"}).step("top-k-teacher-train-r1")
    assert isinstance(step.settings, record_signals.Settings)
    assert step.settings.temperatures == (1, 2, 3)


def test_more_than_the_budget_is_refused_before_anything_is_computed(tree, vocabulary):
    with pytest.raises(UserError) as refused:
        planned(tree, signals={"form": "top-k", "max_gb": 1e-5})
    assert str(refused.value).startswith("signals.max_gb: top-k signals of teacher on train take about ")
    assert str(refused.value).endswith(
        "GB (59 bytes per decision), more than 1e-05; expected another signals.form, a smaller signals.k, or a larger "
        "signals.max_gb"
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"losses": [{"kind": "mse_logits"}]}, "'mse_logits' accepts 'dense' or 'hidden' signals, but signals.form is"),
        (
            {"losses": [{"kind": "dist"}]},
            "losses.0: 'dist' accepts 'dense' or 'hidden' signals, but signals.form is 't",
        ),
        ({"teacher_errors": 0.5}, "signals.form: got 'top-k', expected 'dense' for stage 'soft-targets' of r1, which"),
        ({"errors": {"of": "teacher", "against": "teacher"}}, "for stage 'soft-targets' of r1, which needs the te"),
    ],
)
def test_what_needs_whole_distributions_is_refused(tree, change, expected):
    tree["rounds"][0]["stages"][0].update(change)
    with pytest.raises(UserError) as refused:
        planned(tree, signals={"form": "top-k"})
    assert expected in str(refused.value)


def test_a_mean_of_teachers_needs_logits(recipe_tree):
    with pytest.raises(UserError, match="got 'top-k', expected 'dense' for the mean of several teachers of r2"):
        planned(recipe_tree, signals={"form": "top-k"})


def test_states_need_a_head(tree):
    with pytest.raises(UserError, match="signals.form: got 'hidden', but 'text-classification' has no output head"):
        planned(tree, signals={"form": "hidden"})
    tree["rounds"][0]["signals"] = {"form": "hidden"}
    with pytest.raises(UserError, match=r"rounds.0.signals.form: got 'hidden', but"):
        planned(tree)


def test_errors_of_an_earlier_model_are_looked_for_in_its_logits(tree):
    tree["rounds"][1]["stages"][0]["errors"] = {"of": "r1"}
    names = set(recordings(planned(tree, signals={"form": "top-k"})))
    assert names == {"top-k-teacher-train-r1", "top-k-teacher-unlabeled-r1", "logits-r1-train"}
