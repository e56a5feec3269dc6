"""What the configuration of a model already tells is refused by the plan, with what works instead."""

from __future__ import annotations

import json

import pytest
from helpers import Tree, write_weights

from edgedistill.errors import RecipeError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 100,
    "max_position_embeddings": 64,
}


@pytest.fixture
def refusals(recipe_tree, tmp_path):
    """The plan's sentences for a teacher of that architecture and rounds of these students and losses."""

    def planned(architecture: str, *students: Tree, losses=({"kind": "kl"},), **more) -> list[str]:
        folder = tmp_path / architecture
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"model_type": architecture, **SIZES, **more}))
        write_weights(folder)
        stage = {**recipe_tree["rounds"][-1]["stages"][0], "losses": list(losses)}
        recipe_tree["teacher"] = {"model": str(folder), "fine_tune": {"epochs": 1}}
        recipe_tree["rounds"] = [
            {"id": f"r{i}", "teacher": "teacher", "student": {"from": "teacher"} | student, "stages": [stage]}
            for i, student in enumerate(students, 1)
        ]
        recipe = reading.validate(recipe_tree, "test")
        try:
            make_plan(recipe, fingerprints.look_up(recipe))
        except RecipeError as error:
            return error.problems
        return []

    return planned


KEEP = {"init": "keep_layers", "layers": 2}
NARROW = {"init": "narrow", "hidden_size": 16}
SCRATCH = {"init": "scratch", "layers": 1, "hidden_size": 16, "heads": 2}
PRUNE = {"init": "prune", "parameters": 5000}
SHRINK = {"init": "shrink", "parameters": 5e3}
FITTED = {"init": "scratch", "parameters": 5e3}
FACTORISE = {"init": "factorise", "embedding_size": 8}


def test_what_works_is_not_refused(refusals):
    assert refusals("bert", KEEP, NARROW, SCRATCH, PRUNE, FACTORISE) == []
    assert refusals("deberta-v2", KEEP, SCRATCH) == []
    assert refusals("gpt2", KEEP, NARROW, SCRATCH, SHRINK, FITTED) == []
    assert refusals("a-new-one", KEEP, SCRATCH) == []


@pytest.mark.parametrize(
    ("architecture", "more"), [("bart", {}), ("t5", {}), ("someones", {"is_encoder_decoder": True})]
)
def test_an_encoder_with_a_decoder_is_refused(refusals, architecture, more):
    (sentence,) = refusals(architecture, KEEP, **more)
    assert sentence.startswith(f"teacher.model: got a '{architecture}', which is an encoder-decoder model; expected")


@pytest.mark.parametrize(
    ("architecture", "student", "works"),
    [
        ("albert", KEEP, "scratch, static or trim_vocabulary"),
        ("albert", NARROW, "scratch, static or trim_vocabulary"),
        ("roberta", PRUNE, "keep_layers, narrow, scratch, static or trim_vocabulary"),
        ("distilbert", FACTORISE, "keep_layers, narrow, scratch, static or trim_vocabulary"),
        ("opt", NARROW, "keep_layers, scratch, static or trim_vocabulary"),
        ("opt", SHRINK, "keep_layers, scratch, static or trim_vocabulary"),
        ("bert", SHRINK, "factorise, keep_layers, narrow, prune, scratch, static or trim_vocabulary"),
        ("bert", FITTED, "factorise, keep_layers, narrow, prune, scratch, static or trim_vocabulary"),
        ("gpt2", PRUNE, "keep_layers, narrow, scratch, shrink, static or trim_vocabulary"),
    ],
)
def test_an_initialisation_that_does_not_fit_is_refused_with_those_that_do(refusals, architecture, student, works):
    more = {"num_hidden_groups": 1} if architecture == "albert" else {}
    (sentence,) = refusals(architecture, student, **more)
    assert sentence.startswith(f"rounds.0.student.init: got '{student['init']}', but 'from' is a '{architecture}', ")
    assert sentence.endswith(f"; use init: {works}")


def test_what_a_student_becomes_counts_for_the_next(refusals):
    (sentence,) = refusals("bert", FACTORISE, {**PRUNE, "from": "r1"})
    assert "rounds.1.student.init: got 'prune', but 'from' is a 'electra'" in sentence
    assert refusals("bert", PRUNE, {**PRUNE, "from": "r1"}) == []


def test_relations_are_refused_where_heads_do_not_divide_or_projections_are_not_known(refusals):
    relations = {"kind": "minilm_relations", "relation_heads": 12}
    (sentence,) = refusals("bert", KEEP, losses=[relations])
    assert sentence == (
        "rounds.0.stages.0.losses.0.relation_heads: got 12, expected a divisor of the student's width 32 "
        "(for example 32)"
    )
    assert refusals("bert", KEEP, losses=[{**relations, "relation_heads": 8}]) == []
    (sentence,) = refusals("gpt2", KEEP, losses=[{**relations, "relation_heads": 8}])
    assert "'minilm_relations' cannot find the queries, keys and values of a 'gpt2'" in sentence


def test_attention_maps_of_another_number_of_heads_are_refused(refusals):
    (sentence,) = refusals("bert", SCRATCH, losses=[{"kind": "attention_mse"}])
    assert "the student has 2 heads and the teacher 4; expected equal numbers, or heads: mean" in sentence
    assert refusals("bert", SCRATCH, losses=[{"kind": "attention_mse", "heads": "mean"}]) == []
