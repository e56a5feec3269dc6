"""Suggestions for the quickstart recipe, with times by a formula instead of a stopwatch; one test measures."""

from __future__ import annotations

import pytest
import yaml
from helpers import Tree, heard, unused, write_recipe
from transformers import AutoConfig, AutoModelForSequenceClassification

import edgedistill
from edgedistill.cli import suggested
from edgedistill.errors import UserError
from edgedistill.measuring import encoder_times
from edgedistill.measuring.encoder_times import LayerTimes, Times
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.planning.candidate_estimates import NOT_TIMED
from edgedistill.recipe import reading
from edgedistill.runs import suggesting


@pytest.fixture(autouse=True)
def own_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def by_formula(shape, setup) -> LayerTimes:
    """A layer takes a nanosecond per number in its matrices and token, int8 half of that; the rest 0.1 ms."""
    numbers = 4 * shape.hidden_size**2 + 2 * shape.hidden_size * shape.intermediate_size
    layer = 1e-6 * numbers * setup.tokens * (0.5 if setup.kind.precision == "int8-dynamic" else 1.0)
    one, two = 0.1 + layer, 0.1 + 2 * layer
    return LayerTimes(Times(one, 1.2 * one), Times(two, 1.2 * two))


@pytest.fixture
def asked(monkeypatch):
    """What was measured, call by call; measuring takes no time."""
    calls = []

    def measure(missing, progress):
        calls.append(missing)
        return {(shape, setup): by_formula(shape, setup) for shape in missing.requests for setup in missing.setups}

    monkeypatch.setattr(suggesting, "measure_encoders", measure)
    return calls


def test_every_candidate_is_estimated_and_over_a_limit_exactly_if_its_figure_is(asked):
    found = edgedistill.suggest("quickstart", ["select.limits.p95_ms=1.2", "select.limits.file_mb=1"])
    assert len(found.estimates) == 9
    for one in found.estimates:
        assert one.without is None
        assert one.p50_ms <= one.p95_ms
        told = one.exceeded(found.limits)
        assert any("select.limits.file_mb" in words for words in told) == (one.file_mb > 1)
        assert any("select.limits.p95_ms" in words for words in told) == (one.p95_ms > 1.2)
        assert one.meets(found.limits) == (not told)
    assert 0 < sum(one.meets(found.limits) for one in found.estimates) < 9


def test_proposals_meet_the_limits_and_the_largest_is_first(asked):
    found = edgedistill.suggest("quickstart", ["select.limits.p95_ms=1.2"])
    assert found.place == "rounds.1.student"
    assert 2 <= len(found.proposals) <= suggesting.SHOWN
    assert all(proposal.estimate.meets(found.limits) for proposal in found.proposals)
    sizes = [proposal.layer_weights for proposal in found.proposals]
    assert sizes == sorted(sizes, reverse=True)
    assert found.why == suggesting.RANKING
    assert all(proposal.layers <= 2 and proposal.hidden_size <= 128 for proposal in found.proposals)


def test_a_lower_limit_never_proposes_a_larger_student(asked):
    found = [edgedistill.suggest("quickstart", [f"select.limits.p95_ms={ms}"]) for ms in (0.05, 0.5, 1.2, 100)]
    largest = [max((proposal.layer_weights for proposal in one.proposals), default=0) for one in found]
    assert largest == sorted(largest)
    assert largest[0] == 0


def test_a_pasted_line_plans_and_has_the_proposed_size_and_times(asked, tmp_path):
    found = edgedistill.suggest("quickstart", ["select.limits.p95_ms=1.2"])
    for proposal in found.proposals:
        student = yaml.safe_load(suggested.yaml_lines(proposal.student))["student"]
        tree: Tree = reading.read(reading.locate("quickstart"))
        tree["rounds"][1]["student"] = student
        file = tmp_path / "pasted.yaml"
        file.write_text(yaml.safe_dump(tree))
        planned = edgedistill.plan(str(file), out=tmp_path / "run").plan
        again = next(one for one in planned.estimates if one.id == proposal.estimate.id)
        assert again == proposal.estimate
        (model,) = (model for model in planned.models if model.id == "r2")
        assert (model.layers, model.hidden_size) == (proposal.layers, proposal.hidden_size)


def test_layers_are_measured_once_and_again_when_asked(asked):
    edgedistill.suggest("quickstart")
    assert len(asked) == 1
    edgedistill.suggest("quickstart")
    assert len(asked) == 1
    edgedistill.suggest("quickstart", refresh=True)
    assert len(asked) == 2
    assert set(asked[1].requests) == set(asked[0].requests)
    edgedistill.suggest("quickstart", ["measure.threads=[2]"])
    assert {setup.threads for setup in asked[2].setups} == {2}


def test_shapes_whose_files_are_too_large_are_not_measured(asked):
    edgedistill.suggest("quickstart", ["select.limits.file_mb=0.38"])
    edgedistill.suggest("quickstart", ["select.limits.file_mb=100"], refresh=True)
    assert len(asked[0].requests) < len(asked[1].requests)


def test_nothing_meets_limits_that_are_too_low_and_the_closest_is_named(asked):
    found = edgedistill.suggest("quickstart", ["select.limits.file_mb=0.01"])
    assert found.proposals == ()
    assert "shapes of the grid" in found.why
    assert "Closest: 1 x " in found.why
    assert "times select.limits.file_mb (0.01)" in found.why


def test_without_limits_there_are_estimates_alone(asked):
    found = edgedistill.suggest("quickstart", ["select.limits.file_mb=null", "select.limits.p95_ms=null"])
    assert found.proposals == ()
    assert "neither file_mb nor p95_ms" in found.why
    assert all(one.p50_ms is not None for one in found.estimates)


