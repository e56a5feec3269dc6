from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.layer_maps import layer_pairs


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
