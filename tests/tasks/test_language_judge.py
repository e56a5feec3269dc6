"""Metrics and fidelity of language models, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.contracts.answers import Answers, References
from edgedistill.errors import EdgedistillError
from edgedistill.evaluation.chance import against_chance
from edgedistill.tasks._language_device import scored
from edgedistill.tasks._language_judge import JUDGE


def answers_of(logits, right, example=None):
    item = np.arange(len(right))
    return Answers(scored(logits, np.asarray(right)), item, item if example is None else np.asarray(example))


def references_of(tokens, bytes_, example):
    item = np.arange(len(tokens))
    values = {"token": np.asarray(tokens), "next_bytes": np.asarray(bytes_)}
    return References(values, item, np.asarray(example), np.ones(len(tokens), bool))


def test_metrics_by_hand():
    right, example = [0, 1, 1], [0, 0, 2]
    logits = np.log([[0.5, 0.3, 0.2], [0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    answers, references = answers_of(logits, right, example), references_of(right, [3, 1, 2], example)
    rows = JUDGE.metrics["bits_per_byte"].statistics(answers, references)
    assert np.allclose(rows, [[1 + 2, 4], [-np.log2(0.8), 2]], atol=1e-6)
    scores = {name: metric.score(answers, references) for name, metric in JUDGE.metrics.items()}
    assert scores["bits_per_byte"] == pytest.approx((3 - np.log2(0.8)) / 6, abs=1e-6)
    assert scores["perplexity"] == pytest.approx((0.5 * 0.25 * 0.8) ** (-1 / 3), rel=1e-6)
    assert scores["next_token_accuracy"] == pytest.approx(2 / 3)
    assert JUDGE.metrics["bits_per_byte"].direction == JUDGE.metrics["perplexity"].direction == "lower"


def test_every_metric_is_a_figure_of_summed_rows():
    generator = np.random.default_rng(0)
    right = generator.integers(0, 9, 50)
    example = np.sort(generator.integers(0, 7, 50))
    answers = answers_of(generator.normal(size=(50, 9)), right, example)
    references = references_of(right, generator.integers(1, 5, 50), example)
    for metric in JUDGE.metrics.values():
        rows = metric.statistics(answers, references)
        assert len(rows) == len(references.examples)
        assert metric.figure(rows) == pytest.approx(metric.figure(rows.sum(axis=0, keepdims=True)))


def kl(p, q):
    return (p * (np.log(p) - np.log(q))).sum(axis=1)


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.floats(0, 3), st.integers(0, 100))
def test_the_divergence_is_a_lower_bound_and_exact_where_all_tokens_are_kept(vocabulary, noise, seed):
    generator = np.random.default_rng(seed)
    own = generator.normal(size=(20, vocabulary)) * 3
    other = own + noise * generator.normal(size=own.shape)
    right = generator.integers(0, vocabulary, 20)
    found = JUDGE.fidelity(answers_of(own, right), answers_of(other, right))
    true = kl(softmax(own), softmax(other))
    assert (found.divergence <= true + 1e-4).all()
    assert (found.divergence >= 0).all()
    if vocabulary <= 16:
        assert np.allclose(found.divergence, true, atol=1e-4)
    assert (found.agree == (own.argmax(axis=1) == other.argmax(axis=1))).all()


def test_the_same_answers_repeat_themselves_exactly():
    logits = np.random.default_rng(1).normal(size=(30, 40))
    answers = answers_of(logits, np.zeros(30, int))
    found = JUDGE.fidelity(answers, answers)
    assert found.agree.all()
    assert found.divergence.max() < 1e-9
    assert found.difference.max() == 0


def test_a_right_token_that_nobody_keeps_still_shows_as_a_difference():
    logits = np.zeros((1, 100))
    logits[0, :50] = 5
    moved = logits.copy()
    moved[0, 99] = -7
    assert JUDGE.fidelity(answers_of(logits, [99]), answers_of(moved, [99])).difference[0] == pytest.approx(7, abs=0.01)


def test_what_cannot_be_compared_is_an_error():
    logits = np.random.default_rng(1).normal(size=(3, 40))
    answers = answers_of(logits, [0, 1, 2])
    with pytest.raises(EdgedistillError, match="NaN or infinite log-probabilities"):
        JUDGE.fidelity(answers, answers_of(logits * np.nan, [0, 1, 2]))
    with pytest.raises(EdgedistillError, match="most likely tokens"):
        JUDGE.fidelity(answers, answers.where(np.array([0, 1])))


def test_a_model_that_knows_nothing_is_at_chance_and_one_that_knows_is_not():
    generator = np.random.default_rng(0)
    right, example = generator.integers(0, 20, 300), np.repeat(np.arange(30), 10)
    references = references_of(right, np.ones(300, int), example)
    nothing = answers_of(generator.normal(size=(300, 50)), right, example)
    something = answers_of(generator.normal(size=(300, 50)) + 3 * np.eye(50)[right], right, example)
    for metric in JUDGE.metrics:
        assert not against_chance(metric, JUDGE, something, references).at_chance
    found = against_chance("bits_per_byte", JUDGE, nothing, references)
    assert found.at_chance
    assert found.expected == pytest.approx(np.log2(20))
    assert "guessing 4.32" in found.beside("test")
