"""The forms of a teacher's distribution: what is exact, what is a bound, and that losses can't tell them apart."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.distribution import (
    Dense,
    Distribution,
    HiddenAndHead,
    TopK,
    concatenated,
    log_probabilities,
    sampled,
    top_k,
)

TEMPERATURES = (1.0, 2.5)


def kl(pair) -> torch.Tensor:
    return (pair.teacher.exp() * (pair.teacher - pair.student)).sum(-1)


def jsd(pair) -> torch.Tensor:
    middle = torch.logaddexp(pair.teacher, pair.student) - torch.log(torch.tensor(2.0))
    halves = [(log_p.exp() * (log_p - middle)).sum(-1) for log_p in (pair.teacher, pair.student)]
    return (halves[0] + halves[1]) / 2


@st.composite
def logits(draw):
    rows, classes = draw(st.integers(1, 5)), draw(st.integers(2, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    scale = draw(st.sampled_from([0.0, 0.5, 3.0, 30.0]))
    teacher, student = torch.randn(2, rows, classes, generator=generator, dtype=torch.float64)
    return teacher * scale, student * draw(st.sampled_from([0.1, 1.0, 10.0]))


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_log_probabilities_of_half_precision_are_computed_in_full(dtype, temperature):
    given = (10 * torch.randn(3, 50, generator=torch.Generator().manual_seed(0))).to(dtype).requires_grad_()
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    found, expected = log_probabilities(given, temperature), (given.to(wide) / temperature).log_softmax(-1)
    assert found.dtype == wide
    assert torch.equal(found, expected)
    one, other = (torch.autograd.grad(value[:, 0].sum(), given)[0] for value in (found, expected))
    assert torch.equal(one, other)


@given(logits(), st.sampled_from(TEMPERATURES))
def test_all_classes_kept_are_the_dense_distribution(pair, temperature):
    teacher, student = pair
    student = student.requires_grad_()
    dense = kl(Dense(teacher).beside(student, temperature))
    kept = kl(top_k(teacher, teacher.shape[-1], TEMPERATURES).beside(student, temperature))
    assert torch.allclose(kept, dense, atol=1e-9)
    gradients = [torch.autograd.grad(loss.sum(), student, retain_graph=True)[0] for loss in (dense, kept)]
    assert torch.allclose(gradients[0], gradients[1], atol=1e-9)


@given(logits(), st.sampled_from(TEMPERATURES), st.sampled_from([kl, jsd]))
def test_fewer_are_a_lower_bound_that_closes_as_more_are_kept(pair, temperature, divergence):
    teacher, student = pair
    dense = divergence(Dense(teacher).beside(student, temperature))
    before = torch.zeros_like(dense)
    for k in range(1, teacher.shape[-1] + 1):
        bound = divergence(top_k(teacher, k, TEMPERATURES).beside(student, temperature))
        assert (bound <= dense + 1e-6).all()
        assert (bound >= before - 1e-6).all()
        before = bound
    assert torch.allclose(before, dense, atol=1e-6)


@given(logits(), st.sampled_from(TEMPERATURES), st.integers(1, 40))
def test_every_form_adds_up_to_one(pair, temperature, k):
    teacher, student = pair
    found = top_k(teacher, k, TEMPERATURES).beside(student, temperature)
    for log_p in (found.teacher, found.student):
        assert torch.allclose(log_p.exp().sum(-1), torch.ones(len(teacher), dtype=torch.float64), atol=1e-6)


def test_hidden_states_and_the_head_give_the_teachers_own_logits():
    head = torch.nn.Linear(8, 30)
    hidden, student = torch.randn(5, 8), torch.randn(5, 30)
    exact = HiddenAndHead(hidden, head.weight, head.bias)
    dense = Dense(head(hidden))
    assert torch.equal(exact.dense().logits_RC, dense.logits_RC)
    assert torch.equal(kl(exact.beside(student, 2.0)), kl(dense.beside(student, 2.0)))


def test_the_others_share_is_that_of_the_temperature():
    teacher = torch.tensor([[5.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    for temperature in TEMPERATURES:
        found = top_k(teacher, 2, TEMPERATURES).beside(torch.zeros_like(teacher), temperature)
        whole = torch.softmax(teacher / temperature, -1)[0]
        assert torch.allclose(found.teacher.exp()[0], torch.stack([whole[0], whole[1], whole[2:].sum()]), atol=1e-9)
        assert torch.allclose(found.student.exp()[0], torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64))


def test_another_temperature_is_refused():
    signal = top_k(torch.randn(2, 9), 3, (1.0,))
    with pytest.raises(ValueError, match="temperature 4: the signal was recorded for 1"):
        signal.beside(torch.randn(2, 9), 4.0)


def test_a_teacher_that_is_sure_gives_no_gradient_that_is_not_a_number():
    teacher = torch.tensor([[200.0, 0.0, 0.0, 0.0]])
    student = torch.zeros(1, 4, requires_grad=True)
    for k in (1, 2, 4):
        loss = kl(top_k(teacher, k, (1.0,)).beside(student, 1.0)).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        assert torch.isfinite(gradient).all()
        assert gradient[0, 0] == pytest.approx(-0.75)


def test_half_precision_signals_are_read_in_full():
    teacher = torch.randn(3, 50)
    exact = top_k(teacher, 8, (2.0,))
    stored = TopK(exact.ids_RK, exact.log_p_RK.half(), exact.log_rest_RS.half(), exact.temperatures)
    student = torch.randn(3, 50)
    assert torch.allclose(kl(stored.beside(student, 2.0)), kl(exact.beside(student, 2.0)), atol=2e-3)


HEAD = torch.nn.Linear(4, 9)
FORMS: dict[str, Callable[[], Distribution]] = {
    "dense": lambda: Dense(torch.randn(6, 9)),
    "top-k": lambda: top_k(torch.randn(6, 9), 3, TEMPERATURES),
    "hidden": lambda: HiddenAndHead(torch.randn(6, 4), HEAD.weight, HEAD.bias),
}


@pytest.mark.parametrize("form", FORMS)
def test_parts_put_together_are_the_whole(form):
    whole, student = FORMS[form](), torch.randn(6, 9)
    again = concatenated([whole.part(slice(0, 2)), whole.part(slice(2, 6))])
    assert len(again) == 6
    assert torch.equal(kl(again.beside(student, 2.5)), kl(whole.beside(student, 2.5)))
    alone = whole.part(slice(2, 6)).beside(student[2:], 2.5)
    assert torch.allclose(kl(alone), kl(whole.beside(student, 2.5))[2:])


def test_forms_are_not_put_together():
    with pytest.raises(ValueError, match=r"distributions of different forms: \['Dense', 'TopK'\]"):
        concatenated([FORMS["dense"](), FORMS["top-k"]()])


@pytest.mark.parametrize("form", FORMS)
def test_all_of_it_moves(form):
    moved = FORMS[form]().to("meta")
    assert {tensor.device.type for tensor in vars(moved).values() if isinstance(tensor, torch.Tensor)} == {"meta"}


def test_a_head_is_copied_to_a_device_once():
    first, second = (HiddenAndHead(torch.randn(6, 4), HEAD.weight, HEAD.bias).to("meta") for _ in range(2))
    assert first.weight_CH is second.weight_CH
    assert first.hidden_RH is not second.hidden_RH


def test_a_head_is_converted_to_the_precision_of_autocast_at_once():
    said = HiddenAndHead(torch.randn(6, 4), HEAD.weight, HEAD.bias)
    assert said.as_multiplied() is said
    with torch.autocast("cpu", torch.bfloat16):
        found = said.as_multiplied()
    assert {tensor.dtype for tensor in (found.hidden_RH, found.weight_CH, found.bias_C)} == {torch.bfloat16}


def draws(count: int) -> torch.Tensor:
    return (torch.arange(count, dtype=torch.float64) + 0.5) / count


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("scale", [0.5, 3.0, 30.0])
def test_the_mean_of_sampled_classes_is_the_whole_distribution(scale, temperature):
    torch.manual_seed(0)
    teacher = scale * torch.randn(60)
    count = 20_000
    found = sampled(teacher.expand(count, -1), 12, temperature, draws(count))
    weights = found.beside(torch.zeros(count, 60), temperature).teacher[:, :12].exp().double()
    torch.testing.assert_close(weights.sum(1), torch.ones(count, dtype=torch.float64), rtol=0, atol=1e-5)
    mean = torch.zeros(60, dtype=torch.float64).index_add_(0, found.ids_RK.flatten(), weights.flatten()) / count
    whole = torch.softmax(teacher.double() / temperature, -1)
    torch.testing.assert_close(mean, whole, rtol=0, atol=1e-4)
    likely = whole > 1 / 12  # above any threshold, so never left out
    assert (torch.bincount(found.ids_RK.flatten(), minlength=60)[likely] == count).all()


def test_the_mean_gradient_of_kl_with_sampled_classes_is_that_with_all():
    torch.manual_seed(0)
    teacher, student = 2 * torch.randn(30), torch.randn(30)
    count = 20_000
    gradients = []
    for said in (sampled(teacher.expand(count, -1), 8, 1.0, draws(count)), Dense(teacher.expand(count, -1))):
        own = student.clone().requires_grad_()
        kl(said.beside(own.expand(count, -1), 1.0)).mean().backward()
        gradients.append(own.grad)
    torch.testing.assert_close(*gradients, rtol=0, atol=2e-4)


def test_all_classes_are_sampled_as_they_are():
    teacher = torch.randn(4, 9)
    found = sampled(teacher, 20, 1.0, torch.rand(4))
    assert found.ids_RK.sort(1).values.tolist() == [list(range(9))] * 4
    own = found.beside(torch.zeros(4, 9), 1.0).teacher.exp()
    torch.testing.assert_close(own, torch.softmax(teacher, -1).gather(1, found.ids_RK))


@given(pair=logits(), k=st.integers(1, 40), draw=st.floats(0, 1, exclude_max=True))
def test_sampled_classes_are_k_distinct_ones(pair, k, draw):
    teacher = pair[0]
    found = sampled(teacher, k, 1.0, torch.full((len(teacher),), draw, dtype=torch.float64))
    k = min(k, teacher.shape[1])
    assert all(len(set(ids)) == k for ids in found.ids_RK.tolist())
    assert found.log_p_RK.isfinite().all()
    torch.testing.assert_close(found.log_p_RK.exp().sum(1), torch.ones(len(teacher)), rtol=1e-4, atol=1e-4)


def test_fewer_possible_classes_than_are_sampled_keep_their_probabilities():
    teacher = torch.tensor([[1.0, 0.0, -torch.inf, -1e4, -torch.inf]])
    found = sampled(teacher, 4, 1.0, torch.tensor([0.9], dtype=torch.float64))
    weights = torch.zeros(1, 5).scatter(1, found.ids_RK, found.log_p_RK.exp())
    torch.testing.assert_close(weights, torch.softmax(teacher, -1))
    assert found.log_p_RK.isfinite().all()
