"""What classifiers share: a loss, references, a judge with two metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers import text_items
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.answers import Answers, References
from edgedistill.errors import EdgedistillError
from edgedistill.tasks import _classification as classification
from edgedistill.tasks._classification_judge import JUDGE, METRICS

CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40)
"""Decision, label, example."""


def judged(rows) -> tuple[Answers, References]:
    said, labels, example = np.array(sorted(rows, key=lambda row: row[2])).T
    item = np.arange(len(said))
    references = References({"class": labels}, item, example, np.ones(len(said), bool))
    return Answers({"logits": np.eye(4, dtype=np.float32)[said] * 3}, item, example), references


def f1(said, labels) -> float:
    scores = []
    for c in np.union1d(said, labels):
        hits = np.sum((said == c) & (labels == c))
        scores.append(2 * hits / (np.sum(said == c) + np.sum(labels == c)))
    return float(np.mean(scores))


@given(CLASSES)
def test_the_metrics_are_those_of_all_decisions_whatever_example_they_belong_to(rows):
    answers, references = judged(rows)
    said, labels = answers.values["logits"].argmax(axis=1), references.values["class"]
    assert METRICS["accuracy"].score(answers, references) == pytest.approx((said == labels).mean())
    assert METRICS["f1_macro"].score(answers, references) == pytest.approx(f1(said, labels))


@given(CLASSES, st.data())
def test_a_figure_of_some_examples_is_that_of_their_decisions_and_adds_up(rows, data):
    answers, references = judged(rows)
    drawn = data.draw(st.lists(st.integers(0, len(references.examples) - 1), min_size=1, max_size=9))
    places = np.concatenate([np.flatnonzero(references.example == references.examples[row]) for row in drawn])
    said, labels = answers.values["logits"].argmax(axis=1)[places], references.values["class"][places]
    for name, expected in (("accuracy", (said == labels).mean()), ("f1_macro", f1(said, labels))):
        statistics = METRICS[name].statistics(answers, references)
        assert len(statistics) == len(references.examples)
        assert METRICS[name].figure(statistics[drawn]) == pytest.approx(expected)
        assert METRICS[name].figure(statistics[drawn].sum(axis=0, keepdims=True)) == pytest.approx(expected)


def test_decisions_without_a_label_are_left_out():
    answers, references = judged([(0, 0, 0), (1, 0, 0), (1, 1, 1), (2, 3, 2)])
    some = References(references.values, references.item, references.example, np.array([True, False, True, False]))
    for metric in METRICS.values():
        assert metric.score(answers, some) == 1
        assert len(metric.statistics(answers, some)) == 2
    assert JUDGE.right(answers, some).tolist() == [True, False, True, False]


def test_what_a_model_says_may_be_taken_as_right():
    answers, references = judged([(0, 0, 0), (1, 0, 1)])
    said = JUDGE.as_references(answers)
    assert METRICS["accuracy"].score(answers, said) == 1
    assert METRICS["accuracy"].score(said, references) == 0.5
    assert JUDGE.texts(answers, ["a", "b"]) == JUDGE.texts(said, ["a", "b"]) == ["a", "b"]
    unknown = References({"class": np.array([-1, 1])}, np.arange(2), np.arange(2), np.array([False, True]))
    assert JUDGE.texts(unknown, ["a", "b"]) == ["", "b"]


def test_fidelity_is_by_decision():
    item = np.arange(2)
    first = Answers({"logits": np.array([[1.0, 0.0], [0.0, 2.0]])}, item, item)
    other = Answers({"logits": np.array([[1.0, 0.0], [3.0, 2.0]])}, item, item)
    found = JUDGE.fidelity(first, other)
    assert found.agree.tolist() == [True, False]
    assert found.difference.tolist() == [0, 3]
    p, q = np.exp([0, 2]) / np.exp([0, 2]).sum(), np.exp([3, 2]) / np.exp([3, 2]).sum()
    assert found.divergence == pytest.approx([0, (p * np.log(p / q)).sum()])


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (np.zeros((2, 3)), r"returns \(2, 3\) logits, its PyTorch model \(2, 2\)"),
        ([[0, np.nan], [0, 0]], "returns 1 NaN or infinite logits"),
    ],
)
def test_answers_that_cannot_be_compared_are_refused(logits, message):
    item = np.arange(2)
    with pytest.raises(EdgedistillError, match=message):
        JUDGE.fidelity(Answers({"logits": np.zeros((2, 2))}, item, item), Answers({"logits": logits}, item, item))


def test_a_sure_model_that_is_half_right_is_badly_calibrated():
    item = np.arange(2)
    answers = Answers({"logits": np.array([[9.0, 0.0], [9.0, 0.0]])}, item, item)
    references = References({"class": np.array([0, 1])}, item, item, np.ones(2, bool))
    assert JUDGE.confidence.calibration_error(answers, references) == pytest.approx(0.5, abs=1e-3)
    assert JUDGE.confidence.of(answers) == pytest.approx([0, 0], abs=1e-3)


def losses(logits, labels, smoothing=0.0):
    return classification.loss({"logits": logits}, {"labels": torch.tensor(labels)}, smoothing)


def test_the_loss_is_the_cross_entropy_in_nats_and_zero_without_a_label():
    assert losses(torch.zeros(3, 4), [0, 1, -100]).tolist() == pytest.approx([math.log(4), math.log(4), 0])


def test_smoothing_keeps_certainty_from_being_free():
    sure = torch.tensor([[50.0, 0.0, 0.0]])
    assert losses(sure, [0]).item() == pytest.approx(0, abs=1e-6)
    assert losses(sure, [0], 0.3).item() == pytest.approx(0.3 / 3 * 2 * 50, rel=1e-4)


def test_half_precision_logits_are_read_in_full():
    assert losses(torch.zeros(1, 4, dtype=torch.bfloat16), [0]).dtype == torch.float32


def test_references_are_the_classes_of_the_items():
    found = classification.references(text_items([[1], [2], [3]], [2, -100, 0], example=[0, 0, 1]))
    assert found.values["class"].tolist() == [2, -1, 0]
    assert found.known.tolist() == [True, False, True]
    assert found.example.tolist() == [0, 0, 1]
