from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.interfaces import LossInputs, ModelSizes
from edgedistill.losses.hidden_mse import HiddenMseSpec, build, hidden_mse, layer_pairs


@given(st.integers(1, 12), st.integers(1, 24))
def test_the_uniform_map_ends_at_both_ends(student, teacher):
    pairs = layer_pairs("uniform", student, teacher)
    assert pairs[0] == (0, 0)
    assert pairs[-1] == (student, teacher)
    assert [b for _, b in pairs] == sorted(b for _, b in pairs)


def test_the_maps_are_as_named():
    assert layer_pairs("uniform", 3, 6) == [(0, 0), (1, 2), (2, 4), (3, 6)]
    assert layer_pairs("last", 3, 6) == [(3, 6)]
    assert layer_pairs(((1, 5),), 3, 6) == [(1, 5)]
    with pytest.raises(ValueError, match=r"\[4, 6\] is outside the student's 0..3 and the teacher's 0..6"):
        layer_pairs(((4, 6),), 3, 6)


def states(seed: int, size: int = 4) -> torch.Tensor:
    return torch.randn(2, 3, size, generator=torch.Generator().manual_seed(seed))


MASK = torch.tensor([[1, 1, 0], [1, 0, 0]])


def test_masked_positions_change_nothing_and_the_rest_is_the_mean():
    a, b = states(1), states(2)
    changed = a.clone()
    changed[0, 2] += 100
    changed[1, 1:] -= 100
    real = MASK.bool()
    assert hidden_mse(a, b, MASK) == pytest.approx(((a - b)[real] ** 2).mean().item())
    assert hidden_mse(changed, b, MASK) == pytest.approx(hidden_mse(a, b, MASK).item())
    assert hidden_mse(a, a, MASK) == 0


def test_a_projection_bridges_widths_and_is_trained():
    term = build(HiddenMseSpec(kind="hidden_mse", layers="last"), ModelSizes(1, 4), ModelSizes(2, 6))
    inputs = LossInputs(
        torch.zeros(2, 2),
        torch.zeros(2),
        MASK,
        student_hidden=(states(1), states(2)),
        teacher_hidden={2: states(3, 6)},
    )
    optimizer = torch.optim.Adam(term.parameters(), lr=0.05)
    first = term(inputs).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = term(inputs)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


def test_equal_widths_need_no_projection():
    term = build(HiddenMseSpec(kind="hidden_mse"), ModelSizes(1, 4), ModelSizes(2, 4))
    assert list(term.parameters()) == []
