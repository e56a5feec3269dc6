from __future__ import annotations

import math

import pytest
import torch

from edgedistill.losses.hard_label import hard_label


def test_the_value_is_the_cross_entropy_in_nats():
    assert hard_label(torch.zeros(3, 4), torch.tensor([0, 1, 2])) == pytest.approx(math.log(4))


def test_rows_without_a_label_change_nothing():
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, -100, -100])
    assert hard_label(logits, labels) == pytest.approx(hard_label(logits[:2], labels[:2]).item())


def test_without_any_label_the_loss_is_zero_and_has_a_gradient():
    logits = torch.randn(2, 3).requires_grad_()
    loss = hard_label(logits, torch.tensor([-100, -100]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def test_smoothing_keeps_certainty_from_being_free():
    sure = torch.tensor([[50.0, 0.0, 0.0]])
    assert hard_label(sure, torch.tensor([0])) == pytest.approx(0, abs=1e-6)
    assert hard_label(sure, torch.tensor([0]), smoothing=0.3) == pytest.approx(0.3 / 3 * 2 * 50, rel=1e-4)
