from __future__ import annotations

import math

import pytest
import torch

from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs
from edgedistill.losses.hard_label import HardLabelSpec, build, hard_label


def test_the_value_is_the_mean_of_the_labelled_decisions():
    losses, known = torch.tensor([1.0, 2.0, 9.0]), torch.tensor([True, True, False])
    assert hard_label(losses, known) == 1.5
    assert hard_label(losses, known, torch.tensor([3.0, 1.0, 5.0])) == 1.25


def test_without_any_label_the_loss_is_zero_and_has_a_gradient():
    losses = torch.randn(2).requires_grad_()
    loss = hard_label(losses, torch.tensor([False, False]))
    loss.backward()
    assert loss.item() == 0
    assert losses.grad.abs().sum() == 0


def test_the_task_is_asked_for_its_losses_with_the_smoothing_of_the_recipe():
    asked = []

    def own(smoothing: float) -> torch.Tensor:
        asked.append(smoothing)
        return torch.tensor([math.pi])

    term = build(HardLabelSpec(kind="hard_label", smoothing=0.25))
    inputs = LossInputs(Dense(torch.empty(0)), torch.tensor([True]), torch.ones(1, 1), own_losses=own)
    assert term(inputs).item() == pytest.approx(math.pi)
    assert asked == [0.25]
