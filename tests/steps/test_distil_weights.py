"""What a stage that corrects errors is given where an item has several decisions, as words of a sentence have."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import made

from edgedistill.contracts import registry
from edgedistill.contracts.answers import References
from edgedistill.contracts.items import Column, Items
from edgedistill.recipe.round_spec import ErrorWeights, Place
from edgedistill.signals.recorded import Shards, create
from edgedistill.signals.soft_targets import LogitSignal
from edgedistill.steps.distil import _trust, _weights
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store.records.base import FileName
from edgedistill.store.records.models import Signals
from edgedistill.tasks._classification_judge import JUDGE
from edgedistill.training.training_data import TrainingData

TRAIN = Place("train")
TASK = registry.task("text-classification")
OWNERS = np.array([0, 0, 1, 2, 2, 2, 2])
LABELS = np.array([0, 1, 0, 1, 1, -1, 0])
REFERENCES = References({"class": LABELS}, OWNERS, OWNERS, LABELS >= 0)
SAYS = np.array([0, 1, 1, 1, 1, 0, 0])
"""Right on items 0 and 2, wrong on item 1."""


def logits(says: np.ndarray) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[says] * 4


@pytest.fixture
def recorded(tmp_path):
    file = tmp_path / "logits-00000.safetensors"
    create(file, {"values": (len(SAYS), 2)}, {"values": "F32"})["values"][...] = logits(SAYS)
    signals = made(Signals(signal="logits", files=(FileName(file.name),)), tmp_path)
    return SimpleNamespace(signals={SignalId("logits", "r1", TRAIN): signals})


def test_each_example_has_one_weight(recorded):
    errors = ErrorWeights(of="r1", kind="boost", strength=2.0)
    assert _weights(errors, TRAIN, TASK, JUDGE, REFERENCES, None, recorded) == pytest.approx(
        np.array([1, 2, 1]) * 3 / 4
    )


def test_the_teacher_may_say_what_is_right(recorded):
    errors = ErrorWeights(of="r1", against="teacher", kind="boost", strength=2.0)
    teacher = LogitSignal((Shards((logits(np.array([1, 0, 1, 1, 1, 0, 0])),)),))
    assert _weights(errors, TRAIN, TASK, JUDGE, REFERENCES, teacher, recorded) == pytest.approx(
        np.array([2, 1, 1]) * 3 / 4
    )


def test_trust_goes_by_decision_and_follows_its_items_into_a_batch():
    trust = _trust(0.25, TASK, JUDGE, REFERENCES, LogitSignal((Shards((logits(SAYS),)),)))
    assert trust.tolist() == [1, 1, 0.25, 1, 1, 1, 1]
    tokens = Column("input", "sequence", tokens=True)
    items = Items.of({"tokens": tokens}, {"tokens": [[0, 1], [2], [3, 4, 5, 6]]}, range(3))
    task = replace(TASK, data=replace(TASK.data, references=lambda items: REFERENCES))
    data = replace(TrainingData.plain([items], task), trust=(trust,))
    assert data.fetch([2, 1]).trust_R.tolist() == [1, 1, 1, 1, 0.25]
    assert data.fetch([2, 1]).item_R.tolist() == [0, 0, 0, 0, 1]


def test_a_teacher_that_is_fully_trusted_needs_no_values():
    assert _trust(1.0, TASK, JUDGE, REFERENCES, LogitSignal((Shards((logits(SAYS),)),))) is None
