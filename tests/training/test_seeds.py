"""Seeds by purpose."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.training.seeds import derive

PURPOSES = st.lists(st.text(max_size=5), max_size=4)


@given(st.integers(0, 2**63 - 1), PURPOSES)
def test_a_purpose_always_has_the_same_seed_which_every_generator_takes(seed, purpose):
    assert derive(seed, *purpose) == derive(seed, *purpose)
    assert 0 <= derive(seed, *purpose) < 2**63


@given(st.lists(st.tuples(st.integers(0, 9), PURPOSES.map(tuple)), min_size=2, max_size=5, unique=True))
def test_different_purposes_have_different_seeds(asked):
    assert all(derive(a, *b) != derive(c, *d) for (a, b), (c, d) in combinations(asked, 2))


def test_it_is_the_same_on_every_machine_and_in_every_version():
    assert derive(0, "r1", "soft-targets", "order") == 885329229261653852
