"""A model is evaluated where the recipe computes, and its answers do not depend on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import made, record_of

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.errors import UserError
from edgedistill.recipe.schema import Compute
from edgedistill.steps import evaluate
from edgedistill.steps.kinds import evaluate as kind
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.progress import Progress
from edgedistill.store.records.data import PreparedSplit, TokenisedData
from edgedistill.store.records.models import TrainedModel
from edgedistill.store.step import Context

TASK = registry.task("text-classification")


@pytest.fixture
def evaluated(finished_run, tmp_path):
    """Evaluates the run's teacher on test."""
    data, test, teacher = (finished_run.artifact(name) for name in ("data", "data-test", "teacher"))
    split = made(record_of(PreparedSplit, test), test)
    tokenised = DataInputs(made(record_of(TokenisedData, data), data), {"test": split})
    inputs = kind.Inputs(tokenised, made(record_of(TrainedModel, teacher), teacher))

    def run(device):
        settings = kind.Settings(
            task=registry.task_as(TASK.name, "accuracy", {}), split="test", compute=Compute(device=device)
        )
        return evaluate.run(settings, inputs, tmp_path, Context(tmp_path / "scratch", Progress()))

    return run


def test_on_the_cpu_it_answers_as_the_run_did(evaluated, finished_run, tmp_path):
    done = evaluated("cpu")
    found, earlier = (
        np.asarray(Answers.open(folder / done.answers).values["logits"], np.float32)
        for folder in (tmp_path, finished_run.artifact("test-teacher"))
    )
    np.testing.assert_allclose(found, earlier, atol=1e-5)


def test_it_goes_to_the_device_of_the_recipe(evaluated):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(UserError, match="compute.device: got 'cuda', which this machine does not have"):
        evaluated("cuda")
