from __future__ import annotations

import numpy as np
import pytest
from helpers import quickstart_rows
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.data.views import deleted, joined, masked, mistyped, partners, swapped, view
from edgedistill.recipe.augment import AugmentSpec

WORDS = st.lists(st.text("abcdefgh", min_size=1, max_size=6), min_size=1, max_size=12)
SHARES = st.floats(0, 0.99)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(WORDS, SHARES, st.integers(0, 99))
def test_deleting_keeps_the_order_and_at_least_one_word(words, share, seed):
    left = deleted(words, share, generator(seed))
    assert left
    rest = iter(words)
    assert all(word in rest for word in left)
    assert deleted(words, 0.0, generator(seed)) == words


@given(WORDS, SHARES, st.integers(0, 99))
def test_swapping_keeps_the_words(words, share, seed):
    assert sorted(swapped(words, share, generator(seed))) == sorted(words)
    assert swapped(words, 0.0, generator(seed)) == words


@given(WORDS, SHARES, st.integers(0, 99))
def test_masking_keeps_the_places_and_at_least_one_word(words, share, seed):
    found = masked(words, share, "[MASK]", generator(seed))
    assert len(found) == len(words)
    assert any(word != "[MASK]" for word in found)
    assert all(a in ("[MASK]", b) for a, b in zip(found, words, strict=True))


@given(WORDS, WORDS)
def test_joined_texts_are_a_beginning_and_an_end(first, second):
    found = joined(" ".join(first), " ".join(second)).split()
    beginning = (len(first) + 1) // 2
    assert found[:beginning] == first[:beginning]
    assert found[beginning:] == second[len(second) // 2 :]


@given(st.integers(0, 200), st.floats(0, 1), st.integers(0, 99))
def test_partners_are_other_items(items, share, seed):
    found = partners(items, share, generator(seed))
    assert len(found) == items
    assert all(other is None or (other != i and 0 <= other < items) for i, other in enumerate(found))
    assert partners(items, 0.0, generator(seed)) == [None] * items
    if items > 1:
        assert None not in partners(items, 1.0, generator(seed))


def test_the_share_of_joined_views_is_what_is_asked():
    assert np.mean([other is not None for other in partners(4000, 0.3, generator())]) == pytest.approx(0.3, abs=0.03)


@given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=9), st.integers(0, 999))
def test_a_typo_is_one_slip(word, seed):
    slipped = mistyped(word, generator(seed))
    assert abs(len(slipped) - len(word)) <= 1
    changed = sum(a != b for a, b in zip(word, slipped, strict=False))
    assert len(slipped) != len(word) or changed <= 2


def test_the_shares_are_what_the_spec_says_and_the_seed_decides():
    texts = [row["text"] for row in quickstart_rows("train")]
    words = sum(len(text.split()) for text in texts)
    spec = AugmentSpec(mask=0.2)
    one, two = generator(1), generator(1)
    found = [view(text, spec, "[MASK]", one) for text in texts]
    assert found == [view(text, spec, "[MASK]", two) for text in texts]
    hidden = sum(text.split().count("[MASK]") for text in found)
    assert hidden / words == pytest.approx(0.2, abs=0.02)
    spec = AugmentSpec(delete=0.3)
    assert sum(len(view(text, spec, "", one).split()) for text in texts) / words == pytest.approx(0.7, abs=0.03)
    spec = AugmentSpec(typo=0.5)
    changed = sum(
        a != b for text in texts for a, b in zip(text.split(), view(text, spec, "", one).split(), strict=True)
    )
    assert 0.35 < changed / words < 0.5  # some slips change nothing: doubled letters swapped


@pytest.mark.parametrize("settings", [{}, {"replace": 0.1}, {"mask": 0.1, "masked_lm": "x"}])
def test_a_spec_that_does_nothing_or_half_is_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        AugmentSpec(**settings)