@pytest.mark.parametrize("limit", ["file_mb=-1", "p95_ms=0", "p95_ms=fast", "p59_ms=3"])
def test_wrong_limits_are_refused_in_a_sentence(limit, asked):
    with pytest.raises(UserError, match=r"select\.limits"):
        edgedistill.suggest("quickstart", [f"select.limits.{limit}"])
    assert asked == []


@pytest.mark.parametrize(
    ("recipe", "overrides", "reason"),
    [
        ("stories", [], "text-classification"),
        ("quickstart", ["export.targets=[openvino]"], "targets onnx and onnx-fused, which the recipe lacks"),
    ],
)
def test_other_tasks_and_targets_have_no_estimate_and_say_so(recipe, overrides, reason, monkeypatch):
    monkeypatch.setattr(suggesting, "measure_encoders", unused)
    found = edgedistill.suggest(recipe, overrides)
    assert found.proposals == ()
    assert reason in found.why
    assert all(one.file_bytes is None and one.p50_ms is None and reason in one.without for one in found.estimates)


MIX = "{name: small, parts: {embeddings: int4, attention: int8-dynamic, feed_forward: int4}, block: 64}"


def test_fused_files_and_mixes_are_estimated_and_searches_say_why_not(asked):
    searched = "{name: sought, search: {max_drop: 0.01}}"
    overrides = ["export.targets=[onnx, onnx-fused]", f"quantize=[{{precision: int2}}, {MIX}, {searched}]"]
    found = {
        one.id: one for one in edgedistill.suggest("quickstart", [*overrides, "select.limits.file_mb=1"]).estimates
    }
    for model in ("teacher", "r1", "r2"):
        for name in ("int2", "small"):
            one = found[f"{model}/onnx/{name}/onnxruntime"]
            assert one.without is None
            assert one.file_bytes
            assert one.p50_ms
        assert "searched after training" in found[f"{model}/onnx/sought/onnxruntime"].without
    kinds = {setup.kind for setup in asked[0].setups}
    assert {(kind.precision, kind.block) for kind in kinds} == {("int2", None), (None, 64)}
    fused = edgedistill.suggest("quickstart", ["export.targets=[onnx-fused]", "quantize=[{precision: int8-dynamic}]"])
    assert all(one.file_bytes and one.p50_ms for one in fused.estimates)
    assert fused.proposals
    assert {setup.kind.target for setup in asked[-1].setups} == {"onnx-fused"}


def test_mixes_of_the_same_parts_are_timed_once_whatever_their_names(asked):
    edgedistill.suggest("quickstart", [f"quantize=[{MIX}]"])
    edgedistill.suggest("quickstart", [f"quantize=[{MIX.replace('small', 'other')}]"])
    assert len(asked) == 1
    edgedistill.suggest("quickstart", [f"quantize=[{MIX.replace('64', '32')}]"])
    assert len(asked) == 2


def test_an_unknown_family_has_no_estimate(recipe_tree, tmp_path, monkeypatch):
    monkeypatch.setattr(suggesting, "measure_encoders", unused)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 60, "pad_token_id": 0}
    kind = AutoConfig.for_model("megatron-bert", **sizes, num_labels=3)
    AutoModelForSequenceClassification.from_config(kind).save_pretrained(tmp_path / "teacher")
    learn_tokenizer(["a text"], 60, 32).save_pretrained(str(tmp_path / "teacher"))
    recipe_tree["teacher"] = {"model": str(tmp_path / "teacher"), "fine_tune": {"epochs": 1}}
    student = {"init": "keep_layers", "from": "teacher", "layers": 1}
    recipe_tree["rounds"] = [{**recipe_tree["rounds"][0], "student": student}]
    found = edgedistill.suggest(write_recipe(recipe_tree, tmp_path))
    assert all("'megatron-bert' is not an encoder with a known layout" in one.without for one in found.estimates)
    assert "no shapes to propose" in found.why


def test_a_plan_estimates_from_the_cache_alone(asked, tmp_path):
    before = edgedistill.plan("quickstart", out=tmp_path / "run").plan
    assert asked == []
    assert all(one.file_bytes and one.p50_ms is None and one.without == NOT_TIMED for one in before.estimates)
    edgedistill.suggest("quickstart")
    after = edgedistill.plan("quickstart", out=tmp_path / "run").plan
    assert len(asked) == 1
    assert all(one.p50_ms is not None for one in after.estimates)
    assert [step.key for step in after.steps] == [step.key for step in before.steps]


def test_what_is_printed(asked, capsys):
    found = edgedistill.suggest("quickstart", ["select.limits.p95_ms=1.2"])
    suggested.suggestions(found)
    told = capsys.readouterr().out
    assert "from the test set" in told
    assert "to paste at rounds.1.student" in told
    assert suggested.yaml_lines(found.proposals[0].student) in told
    assert encoder_times.place() in told
    facts: Tree = suggested.suggestions_facts(found)
    assert facts["proposals"][0]["student"] == found.proposals[0].student
    assert len(facts["estimates"]) == 9


@pytest.mark.slow
def test_real_times_of_a_real_recipe(tmp_path):
    with heard() as told:
        found = edgedistill.suggest("quickstart", ["quantize=[{precision: fp32}]", "select.limits.file_mb=2"])
    assert any("exporting" in line for line in told)
    assert all(0.005 < one.p50_ms < 500 for one in found.estimates)
    by_model = {one.id.split("/")[0]: one.p50_ms for one in found.estimates}
    assert by_model["r2"] < by_model["r1"]
    assert found.proposals
