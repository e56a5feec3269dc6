"""Results of schema 1, as a run of that time wrote them, are read as if they were of schema 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgedistill.errors import UserError
from edgedistill.evaluation.results import load_results
from edgedistill.recipe.deployment_spec import SelectSpec
from edgedistill.report.html import render_html
from edgedistill.report.markdown import render_markdown

FILE = Path(__file__).parent / "results-v1.json"
OLD = json.loads(FILE.read_text())


@pytest.fixture(scope="module")
def results():
    return load_results(FILE)


def test_every_model_keeps_its_figures(results):
    for old, new in zip([OLD["teacher"], *OLD["rounds"]], [results.teacher, *results.rounds], strict=True):
        assert (new.test.value, new.test.interval) == (old["accuracy"], tuple(old["accuracy_ci"]))
        assert (new.validation.value, new.validation.interval) == (old["validation_accuracy"], None)
        assert (new.test.metric, new.test.direction, new.test.examples) == ("accuracy", "higher", 90)
        assert new.calibration_error == old["calibration_error"]
        for name, given in old["elsewhere"].items():
            assert new.ood[name].auroc.value == given["auroc"]
            assert new.ood[name].examples == given["items"]
            primary = new.ood[name].primary
            assert (None if primary is None else primary.value) == given["accuracy"]


def test_every_round_keeps_its_differences(results):
    for old, new in zip(OLD["rounds"], results.rounds, strict=True):
        assert (new.drop.value, new.drop.interval) == (old["drop_from_teacher"], tuple(old["drop_from_teacher_ci"]))
        assert new.control.value == old["control_accuracy"]
        gain = new.gain
        assert (gain.value, gain.p) == (old["gain_over_control"], old["gain_over_control_p"])
        assert gain.interval == tuple(old["gain_over_control_ci"])
        assert new.errors.model_dump() == old["errors"]
        assert [seed.value for seed in new.seeds] == [seed["accuracy"] for seed in old["seeds"]]
    assert [trial.value for trial in results.rounds[1].teacher_trials] == [
        trial["metric"] for trial in OLD["rounds"][1]["teacher_trials"]
    ]


def test_every_candidate_keeps_its_figures_and_names_the_host(results):
    for old, new in zip(OLD["candidates"], results.measured, strict=True):
        assert (new.id, new.model) == (old["id"], old["round"])
        assert (new.test.value, new.validation.value) == (old["accuracy"], old["validation_accuracy"])
        assert (new.drop.value, new.drop.interval) == (old["accuracy_drop"], None)
        assert new.mean_divergence == old["mean_kl"]
        assert new.latency_ms.p50 == old["latency_ms"]["p50"]
        assert results.hosts[new.host].cpu == OLD["environment"]["cpu"]
    assert results.data.examples == OLD["data"]["rows"]
    assert [judgement.drop.value for judgement in results.stop.judgements] == [
        judgement["drop"] for judgement in OLD["stop"]["judgements"]
    ]


def test_nothing_of_schema_1_is_left_under_its_old_name(results):
    def names(content):
        if isinstance(content, dict):
            for key, below in content.items():
                yield key
                yield from names(below)
        elif isinstance(content, list):
            for item in content:
                yield from names(item)

    left = set(names(results.model_dump(mode="json", by_alias=True)))
    old = {"accuracy", "accuracy_ci", "accuracy_drop", "elsewhere", "environment", "rows", "drop_ci", "mean_kl"}
    assert left & old == set()


def test_reports_are_written_of_it(results):
    assert "0.8333 [0.7431, 0.8963]" in render_markdown(results)
    assert 'id="candidates"' in render_html(results, {}, SelectSpec())


@pytest.mark.parametrize("missing", ["metric", "teacher", "rounds", "candidates"])
def test_what_is_missing_is_named(tmp_path, missing):
    (tmp_path / "results.json").write_text(json.dumps({key: value for key, value in OLD.items() if key != missing}))
    with pytest.raises(UserError, match=f"is not a results file: '{missing}'"):
        load_results(tmp_path)
