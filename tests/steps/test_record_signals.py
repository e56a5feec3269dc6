"""The step that records, and the one that reads: what a stage is given is what the teacher says, in the form asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import made, record_of

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, TopK
from edgedistill.errors import UserError
from edgedistill.models.loading import load_model
from edgedistill.recipe.round_spec import Place
from edgedistill.recipe.schema import Compute
from edgedistill.signals.inference import predict
from edgedistill.signals.recording import DistributionRecorder
from edgedistill.steps import record_signals
from edgedistill.steps.distil import _soft_targets
from edgedistill.steps.kinds import distil
from edgedistill.steps.kinds import record_signals as kind
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.progress import Progress
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import Context

TASK = registry.task("text-classification")
TRAIN = Place("train")


@pytest.fixture
def record(finished_run, tmp_path):
    """Records a signal of the run's teacher."""
    data, teacher = (finished_run.artifact(name) for name in ("data", "teacher"))
    inputs = kind.Inputs(
        DataInputs(made(record_of(TokenisedData, data), data)), made(record_of(TrainedModel, teacher), teacher)
    )

    def run(signal, precision="fp32", **settings):
        settings = {"task": registry.task_as(TASK.name, "accuracy", {}), "split": "train", "max_gb": 1.0, **settings}
        own = kind.Settings(signal=signal, compute=Compute(device="cpu", precision=precision), **settings)
        (tmp_path / signal).mkdir()
        done = record_signals.run(own, inputs, tmp_path / signal, Context(tmp_path / "scratch", Progress()))
        return made(done, tmp_path / signal)

    return run


@pytest.fixture
def said(finished_run):
    model = load_model(TASK.model.auto_class(), finished_run.artifact("teacher") / "model", None)
    return torch.from_numpy(predict(model, TASK, finished_run.data().items("train")).values["logits"])


def given(signal, artifact):
    """What a stage's decisions 7 and 0 are given."""
    inputs = distil.Inputs(
        data=None, views={}, source=None, teachers={}, signals={SignalId(signal, "teacher", TRAIN): artifact}
    )
    found = _soft_targets(["teacher"], TRAIN, inputs)
    return found.distribution(np.array([7, 0]))


def test_logits_are_the_teachers(record, said):
    found = given("logits", record("logits"))
    assert isinstance(found, Dense)
    assert torch.allclose(found.dense().logits_RC, said[[7, 0]], atol=1e-5)


def test_top_k_is_the_teachers_within_its_bits(record, said):
    artifact = record("top-k", k=2, bits=8, temperatures=(1.0, 2.0))
    assert artifact.record.top_k.model_dump() == {"classes": 3, "k": 2, "bits": 8, "temperatures": (1.0, 2.0)}
    found = given("top-k", artifact)
    assert isinstance(found, TopK)
    for temperature in (1.0, 2.0):
        teacher = found.beside(torch.zeros(2, 3), temperature).teacher.exp()
        whole = torch.softmax(said[[7, 0]] / temperature, -1)
        assert torch.allclose(teacher[:, :2], whole.gather(-1, found.ids_RK), atol=0.01)


def test_k_is_at_most_the_number_of_classes(record, said):
    found = given("top-k", record("top-k", k=40, bits=8, temperatures=(1.0,)))
    teacher = found.beside(torch.zeros(2, 3), 1.0).teacher.exp()
    assert torch.allclose(teacher, torch.softmax(said[[7, 0]], -1), atol=0.01)


def test_sampled_classes_stand_for_the_whole_distribution(record, said):
    found = given("sampled", record("sampled", k=2, bits=8, temperatures=(2.0,)))
    teacher = found.beside(torch.zeros(2, 3), 2.0).teacher[:, :2].exp()
    torch.testing.assert_close(teacher.sum(1), torch.ones(2))
    whole = torch.softmax(said[[7, 0]] / 2.0, -1)
    assert (teacher >= whole.gather(-1, found.ids_RK) - 0.01).all()


def test_more_than_the_budget_is_refused_before_the_teacher_is_asked(record, monkeypatch):
    monkeypatch.setattr(
        "edgedistill.signals.recording.DistributionRecorder.write", lambda *given: pytest.fail("it was asked")
    )
    with pytest.raises(UserError, match=r"signals.max_gb: dense signals on train take about 1.44e-06 GB \(12 bytes"):
        record("logits", max_gb=1.4e-6)
    with pytest.raises(pytest.fail.Exception, match="it was asked"):
        record("top-k", k=2, bits=8, temperatures=(1.0,), max_gb=1.44e-6)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_states_are_recorded_in_the_precision_of_training(record, monkeypatch, precision):
    seen = []
    write = DistributionRecorder.write

    def recorded(recorder, *given):
        seen.append(recorder.bf16)
        return write(recorder, *given)

    monkeypatch.setattr(DistributionRecorder, "write", recorded)
    record("logits", precision)
    assert set(seen) == {precision == "bf16"}
