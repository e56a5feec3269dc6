"""`signals: auto`: what the plan chooses, by room, passes, work, losses and tokens; and that it says why."""

from __future__ import annotations

import json

import pytest
from helpers import Tree, write_jsonl

from edgedistill.errors import RecipeError
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.recipe import reading

TOKENS = 25_000
"""About, at four bytes each."""
WIDTH, VOCABULARY = 64, 2000


@pytest.fixture
def tree(tmp_path):
    """A language model of 64 dimensions and 2,000 tokens, and a hundred thousand bytes of text."""
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    sizes = {"num_hidden_layers": 12, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128}
    more = {"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "max_position_embeddings": 64}
    (teacher / "config.json").write_text(json.dumps({**sizes, **more, "tie_word_embeddings": True}))
    (teacher / "tokenizer.json").write_text("{}")
    (teacher / "model.safetensors").write_bytes(b"")
    for split in ("train", "validation", "test"):
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": "x" * (4 * TOKENS - 13)}])
    stages = [
        {"name": "next", "epochs": 5, "losses": [{"kind": "hard_label"}]},
        {"name": "soft", "epochs": 3, "losses": [{"kind": "kl", "temperature": 1.0}]},
    ]
    student = {"init": "shrink", "parameters": 1.5e5}
    return {
        "schema": "edgedistill/1",
        "name": "auto",
        "task": {"type": "text-generation", "metric": "bits_per_byte"},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in ("train", "validation", "test")},
        "teacher": {"model": str(teacher)},
        "rounds": [{"id": "r1", "student": student, "stages": stages}],
        "signals": "auto",
        "control": False,
    }


@pytest.fixture
def plan(monkeypatch):
    """Plans a recipe; weights are not looked at."""
    monkeypatch.setattr(fingerprints, "check_folder", lambda *given: None)
    monkeypatch.setattr(fingerprints, "check_sizes", lambda *given: None)
    monkeypatch.setattr(fingerprints, "read_weights_header", lambda *given: None)

    def planned(tree: dict[str, object]) -> Plan:
        recipe = reading.validate(tree, "test")
        return make_plan(recipe, fingerprints.look_up(recipe))

    return planned


def source(plan: Plan) -> str:
    """What is recorded, or `live`."""
    names = [step.name for step in plan.steps if step.kind.name == "record_signals"]
    return names[0].removesuffix("-teacher-train-r1") if names else "live"


def told(plan: Plan) -> str:
    return next(step.summary.split("auto: ")[1] for step in plan.steps if "auto: " in step.summary)


def soft(tree: Tree) -> Tree:
    return tree["rounds"][0]["stages"][1]


def test_what_is_exact_and_fits_is_recorded_for_several_passes(tree, plan):
    found = plan(tree)
    assert source(found) == "states"
    gb = (TOKENS * 2 * WIDTH + 4 * VOCABULARY * (WIDTH + 1)) / 1e9
    assert told(found).startswith(f"hidden ({2 * WIDTH} bytes per decision, {gb:.2g} GB, work 1) of sampled (")
    assert told(found).endswith("passes 3, up to 4 GB")
    assert source(plan(tree | {"signals": {"form": "auto", "max_gb": gb}})) == "states"  # just fits
    assert source(plan(tree | {"signals": {"form": "auto", "hidden_bits": 8}})) == "states"


def test_for_one_pass_the_teacher_is_asked_live(tree, plan):
    soft(tree)["epochs"] = 1
    found = plan(tree)
    assert source(found) == "live"
    assert "logits live: auto: live (work 1) of " in next(step.summary for step in found.steps if step.name == "r1")
    # With another seed, what is recorded once is read twice.
    assert source(plan(tree | {"seeds": [1]})) == "states"


def test_where_states_do_not_fit_classes_are_sampled_unless_a_live_teacher_costs_little_more(tree, plan):
    tree["signals"] = {"form": "auto", "max_gb": 0.003, "k": 30}
    assert source(plan(tree)) == "sampled"
    tree["rounds"][0]["student"]["parameters"] = 5e5  # its own learning is most of the work, with whatever teacher
    assert source(plan(tree)) == "live"
    tree["rounds"][0]["student"]["parameters"] = 1.5e5
    assert source(plan(tree | {"signals": {"form": "auto", "max_gb": 0.0001}})) == "live"


@pytest.mark.parametrize("more", [{"kind": "jsd", "temperature": 2.0}, {"kind": "kl", "temperature": 3.0}])
def test_classes_are_sampled_for_kl_at_one_temperature_only(tree, plan, more):
    tree["signals"] = {"form": "auto", "max_gb": 0.003, "k": 30}
    soft(tree)["losses"].append(more)
    assert source(plan(tree)) == "top-k"
    tree["signals"] = {"form": "sampled"}
    refused = (
        "accepts .* signals, but signals.form is 'sampled'|got 'sampled', expected losses of r1 at one temperature"
    )
    with pytest.raises(RecipeError, match=refused):
        plan(tree)


def test_a_loss_that_cannot_read_a_form_rules_it_out(tree, plan):
    tree["signals"] = {"form": "auto", "max_gb": 0.003, "k": 30}
    soft(tree)["losses"].append({"kind": "mse_logits"})
    assert source(plan(tree)) == "live"
    assert "top-k" not in told(plan(tree))
    tree["signals"] = {"form": "top-k", "k": 30}
    with pytest.raises(RecipeError, match="'mse_logits' accepts 'dense' or 'hidden' signals, but signals.form is"):
        plan(tree)


def test_what_the_teacher_says_in_other_tokens_is_neither_live_nor_of_states(tree, plan):
    tree["rounds"][0]["student"]["vocabulary"] = 1000
    found = plan(tree)
    assert source(found) == "logits"
    assert told(found).startswith("dense (4000 bytes per decision, 0.1 GB, work 1) of sampled (")
    assert source(plan(tree | {"signals": {"form": "auto", "max_gb": 0.05}})) == "sampled"
    tree["signals"] = {"form": "live"}
    with pytest.raises(RecipeError, match="got 'live', expected a recorded form for a round whose teacher has another"):
        plan(tree)


def test_where_nothing_fits_and_no_teacher_can_answer_live_the_run_is_refused(tree, plan):
    tree["rounds"][0]["student"]["vocabulary"] = 1000
    tree["signals"] = {"form": "auto", "max_gb": 0.0001}
    with pytest.raises(Exception, match="sampled signals of teacher on train take about"):
        plan(tree)


def test_of_data_that_is_not_here_yet_the_teacher_answers_live(tree, plan, monkeypatch):
    monkeypatch.setattr(fingerprints, "text_bytes", lambda source, columns: 0)
    found = plan(tree)
    assert source(found) == "live"
    assert told(found) == "live, since the sizes of the others are not known yet"
