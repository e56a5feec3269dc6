"""Losses over hidden states: hidden_mse, hidden_cosine."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses.hidden_cosine import hidden_cosine
from edgedistill.losses.hidden_mse import hidden_mse

PURE = {"hidden_mse": hidden_mse, "hidden_cosine": hidden_cosine}
MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


def states(seed: int, size: int = 4) -> torch.Tensor:
    return torch.randn(2, 3, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def term(kind: str, student: ModelShape, teacher: ModelShape, **settings: Any):
    loss = registry.loss(kind)
    return loss.build(loss.spec(kind=kind, **settings), student, teacher)


@pytest.mark.parametrize("kind", PURE)
def test_masked_positions_change_nothing_and_equality_is_zero(kind):
    a, b = states(1), states(2)
    changed = a.clone()
    changed[0, 2] += 100
    changed[1, 1:] -= 100
    pure = PURE[kind]
    assert pure(changed, b, MASK).item() == pytest.approx(pure(a, b, MASK).item())
    assert pure(a, a, MASK).item() == pytest.approx(0, abs=1e-9)
    assert pure(a, b, MASK) > 0


@pytest.mark.parametrize("kind", PURE)
def test_the_gradient_is_that_of_finite_differences(kind):
    b = states(2)
    assert torch.autograd.gradcheck(lambda a: PURE[kind](a, b, MASK), (states(1).requires_grad_(),))


def test_the_values_are_as_named():
    a, b, real = states(1), states(2), MASK.bool()
    assert hidden_mse(a, b, MASK).item() == pytest.approx(((a - b)[real] ** 2).mean().item())
    assert hidden_cosine(a, 5 * a, MASK).item() == pytest.approx(0, abs=1e-9)
    assert hidden_cosine(a, -a, MASK).item() == pytest.approx(2)


@pytest.mark.parametrize("kind", PURE)
def test_a_projection_bridges_widths_and_is_trained(kind):
    built = term(kind, ModelShape(1, 4), ModelShape(2, 6), layers="last").double()
    hidden: dict[str, Any] = {"student_hidden": (states(1), states(2)), "teacher_hidden": {2: states(3, 6)}}
    inputs = LossInputs(Dense(torch.zeros(2, 2)), torch.zeros(2), MASK, **hidden)
    optimizer = torch.optim.Adam(built.parameters(), lr=0.05)
    first = built(inputs).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = built(inputs)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


@pytest.mark.parametrize("kind", PURE)
def test_equal_widths_need_no_projection_and_the_map_decides_what_is_read(kind):
    student, teacher = ModelShape(1, 4), ModelShape(2, 4)
    given = {0: states(5), 2: states(6)}
    hidden: dict[str, Any] = {"student_hidden": (states(1), states(2)), "teacher_hidden": given}
    inputs = LossInputs(Dense(torch.zeros(2, 2)), torch.zeros(2), MASK, **hidden)
    uniform, last = (term(kind, student, teacher, layers=layers) for layers in ("uniform", "last"))
    assert list(uniform.parameters()) == []
    parts = [PURE[kind](states(1), given[0], MASK), PURE[kind](states(2), given[2], MASK)]
    assert uniform(inputs).item() == pytest.approx(torch.stack(parts).mean().item())
    assert last(inputs).item() == pytest.approx(parts[1].item())
