"""What all losses between two sets of logits must hold to: kl, reverse_kl, skew_kl, jsd, mse_logits, dist."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Compared, Dense, Distribution, HiddenAndHead, top_k
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses.jsd import jsd
from edgedistill.losses.kl import kl
from edgedistill.losses.mse_logits import mse_logits
from edgedistill.losses.reverse_kl import reverse_kl
from edgedistill.losses.skew_kl import skew_kl

SIZES = ModelShape(1, 8)
ROWWISE = ("kl", "reverse_kl", "skew_kl", "jsd", "mse_logits")
CASES: list[tuple[str, dict[str, object]]] = [
    *((kind, {}) for kind in (*ROWWISE, "dist")),
    ("skew_kl", {"reverse": True}),
    ("jsd", {"beta": 0.1}),
]


def logits(seed: int, rows: int = 5, classes: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator, dtype=torch.float64) * 2


def pair(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> Compared:
    return Dense(teacher).beside(student, temperature)


def term(kind: str, **settings_: Any):
    loss = registry.loss(kind)
    return loss.build(loss.spec(kind=kind, **settings_), SIZES, SIZES)


def value(
    kind: str, student: torch.Tensor, teacher: torch.Tensor | Distribution, weights=None, **settings_: object
) -> torch.Tensor:
    given = Dense(teacher) if isinstance(teacher, torch.Tensor) else teacher
    rows = torch.zeros(len(student), dtype=torch.long)
    inputs = LossInputs(Dense(student), rows, torch.ones(len(student), 3), weights_R=weights, teacher=given)
    return term(kind, **settings_)(inputs)


@pytest.mark.parametrize(("kind", "change"), CASES)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_zero_at_equality_and_positive_elsewhere(kind, change, seed):
    a, b = logits(seed), logits(seed + 1)
    assert value(kind, a, a.clone(), **change).item() == pytest.approx(0, abs=1e-9)
    assert value(kind, a, b, **change) > 1e-6


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_the_gradient_is_that_of_finite_differences(kind, change):
    teacher = logits(1, rows=3, classes=4)
    student = logits(2, rows=3, classes=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: value(kind, s, teacher, **change), (student,))


@pytest.mark.parametrize("kind", [*ROWWISE, "dist"])
def test_rows_of_no_weight_change_nothing_and_equal_weights_are_the_mean(kind):
    student, teacher = logits(3), logits(4)
    changed = student.clone()
    changed[0] += torch.arange(7)
    weights = torch.tensor([0.0, 1.0, 1.0, 1.0, 1.0])
    assert value(kind, changed, teacher, weights) == pytest.approx(value(kind, student, teacher, weights).item())
    assert value(kind, student, teacher, weights) == pytest.approx(value(kind, student[1:], teacher[1:]).item())
    assert value(kind, student, teacher, torch.full((5,), 0.3)) == pytest.approx(value(kind, student, teacher).item())


@pytest.mark.parametrize("kind", ["kl", "reverse_kl", "skew_kl", "jsd"])
def test_the_square_keeps_the_gradient_when_the_temperature_rises(kind):
    teacher, norms = logits(1), []
    for temperature in (20.0, 40.0):
        student = logits(2).requires_grad_()
        value(kind, student, teacher, temperature=temperature).backward()
        norms.append(student.grad.norm().item())
    assert norms[1] == pytest.approx(norms[0], rel=0.1)  # without T² it would fall to a quarter


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_no_decision_is_no_loss(kind, change):
    """A batch of a language model in which nothing is asked."""
    student = torch.empty(0, 7, requires_grad=True)
    loss = value(kind, student, torch.empty(0, 7), **change)
    loss.backward()
    assert loss.item() == 0


def test_kl_is_hintons():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = torch.softmax(teacher / 2, -1)
    by_hand = (p * (p.log() - torch.log(torch.tensor([0.5, 0.5])))).sum() * 4
    assert kl(pair(student, teacher, 2.0), 2.0).item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_reverse_kl_is_kl_with_the_sides_changed():
    a, b = logits(1), logits(2)
    assert torch.allclose(reverse_kl(pair(a, b, 3.0), 3.0), kl(pair(b, a, 3.0), 3.0))


def test_skew_kl_goes_to_kl_and_is_bounded():
    a, b = logits(1) * 50, logits(2) * 50
    assert skew_kl(pair(a, b, 1.0), 1.0, 0.1).max() <= -torch.log(torch.tensor(0.1)) + 1e-6
    a, b = logits(1), logits(2)
    assert torch.allclose(skew_kl(pair(a, b, 1.0), 1.0, 1e-9), kl(pair(a, b, 1.0), 1.0), rtol=1e-5)
    assert torch.allclose(skew_kl(pair(a, b, 1.0), 1.0, 0.2, reverse=True), skew_kl(pair(b, a, 1.0), 1.0, 0.2))


def test_jsd_is_symmetric_in_the_middle_and_below_log_two():
    a, b = logits(1), logits(2)
    assert torch.allclose(jsd(pair(a, b, 1.0), 1.0, 0.5), jsd(pair(b, a, 1.0), 1.0, 0.5))
    assert jsd(pair(a * 100, b * 100, 1.0), 1.0, 0.5).max() <= torch.log(torch.tensor(2.0)) + 1e-6


def test_mse_logits_is_the_mean_square():
    assert mse_logits(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]])).tolist() == [2.5]


def test_dist_ignores_the_scale_of_probabilities_within_a_row():
    from edgedistill.losses.dist import pearson_distance

    a = logits(1)
    assert pearson_distance(a, 3 * a + 2).mean().item() == pytest.approx(0, abs=1e-9)
    assert pearson_distance(a, -a).mean().item() == pytest.approx(2)
    student, teacher = logits(1), logits(2)
    both = value("dist", student, teacher)
    only = value("dist", student, teacher, intra=0.0) + value("dist", student, teacher, inter=0.0)
    assert both.item() == pytest.approx(only.item())


def test_every_setting_changes_the_value():
    a, b = logits(1), logits(2)
    for kind, first, second in (
        ("kl", {"temperature": 1.0}, {"temperature": 4.0}),
        ("reverse_kl", {"temperature": 1.0}, {"temperature": 4.0}),
        ("skew_kl", {"skew": 0.1}, {"skew": 0.5}),
        ("skew_kl", {"reverse": False}, {"reverse": True}),
        ("jsd", {"beta": 0.5}, {"beta": 0.9}),
        ("dist", {"temperature": 1.0}, {"temperature": 4.0}),
    ):
        assert value(kind, a, b, **first).item() != pytest.approx(value(kind, a, b, **second).item())


SOFT = [(kind, change) for kind, change in CASES if "top-k" in registry.loss(kind).forms]


def test_the_losses_that_need_every_class_are_those_that_say_so():
    every = {name for name in registry.names("losses") if "logits" in registry.loss(name).needs}
    assert every - {kind for kind, _ in SOFT} == {"mse_logits", "dist"}
    assert {kind for kind, _ in CASES} == every


@pytest.mark.parametrize(("kind", "change"), SOFT)
@given(seed=st.integers(0, 10_000), temperature=st.sampled_from([1.0, 3.0]))
@settings(max_examples=15)
def test_the_likeliest_classes_give_a_lower_bound_that_closes(kind, change, seed, temperature):
    teacher, student = logits(seed), logits(seed + 1).requires_grad_()
    dense, before = value(kind, student, teacher, temperature=temperature, **change), 0.0
    for k in range(1, 8):
        bound = value(kind, student, top_k(teacher, k, (1.0, 3.0)), temperature=temperature, **change)
        assert before - 1e-6 <= bound.item() <= dense.item() + 1e-6
        before = bound.item()
    assert bound.item() == pytest.approx(dense.item(), abs=1e-9)
    (own,), (whole,) = (torch.autograd.grad(loss, student) for loss in (bound, dense))
    assert torch.allclose(own, whole, atol=1e-9)


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_hidden_states_and_the_head_are_the_logits(kind, change):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 4, generator=generator, dtype=torch.float64)
    head, bias = torch.randn(7, 4, generator=generator, dtype=torch.float64), torch.ones(7, dtype=torch.float64)
    exact = HiddenAndHead(hidden, head, bias)
    assert value(kind, logits(1), exact, **change) == value(kind, logits(1), Dense(hidden @ head.T + bias), **change)
