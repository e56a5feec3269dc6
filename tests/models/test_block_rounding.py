"""Weights on a few levels, block by block."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.models.block_rounding import in_blocks, round_blocks

BITS = (2, 4)
seeds = st.integers(0, 2**31)


def weights(seed: int, shape: tuple[int, ...] = (40, 3, 32)) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def by_range(groups: torch.Tensor, bits: int) -> torch.Tensor:
    """The scale of the smallest and the largest number."""
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero = torch.round(-low / scale)
    return (torch.round(groups / scale + zero).clamp(0, 2**bits - 1) - zero) * scale


def error(groups: torch.Tensor, rounded: torch.Tensor) -> float:
    return float((groups - rounded).square().sum() / groups.square().sum())


@pytest.mark.parametrize(("bits", "share"), [(2, 0.72), (4, 0.94)])
def test_the_squared_error_is_less_than_that_of_the_range(bits, share):
    groups = weights(0, (2000, 32))
    assert error(groups, round_blocks(groups, bits).values) < share * error(groups, by_range(groups, bits))


def test_an_outlier_is_clipped_where_that_costs_less():
    groups = weights(1, (200, 32)).clamp(-2, 2)
    groups[:, 0] = 3.0
    found = round_blocks(groups, 2).values
    assert float((found[:, 0] < 2.8).float().mean()) > 0.9
    assert error(groups, found) < 0.8 * error(groups, by_range(groups, 2))


@settings(max_examples=15)
@given(seeds, st.sampled_from(BITS))
def test_levels_fit_the_bits_and_rounding_again_changes_nothing(seed, bits):
    groups = weights(seed)
    groups[:5] = groups[:5].abs()
    groups[5:10, :, 3] *= 20
    found = round_blocks(groups, bits)
    for part in (found.levels, found.zero):
        assert torch.equal(part, part.round().clamp(0, 2**bits - 1))
    assert bool((found.scale > 0).all())
    torch.testing.assert_close(round_blocks(found.values, bits).values, found.values, rtol=1e-5, atol=1e-6)


@settings(max_examples=15)
@given(seeds, st.sampled_from(BITS), st.floats(1e-6, 1e6))
def test_scaled_weights_are_on_scaled_levels(seed, bits, factor):
    groups = weights(seed, (8, 32))
    scaled = round_blocks(groups * factor, bits)
    assert error(groups * factor, scaled.values) == pytest.approx(
        error(groups, round_blocks(groups, bits).values), rel=1e-3
    )


@pytest.mark.parametrize("bits", BITS)
def test_zeros_and_lone_numbers_are_exact(bits):
    groups = torch.zeros(3, 32)
    groups[1, 4], groups[2, 4] = 0.3, -0.3
    torch.testing.assert_close(round_blocks(groups, bits).values, groups)


def test_the_last_block_is_filled_with_zeros():
    blocks = in_blocks(torch.ones(2, 40), 32)
    assert blocks.shape == (2, 2, 32)
    assert float(blocks.sum()) == 80
