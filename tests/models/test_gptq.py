"""Rounding for inputs, against plain rounding, on weights and inputs of which the right answer is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.models.block_rounding import in_blocks, round_blocks
from edgedistill.models.gptq import round_for_inputs

SIZE = 32


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def related(rows: int, count: int, seed: int = 1) -> torch.Tensor:
    """(rows, count) inputs that depend on a few hidden values, as activations do."""
    return drawn(rows, 6, seed=seed) @ drawn(6, count, seed=seed + 1) + 0.1 * drawn(rows, count, seed=seed + 2)


def values(found, count: int) -> torch.Tensor:
    return found.values.flatten(-2)[:, :count]


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("count", [32, 64, 48, 7])
def test_inputs_that_are_independent_are_rounded_to_the_nearest(bits, count):
    weights = drawn(5, count)
    blocks = in_blocks(weights, SIZE)
    found, plain = round_for_inputs(weights, torch.eye(count), bits, SIZE), round_blocks(blocks, bits)
    torch.testing.assert_close(found.scale, plain.scale)
    torch.testing.assert_close(found.zero, plain.zero)
    torch.testing.assert_close(found.levels, (blocks / plain.scale + plain.zero).round().clamp(0, 2**bits - 1))


@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("count", [64, 80])
def test_outputs_on_such_inputs_are_closer(bits, count):
    weights, inputs = drawn(24, count), related(400, count)
    exact = inputs @ weights.T
    found = values(round_for_inputs(weights, inputs.T @ inputs, bits, SIZE), count)
    plain = values(round_blocks(in_blocks(weights, SIZE), bits), count)
    assert (inputs @ found.T - exact).square().mean() < 0.5 * (inputs @ plain.T - exact).square().mean()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(1, 70), rows=st.integers(1, 90), unseen=st.integers(0, 70))
def test_any_inputs_give_levels_of_the_bits_and_finite_scales(seed, count, rows, unseen):
    """Fewer inputs than their width, and some that are always 0."""
    weights, inputs = drawn(3, count, seed=seed), drawn(rows, count, seed=seed + 1)
    inputs[:, :unseen] = 0
    found = round_for_inputs(weights, inputs.T @ inputs, 4, SIZE)
    assert found.levels.shape == (3, -(-count // SIZE), SIZE)
    for numbers in (found.levels, found.zero):
        assert ((numbers >= 0) & (numbers <= 15) & (numbers == numbers.round())).all()
    assert torch.isfinite(found.scale).all()
    assert (found.scale > 0).all()
    assert not found.values.flatten(-2)[:, count:].any()
