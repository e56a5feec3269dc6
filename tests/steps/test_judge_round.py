"""What the stop rule is told of a round and its files."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import stand_in, verified_record

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.data import prepared
from edgedistill.evaluation import stop
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.recipe.schema import StopSpec
from edgedistill.steps import judge_round
from edgedistill.store.progress import Progress
from edgedistill.store.records.files import FileId, VerifyId
from edgedistill.store.step import Context

LABELS = np.array([0, 1, 1, -100, 0])
ROWS = {"teacher": [0, 1, 1, 0, 1], "student": [0, 1, 0, 0, 1]}
"""Classes that are answered: the teacher is right on 3 of 4, the student on 2."""


def given(role):
    return stand_in(path=lambda name: role, record=stand_in(answers=""))


def verified(target, value=0.0, failure=None, agreement=1.0, **facts):
    record = verified_record(value, agreement, **facts)
    return {VerifyId("r1", target, "fp32", "r"): stand_in(record=record, failure=failure)}


def test_every_file_is_judged_by_its_own_drop_and_size(tmp_path, monkeypatch):
    seen: dict[str, Any] = {}
    judge = stop.judge

    def recorded(name, metric, teacher, student, files, *rest):
        seen.update(teacher=teacher[:, 0].tolist(), student=student[:, 0].tolist(), files=files)
        return judge(name, metric, teacher, student, files, *rest)

    monkeypatch.setattr(judge_round, "judge", recorded)
    item = np.arange(len(LABELS))
    monkeypatch.setattr(Answers, "open", lambda role: Answers({"logits": np.eye(2)[ROWS[role]]}, item, item))
    references = References({"class": np.maximum(LABELS, -1)}, item, item, LABELS != -100)
    task = registry.task("text-classification")
    asked = []
    told = replace(task, data=replace(task.data, references=lambda items: asked.append(items) or references))
    monkeypatch.setattr(registry, "task", lambda name: told)
    monkeypatch.setattr(
        prepared.PreparedData, "of", lambda inputs: SimpleNamespace(items=lambda split: (inputs, split))
    )
    monkeypatch.setattr(
        judge_round, "read_files", lambda artifact: SimpleNamespace(bytes=artifact.path(""), search=None)
    )
    monkeypatch.setattr(judge_round, "tokenizer_bytes", lambda task, target, data: 500_000)
    rows = tuple(
        Candidate(id=f"r1/{name}", model="r1", target=name, precision="fp32", runtime="r", threads=1, batch=1)
        for name in ("a", "b", "failed")
    )
    named: dict[str, Any] = {name: name for name in ("the teacher's", "the student's")}
    inputs = judge_round.Inputs(
        data=named["the teacher's"],
        student_data=named["the student's"],
        teacher=given("teacher"),
        student=given("student"),
        files={FileId("r1", "a", "fp32"): given(3_000_000), FileId("r1", "b", "fp32"): given(9_000_000)},
        verified=verified("a", value=0.5) | verified("b", value=1.0) | verified("failed", failure="it did"),
    )
    settings = judge_round.Settings(
        task=registry.task_as("text-classification", "accuracy", {}),
        round="r1",
        stop=StopSpec.model_validate({"when": {"drop": 0.5}}),
        limits=Limits(drop=0.1, file_mb=20),
        min_agreement=0.9,
        candidates=rows,
    )
    found = judge_round.run(settings, inputs, tmp_path, Context(tmp_path, Progress()))
    assert asked == [("the teacher's", "validation"), ("the student's", "validation")]
    assert (seen["teacher"], seen["student"]) == ([1, 1, 1, 0], [1, 1, 0, 0])
    assert [(file.id, file.drop, file.file_mb, file.shipped_mb) for file in seen["files"]] == [
        ("r1/a", pytest.approx(0.25), 3.0, 3.5),
        ("r1/b", pytest.approx(-0.25), 9.0, 9.5),
    ]
    assert found.judgement.within_limits == ("r1/b",)


BITS = {"teacher": 1.0, "student": 1.5}
"""Bits for each byte."""


@pytest.fixture
def judged(monkeypatch, tmp_path):
    """Judges a round of models whose answers are of `BITS`, with files of 1 byte."""
    item = np.arange(20)
    ids = np.zeros((20, 1), np.int32)

    def answers(role):
        log_p = -BITS[role] * np.log(2) * np.where(item % 2, 0.9, 1.1)
        return Answers({"log_p": log_p, "ids": ids, "log_ps": log_p[:, None]}, item, item)

    references = References({"token": ids[:, 0], "next_bytes": np.ones(20, int)}, item, item, np.ones(20, bool))
    task = registry.task("text-generation")
    told = replace(task, data=replace(task.data, references=lambda items: references))
    monkeypatch.setattr(Answers, "open", answers)
    monkeypatch.setattr(registry, "task", lambda name: told)
    monkeypatch.setattr(prepared.PreparedData, "of", lambda inputs: stand_in(items=lambda split: split))
    monkeypatch.setattr(judge_round, "read_files", lambda artifact: stand_in(bytes=1, search=None))
    monkeypatch.setattr(judge_round, "tokenizer_bytes", lambda task, target, data: None)

    def judge(when, drop, verified, batch=1):
        rows = tuple(Candidate(id=f"r1/{key.target}", threads=1, batch=batch, **key._asdict()) for key in verified)
        inputs = judge_round.Inputs(
            data=stand_in(),
            student_data=stand_in(),
            teacher=given("teacher"),
            student=given("student"),
            files={row.file_key: given("") for row in rows},
            verified=verified,
        )
        settings = judge_round.Settings(
            task=registry.task_as("text-generation", "bits_per_byte", {}),
            round="r1",
            stop=StopSpec.model_validate({"when": when}),
            limits=Limits(drop=drop),
            min_agreement=0.9,
            candidates=rows,
        )
        return judge_round.run(settings, inputs, tmp_path, Context(tmp_path, Progress())).judgement

    return judge


@pytest.mark.parametrize(
    ("allowed", "limit", "stops", "within"),
    [(0.3, 0.3, True, ("r1/a",)), (0.6, 0.3, False, ("r1/a",)), (0.3, 0.6, True, ("r1/a", "r1/b"))],
)
def test_of_a_metric_that_is_lower_is_better_a_rise_is_a_drop(judged, allowed, limit, stops, within):
    found = judged({"drop": allowed}, limit, verified("a", value=0.9) | verified("b", value=1.5))
    assert found.drop == pytest.approx(0.5)
    assert (found.stop, found.within_limits) == (stops, within)
    assert "r1's bits per byte rise on validation is 0.5000" in found.reason


@pytest.mark.parametrize(
    ("facts", "batch", "counts"),
    [
        ({}, 1, True),
        ({"agreement": 0.5, "batched": 0.91}, 16, True),
        ({"batched": 0.89}, 16, False),
        ({"agreement": 0.89}, 1, False),
        ({"checks": {"uncached_tokens": 0.8}}, 1, False),
    ],
)
def test_a_file_that_cannot_be_shipped_stops_no_run(judged, facts, batch, counts):
    found = judged({"limits_met": True}, 0.1, verified("a", value=1.0, **facts), batch)
    assert found.stop is counts
    assert f"{int(counts)} of its 1 files are verified and within the limits" in found.reason
