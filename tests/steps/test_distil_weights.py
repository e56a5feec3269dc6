"""What a stage that corrects errors is given where an item has several rows, as words of a sentence have."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import made

from edgedistill.interfaces import Rows
from edgedistill.ragged import Ragged
from edgedistill.recipe import ErrorWeights, Place
from edgedistill.signals import LogitSignal, save_rows
from edgedistill.steps.distil import _trust, _weights
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import Signals
from edgedistill.training import TrainingData

TRAIN = Place("train")
OFFSETS = np.array([0, 2, 3, 7])
LABELS = np.array([0, 1, 0, 1, 1, -100, 0])
SAYS = np.array([0, 1, 1, 1, 1, 0, 0])
"""Right on items 0 and 2, wrong on item 1."""


def rows(says: np.ndarray) -> Rows:
    return Rows(np.eye(2, dtype=np.float32)[says] * 4, OFFSETS)


@pytest.fixture
def recorded(tmp_path):
    save_rows(rows(SAYS), tmp_path / "logits.safetensors")
    signals = made(Signals(signal="logits", file=FileName("logits.safetensors")), tmp_path)
    return SimpleNamespace(signals={SignalId("logits", "r1", TRAIN): signals})


def test_each_item_has_one_weight(recorded):
    errors = ErrorWeights(of="r1", kind="boost", strength=2.0)
    assert _weights(errors, TRAIN, LABELS, None, recorded) == pytest.approx(np.array([1, 2, 1]) * 3 / 4)


def test_the_teacher_may_say_what_is_right(recorded):
    errors = ErrorWeights(of="r1", against="teacher", kind="boost", strength=2.0)
    teacher = LogitSignal((rows(np.array([1, 0, 1, 1, 1, 0, 0])),))
    assert _weights(errors, TRAIN, LABELS, teacher, recorded) == pytest.approx(np.array([2, 1, 1]) * 3 / 4)


def test_trust_goes_by_row_and_follows_its_items_into_a_batch():
    trust = _trust(0.25, LABELS, LogitSignal((rows(SAYS),)))
    assert trust.values.tolist() == [1, 1, 0.25, 1, 1, 1, 1]
    ids = np.arange(7)
    tokens = Ragged({"input_ids": ids, "labels": LABELS}, OFFSETS, frozenset({"input_ids", "labels"}))
    none = (None,)
    data = TrainingData((tokens,), np.array([[0, 0], [0, 1], [0, 2]]), none, none, none, none, (trust,))
    assert data.fetch([2, 1])["teacher_trust"].tolist() == [1, 1, 1, 1, 0.25]


def test_a_teacher_that_is_fully_trusted_needs_no_values():
    assert _trust(1.0, LABELS, LogitSignal((rows(SAYS),))) is None
