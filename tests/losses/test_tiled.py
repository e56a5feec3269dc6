"""Losses from hidden states and a head are those of the logits, in value and gradient, and never hold all logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from largest_tensor import Largest

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, Distribution, HiddenAndHead, top_k
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses import _tiled

SIZES = ModelShape(1, 8)
CASES = [
    ("kl", {}),
    ("kl", {"temperature": 1.0}),
    ("reverse_kl", {}),
    ("skew_kl", {"skew": 0.1}),
    ("skew_kl", {"skew": 0.3, "reverse": True}),
    ("jsd", {"beta": 0.5}),
    ("jsd", {"beta": 0.1, "temperature": 2.0}),
    ("mse_logits", {}),
    ("hard_label", {}),
    ("hard_label", {"smoothing": 0.2}),
]
FORMS = ("dense", "top-k", "hidden")


@contextmanager
def tiles(head_rows: int, numbers: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(_tiled._SIZES, "cpu", _tiled.Sizes(head_rows, 0, numbers))
        yield


def teacher(
    form: str, rows: int, vocabulary: int, generator: torch.Generator, dtype: torch.dtype, cap: float | None = None
) -> Distribution:
    hidden, weight = (torch.randn(n, 5, generator=generator, dtype=dtype) for n in (rows, vocabulary))
    states = HiddenAndHead(hidden, weight, cap=cap)
    if form == "hidden":
        return states
    return states.dense() if form == "dense" else top_k(states.dense().logits_RC, 4, (1.0, 2.0))


def both(kind, change, form, rows=7, vocabulary=11, seed=0, bias=True, weights=None, dtype=torch.float64, cap=None):
    """(loss, gradients) from logits and from states."""
    generator = torch.Generator().manual_seed(seed)
    loss = registry.loss(kind)
    term = loss.build(loss.spec(kind=kind, **change), SIZES, SIZES)
    said = teacher(form, rows, vocabulary, generator, dtype, cap)
    hidden, weight = (torch.randn(n, 6, generator=generator, dtype=dtype).requires_grad_() for n in (rows, vocabulary))
    learned = [hidden, weight]
    if bias:
        learned.append(torch.randn(vocabulary, generator=generator, dtype=dtype).requires_grad_())
    own = HiddenAndHead(hidden, weight, learned[2] if bias else None, cap)
    right = torch.randint(vocabulary, (rows,), generator=generator)
    known = torch.rand(rows, generator=generator) > 0.2
    found = []
    for student in (own.dense(), own):

        def own_losses(smoothing: float, logits: torch.Tensor = own.dense().logits_RC) -> torch.Tensor:  # noqa: B008
            return torch.nn.functional.cross_entropy(logits, right, label_smoothing=smoothing, reduction="none")

        inputs = LossInputs(
            student, known, torch.ones(rows, 1), weights, teacher=said, right_R=right, own_losses=own_losses
        )
        value = 3 * term(inputs)
        found.append((value, torch.autograd.grad(value, learned)))
    return found


def allowed(kind: str, form: str) -> bool:
    loss = registry.loss(kind)
    return form in loss.forms or "logits" not in loss.needs


@pytest.mark.parametrize(("kind", "change"), CASES)
@given(
    form=st.sampled_from(FORMS),
    rows=st.integers(1, 9),
    vocabulary=st.integers(4, 30),
    head_rows=st.integers(1, 10),
    numbers=st.integers(1, 100),
    bias=st.booleans(),
    weighted=st.booleans(),
    cap=st.sampled_from([None, 1.5, 30.0]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30)
def test_value_and_gradients_are_those_of_the_logits(
    kind, change, form, rows, vocabulary, head_rows, numbers, bias, weighted, cap, seed
):
    if not allowed(kind, form):
        return
    weights = torch.rand(rows, generator=torch.Generator().manual_seed(seed)) if weighted else None
    with tiles(head_rows, numbers):
        (value, gradients), (tiled, own) = both(kind, change, form, rows, vocabulary, seed, bias, weights, cap=cap)
    assert tiled.item() == pytest.approx(value.item(), rel=1e-5, abs=1e-6)
    for expected, found in zip(gradients, own, strict=True):
        assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_in_float32_gradients_differ_by_rounding_only(form):
    with tiles(16, 16 * 500):
        (_, gradients), (_, own) = both("kl", {}, form, 100, 500, dtype=torch.float32)
    for expected, found in zip(gradients, own, strict=True):
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("kind", ["kl", "hard_label", "mse_logits"])
def test_gradients_flow_through_the_cap(kind):
    """A cap far below the logits, whose gradient it nearly stops."""
    (_, free), (_, bounded) = (both(kind, {}, "hidden", cap=cap)[1] for cap in (None, 0.1))
    assert bounded[0].norm() < 0.2 * free[0].norm()
    (value, gradients), (tiled, own) = both(kind, {}, "hidden", cap=0.1)
    assert tiled.item() == pytest.approx(value.item(), rel=1e-5)
    assert all(torch.allclose(found, expected, rtol=1e-5) for expected, found in zip(gradients, own, strict=True))


@pytest.mark.parametrize("cap", [None, 5.0])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", sorted({kind for kind, _ in CASES}))
def test_the_logits_of_all_decisions_never_exist(kind, form, cap):
    if not allowed(kind, form):
        return
    generator = torch.Generator().manual_seed(0)
    rows, vocabulary = 600, 100
    loss = registry.loss(kind)
    said = teacher(form, rows, vocabulary, generator, torch.float32, cap)
    own = HiddenAndHead(torch.randn(rows, 6).requires_grad_(), torch.randn(vocabulary, 6).requires_grad_(), cap=cap)
    inputs = LossInputs(own, torch.ones(rows), torch.ones(rows, 1), teacher=said, right_R=torch.zeros(rows).long())
    with tiles(64, 32 * vocabulary), Largest() as largest:
        loss.build(loss.spec(kind=kind), SIZES, SIZES)(inputs).backward()
        part = 64 * vocabulary
    # A dense teacher's logits are there anyway; views of them are no new memory.
    assert largest.numbers <= part


def test_tiles_on_a_gpu_are_large_but_never_beyond_what_the_memory_was_planned_for():
    for vocabulary in (2_000, 32_000, 49_152, 131_072):
        own = _tiled.sizes_on("cuda")
        assert 1 << 26 <= own.head_rows(vocabulary) * vocabulary <= 1 << 27
        assert 1 << 24 <= own.loss_rows(vocabulary) * vocabulary <= 1 << 25
    assert _tiled.sizes_on("cuda").head_rows(1 << 21) == 256  # the head's gradient is larger than such a tile
    assert [_tiled.sizes_on("cpu").head_rows(vocabulary) for vocabulary in (11, 131_072)] == [256, 256]


def test_without_a_gradient_none_is_computed():
    own = HiddenAndHead(torch.randn(4, 3).requires_grad_(), torch.randn(5, 3).requires_grad_())
    with torch.no_grad():
        value = _tiled.tiled_mean(own, lambda tile: lambda logits, some: logits.sum(-1), None)
    assert value.item() == pytest.approx(own.dense().logits_RC.sum(-1).mean().item(), abs=1e-5)
    assert not value.requires_grad


def test_a_second_backward_pass_is_an_error_and_no_other_number():
    own = HiddenAndHead(torch.randn(4, 3).requires_grad_(), torch.randn(5, 3).requires_grad_())
    value = _tiled.tiled_mean(own, lambda tile: lambda logits, some: logits.sum(-1), None)
    value.backward(retain_graph=True)
    with pytest.raises(RuntimeError):
        value.backward()


def test_tied_tables_get_both_gradients():
    table = torch.randn(7, 3, dtype=torch.float64).requires_grad_()
    tokens = torch.tensor([1, 4, 4, 0])

    def loss(tiled: bool) -> torch.Tensor:
        own = HiddenAndHead(table[tokens].tanh(), table)

        def rows(logits: torch.Tensor, part: slice) -> torch.Tensor:
            return logits.logsumexp(-1)

        return (
            _tiled.tiled_mean(own, lambda tile: rows, None)
            if tiled
            else rows(own.dense().logits_RC, slice(None)).mean()
        )

    (expected,), (found,) = (torch.autograd.grad(loss(tiled), table) for tiled in (False, True))
    assert torch.allclose(found, expected, atol=1e-6)


def test_no_weight_anywhere_is_zero_and_no_decision_too():
    own = HiddenAndHead(torch.randn(4, 3).requires_grad_(), torch.randn(5, 3).requires_grad_())
    assert _tiled.tiled_mean(own, lambda tile: lambda logits, some: logits.sum(-1), torch.zeros(4)).item() == 0
    assert _tiled.tiled_mean(own.part(slice(0, 0)), lambda tile: lambda logits, some: logits.sum(-1), None).item() == 0


def test_under_autocast_the_head_multiplies_in_half_precision_and_the_loss_counts_in_full():
    torch.manual_seed(0)
    own = HiddenAndHead(torch.randn(9, 16).requires_grad_(), torch.randn(50, 16).requires_grad_())
    said, seen = Dense(torch.randn(9, 50)), []

    def rows(logits: torch.Tensor, part: slice) -> torch.Tensor:
        pair = said.part(part).beside(logits, 1.0)
        seen.append((logits.dtype, pair.student.dtype))
        return (pair.teacher.exp() * (pair.teacher - pair.student)).sum(-1)

    with torch.autocast("cpu", torch.bfloat16):
        value = _tiled.tiled_mean(own, lambda tile: rows, None)
        expected = rows(own.dense().logits_RC, slice(None)).mean()
    assert set(seen) == {(torch.bfloat16, torch.float32)}
    assert value.item() == pytest.approx(expected.item(), rel=1e-3)
    pairs = zip(*(torch.autograd.grad(loss, [own.hidden_RH, own.weight_CH]) for loss in (value, expected)), strict=True)
    for found, wanted in pairs:
        assert found.dtype == torch.float32
        assert (found - wanted).norm() <= 0.02 * wanted.norm()
