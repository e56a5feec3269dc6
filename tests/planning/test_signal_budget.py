"""The budget of signals is for all that a recipe records: what takes more together is refused, with the parts."""

from __future__ import annotations

import copy
import json

import pytest
from helpers import write_jsonl

from edgedistill.errors import UserError
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.signals.sizes import distribution_size

BYTES = 100_000
"""Of each split: 25,000 tokens, at four bytes each."""
VOCABULARY, WIDTH, LAYERS = 2000, 64, 4
TOP_K_GB = distribution_size("top-k", VOCABULARY, WIDTH, k=40, bits=6, temperatures=1).of(BYTES / 4) / 1e9


@pytest.fixture
def tree(tmp_path):
    """Two rounds from one teacher, with train and unlabeled texts of the same size."""
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    sizes = {"num_hidden_layers": LAYERS, "num_attention_heads": 4, "intermediate_size": 128}
    more = {"model_type": "llama", "vocab_size": VOCABULARY, "hidden_size": WIDTH, "max_position_embeddings": 64}
    (teacher / "config.json").write_text(json.dumps({**sizes, **more, "tie_word_embeddings": True}))
    (teacher / "tokenizer.json").write_text("{}")
    (teacher / "model.safetensors").write_bytes(b"")
    for split in ("train", "validation", "test", "unlabeled"):
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": "x" * (BYTES - 13)}])
    splits = ("train", "validation", "test", "unlabeled")
    stage = {"name": "soft", "data": ["train", "unlabeled"], "losses": [{"kind": "kl", "temperature": 1.0}]}
    return {
        "schema": "edgedistill/1",
        "name": "budget",
        "task": {"type": "text-generation", "metric": "bits_per_byte"},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in splits},
        "teacher": {"model": str(teacher)},
        "rounds": [
            {"id": name, "student": {"init": "keep_layers", "layers": layers}, "stages": [copy.deepcopy(stage)]}
            for name, layers in (("r1", 3), ("r2", 2))
        ],
        "signals": {"form": "top-k"},
        "control": False,
    }


@pytest.fixture
def plan(monkeypatch):
    """Plans a recipe; weights are not looked at."""
    for name in ("check_folder", "check_sizes", "read_weights_header"):
        monkeypatch.setattr(fingerprints, name, lambda *given: None)

    def planned(tree: dict[str, object]) -> Plan:
        recipe = reading.validate(tree, "test")
        return make_plan(recipe, fingerprints.look_up(recipe))

    return planned


def recorded(plan: Plan) -> list[str]:
    return [step.name for step in plan.steps if step.kind.name == "record_signals"]


def test_what_fits_one_by_one_but_not_together_is_refused(tree, plan):
    tree["signals"]["max_gb"] = 2.1 * TOP_K_GB
    assert recorded(plan(tree)) == ["top-k-teacher-train-r1", "top-k-teacher-unlabeled-r1"]  # which the rounds share
    tree["signals"]["max_gb"] = 1.5 * TOP_K_GB
    with pytest.raises(UserError) as refused:
        plan(tree)
    one = f"{TOP_K_GB:.3g} GB"
    assert str(refused.value) == (
        f"signals.max_gb: the recorded signals take about {2 * TOP_K_GB:.3g} GB together (top-k signals of teacher on "
        f"train {one}, top-k signals of teacher on unlabeled {one}), more than {1.5 * TOP_K_GB:g}; expected another "
        "signals.form, a smaller signals.k, or a larger signals.max_gb"
    )


def test_every_round_and_seed_that_records_counts(tree, plan):
    tree["rounds"][1] |= {"teacher": "r1"}
    tree["signals"]["max_gb"] = 4.1 * TOP_K_GB
    assert len(recorded(plan(tree))) == 4
    tree["seeds"] = [1]
    with pytest.raises(UserError, match=r"of r1 on unlabeled .* GB, top-k signals of r1 on train \(r1-seed1\) .* GB"):
        plan(tree)
    tree["signals"]["max_gb"] = 6.1 * TOP_K_GB
    assert len(recorded(plan(tree))) == 6


def test_a_round_with_settings_of_its_own_has_a_budget_of_its_own(tree, plan):
    tree["rounds"][1] |= {"teacher": "r1", "signals": {"form": "top-k", "max_gb": 2.1 * TOP_K_GB}}
    tree["signals"]["max_gb"] = 2.1 * TOP_K_GB
    assert len(recorded(plan(tree))) == 4
    tree["rounds"][1]["signals"]["max_gb"] = 1.9 * TOP_K_GB
    with pytest.raises(UserError, match=r"^rounds.1.signals.max_gb: .* together \(top-k signals of r1 on train "):
        plan(tree)


def test_hidden_states_get_what_distributions_leave(tree, plan):
    for round_ in tree["rounds"]:
        round_["stages"][0]["losses"].append({"kind": "hidden_mse"})
    states = 2 * BYTES / 4 * WIDTH * 2 * (LAYERS + 1) / 1e9
    tree["signals"]["max_gb"] = 2 * TOP_K_GB + 1.1 * states
    found = plan(tree)
    assert [name for name in recorded(found) if "hidden" in name] == [
        "hidden-teacher-train-r1",
        "hidden-teacher-unlabeled-r1",
    ]
    second = next(step.summary for step in found.steps if step.name == "r2")
    assert f"hidden live: about {states:.1f} GB exceed the {0.1 * states:.1f} GB left of signals.max_gb" in second


def test_auto_chooses_within_what_earlier_rounds_leave(tree, plan):
    """The second round's teacher is the first student, whose states would take what the first round's do."""
    for round_ in tree["rounds"]:
        round_["stages"][0]["epochs"] = 3
    tree["rounds"][1]["teacher"] = "r1"
    states = 2 * (BYTES / 4 * 2 * WIDTH + 4 * VOCABULARY * (WIDTH + 1)) / 1e9
    tree["signals"] = {"form": "auto", "max_gb": 2.1 * states}
    every = ["states-teacher-train-r1", "states-teacher-unlabeled-r1", "states-r1-train-r2", "states-r1-unlabeled-r2"]
    assert recorded(plan(tree)) == every
    tree["signals"]["max_gb"] = 1.5 * states
    found = plan(tree)
    assert recorded(found)[:2] == every[:2]
    assert not [name for name in recorded(found) if name.startswith("states-r1")]
    assert any(f"up to {0.5 * states:.3g} of {1.5 * states:g} GB" in step.summary for step in found.steps)
    tree["rounds"][1]["teacher"] = "teacher"  # whose states are there
    assert recorded(plan(tree)) == every[:2]
