"""From a recipe to students with fewer tokens than their teacher: its distributions are projected on theirs."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from helpers import write_jsonl, write_recipe
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

import edgedistill
from edgedistill.errors import UserError
from edgedistill.recipe.reading import shipped
from edgedistill.store.records.base import read
from edgedistill.store.records.models import Signals
from edgedistill.vocabulary.projection import LEAST

FOLDER = shipped()["stories"].parent / "stories"
KL = [{"kind": "kl", "temperature": 1.0}]


@pytest.fixture
def recipe(tmp_path):
    """Two rounds: 400 of the teacher's 512 tokens; a layer less with these, taught by the first."""
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        lines = (FOLDER / f"{split}.jsonl").read_text().splitlines()[:count]
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": json.loads(line)["text"][:200]} for line in lines])
    stage = {"name": "soft-targets", "epochs": 3, "learning_rate": 2e-3, "batch_size": 8, "losses": KL}
    return {
        "schema": "edgedistill/1",
        "name": "fewer-tokens",
        "task": {"type": "text-generation", "metrics": ["bits_per_byte"]},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in ("train", "validation", "test")}
        | {"max_length": 32},
        "teacher": {"model": str(FOLDER / "teacher")},
        "signals": {"form": "top-k", "k": 30},
        "control": False,
        "rounds": [
            {"id": "r1", "student": {"init": "trim_vocabulary", "vocabulary": 400}, "stages": [stage]},
            {
                "id": "r2",
                "teacher": "r1",
                "student": {"init": "keep_layers", "from": "r1", "layers": 4},
                "stages": [stage | {"epochs": 1}],
            },
        ],
    }


def signals(run_folder, name) -> Signals:
    return read(Signals, next(run_folder.glob(f"steps/[0-9][0-9]-{name}")))


def test_students_with_fewer_tokens_learn_from_a_teacher_that_reads_its_own(recipe, tmp_path, caplog):
    caplog.set_level(logging.INFO, "edgedistill")
    found = edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    first, *_, last = found.training("r1").epochs
    assert last.loss < 0.8 * first.loss
    assert last.metric < first.metric
    recorded = signals(tmp_path / "run", "top-k-teacher-train-r1")
    facts = recorded.projected
    assert recorded.top_k.classes == 400
    assert 0 < facts.untaught < 0.1 * facts.decisions
    assert f"{facts.untaught / facts.decisions:.2%} of {facts.decisions:,} decisions have no teacher" in caplog.text
    assert signals(tmp_path / "run", "top-k-r1-train-r2").projected is None  # of the same tokens
    own, teachers = (found.references("test", model) for model in ("r1", "teacher"))
    assert (len(found.said("r1")), len(found.said("teacher"))) == (len(own), len(teachers))
    assert len(own) > len(teachers)  # fewer kinds of tokens, so more of them


def test_a_padded_teachers_student_is_cut_and_shrunk_at_once(recipe, tmp_path):
    """The teacher has 8 rows more than tokens; its logits are recorded whole."""
    teacher = AutoModelForCausalLM.from_pretrained(FOLDER / "teacher")
    teacher.resize_token_embeddings(520, mean_resizing=False)
    teacher.save_pretrained(tmp_path / "padded")
    AutoTokenizer.from_pretrained(FOLDER / "teacher").save_pretrained(tmp_path / "padded")
    recipe["teacher"]["model"] = str(tmp_path / "padded")
    recipe["signals"] = {"form": "dense"}
    recipe["rounds"] = recipe["rounds"][:1]
    recipe["rounds"][0]["student"] = {"init": "shrink", "vocabulary": 400, "parameters": 150_000}
    recipe["rounds"][0]["stages"][0]["epochs"] = 1
    file = write_recipe(recipe, tmp_path)
    (planned,) = (model for model in edgedistill.plan(file).plan.models if model.id == "r1")
    found = edgedistill.evaluate(file, out=tmp_path / "run")
    config = AutoConfig.from_pretrained(found.model_folder("r1"))
    assert planned.parameters == found.training("r1").parameters <= 150_000
    assert (config.vocab_size, config.num_hidden_layers) == (400, planned.layers)
    assert planned.layers < 5
    recorded = signals(tmp_path / "run", "logits-teacher-train-r1")
    assert recorded.projected.untaught < 0.1 * recorded.projected.decisions


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"signals": {"form": "hidden"}},
            "signals.form: got 'hidden', but 'teacher' and 'r1' have different tokenizers, and only probabilities",
        ),
        (
            {"rounds.0.stages.0.losses": [{"kind": "embedding"}]},
            "rounds.0.stages.0.losses.0: 'embedding' compares item by item, but 'teacher' and 'r1' have different",
        ),
        (
            {"signals": {"form": "dense"}, "rounds.0.stages.0.losses": [{"kind": "mse_logits"}]},
            "rounds.0.stages.0.losses.0: 'mse_logits' compares logits themselves, but 'teacher' and 'r1' have",
        ),
        (
            {"rounds.0.stages.0.losses": [*KL, {"kind": "jsd", "temperature": 4.5}]},
            "rounds.0.stages.0.losses.1: 'jsd' has the temperature 4.5, but 'teacher' and 'r1' have",
        ),
        (
            {"rounds.1.student.from": "teacher"},
            "rounds.1.teacher: 'r1' and 'r2' have different tokenizers, and that of 'r2' wasn't trimmed from that of "
            "'r1'",
        ),
    ],
)
def test_what_cannot_be_said_in_other_tokens_is_refused_by_the_plan(recipe, tmp_path, change, sentence):
    for path, value in change.items():
        *above, name = path.split(".")
        place = recipe
        for key in above:
            place = place[int(key) if key.isdigit() else key]
        place[name] = value
    with pytest.raises(UserError) as refused:
        edgedistill.plan(write_recipe(recipe, tmp_path))
    assert sentence in str(refused.value)


def test_another_vocabulary_is_another_signal(recipe, tmp_path):
    file = write_recipe(recipe, tmp_path)
    step, other = (
        edgedistill.plan(file, [f"rounds.0.student.vocabulary={size}"]).plan.step("top-k-teacher-train-r1")
        for size in (400, 350)
    )
    assert step.key != other.key
    assert "bytes per decision" in step.summary
    assert step.summary.endswith(", projected onto r1's tokens")


def test_losses_on_logits_and_at_any_temperature_are_for_teachers_of_the_same_tokens(recipe, tmp_path):
    """As the second round's is, and at 4 as many as 8,192 tokens without probability keep none."""
    recipe["signals"] = {"form": "dense"}
    recipe["rounds"][0]["stages"][0]["losses"] = [{"kind": kind, "temperature": 4.0} for kind in ("kl", "dist")]
    recipe["rounds"][1]["stages"][0]["losses"] = [{"kind": "mse_logits"}, {"kind": "kl", "temperature": 9.0}]
    edgedistill.plan(write_recipe(recipe, tmp_path))
    assert 8192 * np.exp(LEAST / 4) < 1e-5
