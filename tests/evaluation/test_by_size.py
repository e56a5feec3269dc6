"""Figures of short and long documents: the same documents for all, each group's own interval."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.evaluation.by_size import by_size
from edgedistill.evaluation.figures import Judging

JUDGING = Judging(registry.task("text-generation").judge, ("bits_per_byte", "perplexity"))


def asked(sizes):
    """A document of each size in bytes, one token a byte."""
    example = np.repeat(np.arange(len(sizes)), sizes)
    values = {"token": np.ones(len(example), np.int64), "next_bytes": np.ones(len(example), np.int64)}
    return References(values, example, example, np.ones(len(example), np.bool_))


def said(references, bits):
    """A model that spends so many bits on a byte of each document."""
    log_p = (-np.log(2) * np.asarray(bits, np.float64)[references.example]).astype(np.float32)
    ids = np.ones((len(log_p), 1), np.int32)
    values = {"log_p": log_p, "ids": ids, "log_ps": log_p[:, None]}
    return Answers(values, references.item, references.example)


def test_every_document_is_in_one_group_and_its_figures_are_those_of_its_group():
    sizes = np.arange(1, 81)
    references = asked(sizes)
    bits = np.where(sizes <= 20, 8.0, 2.0)
    models = {
        "short-sighted": (said(references, bits), references),
        "even": (said(references, bits * 0 + 3), references),
    }
    found = by_size(JUDGING, models, "test")
    assert [(group.low, group.high, group.examples) for group in found] == [
        (1, 20, 20),
        (21, 40, 20),
        (41, 60, 20),
        (61, 80, 20),
    ]
    assert [group.figures["short-sighted"][0].value for group in found] == pytest.approx([8, 2, 2, 2])
    assert [group.figures["even"][0].value for group in found] == pytest.approx([3, 3, 3, 3])
    figure = found[0].figures["even"][1]
    assert (figure.metric, figure.direction, figure.examples, figure.split) == ("perplexity", "lower", 20, "test")
    assert figure.value == pytest.approx(8)
    assert found[0].unit == "bytes"


def test_the_interval_is_of_the_groups_own_documents():
    references = asked(np.arange(1, 41))
    uneven = said(references, np.where(np.arange(40) % 2, 1.0, 5.0))
    (first, *_) = by_size(JUDGING, {"a": (uneven, references)}, "test")
    low, high = first.figures["a"][0].interval
    assert low < first.figures["a"][0].value < high
    assert high - low > 0.5


def test_documents_of_one_size_are_no_groups():
    references = asked(np.full(60, 5))
    assert by_size(JUDGING, {"a": (said(references, np.ones(60)), references)}, "test") == ()


def test_too_few_documents_are_no_groups():
    references = asked(np.arange(1, 20))
    assert by_size(JUDGING, {"a": (said(references, np.ones(19)), references)}, "test") == ()


def test_a_task_whose_examples_have_no_size_has_none():
    references = asked([1] * 40)
    judging = Judging(registry.task("text-classification").judge, ("accuracy",))
    assert by_size(judging, {"a": (said(references, np.ones(40)), references)}, "test") == ()
