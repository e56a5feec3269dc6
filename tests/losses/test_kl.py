from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.losses.kl import KlSpec, build, kl

SEEDS = st.integers(0, 10_000)


def logits(seed: int, rows: int = 5, classes: int = 7) -> torch.Tensor:
    return torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) * 3


@given(SEEDS, st.floats(0.5, 10))
@settings(max_examples=30)
def test_zero_at_equality_and_positive_elsewhere(seed, temperature):
    a, b = logits(seed), logits(seed + 1)
    assert kl(a, a + 3, temperature) == pytest.approx(0, abs=1e-4)
    assert kl(a, b, temperature) > 0


def test_the_value_is_hintons():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = torch.softmax(teacher / 2, -1)
    by_hand = (p * (p.log() - torch.log(torch.tensor([0.5, 0.5])))).sum() * 4
    assert kl(student, teacher, 2.0) == pytest.approx(by_hand.item(), rel=1e-5)


def test_the_square_keeps_the_gradient_when_the_temperature_rises():
    teacher = logits(1)
    norms = []
    for temperature in (20.0, 40.0):
        student = logits(2).requires_grad_()
        kl(student, teacher, temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.1)  # without T² it would fall to a quarter


def test_the_gradient_is_that_of_finite_differences():
    teacher = logits(1).double()
    student = logits(2).double().requires_grad_()
    # float32 inside: a coarse step and tolerance
    assert torch.autograd.gradcheck(lambda s: kl(s, teacher, 2.0).double(), (student,), eps=1e-2, atol=2e-2, rtol=1e-1)


def test_the_built_term_uses_its_temperature():
    from edgedistill.interfaces import LossInputs, ModelSizes

    sizes = ModelSizes(1, 8)
    inputs = LossInputs(logits(1), torch.zeros(5, dtype=torch.long), torch.ones(5, 3), teacher_logits_RC=logits(2))
    values = [build(KlSpec(kind="kl", temperature=t), sizes, sizes)(inputs).item() for t in (1.0, 4.0)]
    assert values == [pytest.approx(kl(logits(1), logits(2), t).item()) for t in (1.0, 4.0)]
    assert values[0] != pytest.approx(values[1])
