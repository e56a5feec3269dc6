"""What a teacher reads of a student's window: its text, and as little before it as tells all of its decisions."""

from __future__ import annotations

import numpy as np
import pytest
from byte_pairs import TEXTS, Pair, completed, pair
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.vocabulary.alignment import align
from edgedistill.vocabulary.passages import Texts


def both(tokenizers: Pair, text: str) -> tuple[np.ndarray, np.ndarray]:
    readers = (tokenizers.whole, tokenizers.smaller)
    whole, smaller = (np.array(reader.encode("<|start|>" + text).ids) for reader in readers)
    return whole, smaller


@settings(deadline=None, max_examples=60)
@given(
    text=st.one_of(st.sampled_from(TEXTS), st.text(min_size=1, max_size=40)), window=st.integers(1, 12), at=st.data()
)
def test_a_passage_is_the_windows_text_with_the_teachers_token_before_it(text, window, at):
    tokenizers = pair(300)
    own, trimmed = both(tokenizers, text)
    first = at.draw(st.integers(0, len(trimmed) - 1))
    behind = min(first + window, len(trimmed))
    found = Texts(tokenizers.re_encoding, own, trimmed).passage(first, behind)
    assert found.trimmed[found.before :].tolist() == trimmed[first:behind].tolist()
    read, given = (
        tokenizers.re_encoding.bytes_of(found.own),
        tokenizers.re_encoding.bytes_of(tokenizers.re_encoding.kept[found.trimmed]),
    )
    assert read[: len(given)].tolist() == given.tolist()  # the same place in the text
    ends = tokenizers.re_encoding.ends_of(found.own)
    assert len(given) > (ends[-2] if len(ends) > 1 else 0)  # and no token further than needed
    alignment = align(tokenizers.re_encoding, found.own, found.trimmed, branches=True)
    if first and alignment.lost == 0:
        before = len(tokenizers.re_encoding.bytes_of(tokenizers.re_encoding.kept[found.trimmed[: found.before]]))
        assert ends[0] <= before
        assert len(ends) == 1 or before < ends[1]  # the context is the window's, but for one token and a part of one
    if alignment.lost == 0:
        assert alignment.mask[found.before :].all()


@given(text=st.text(st.sampled_from("awk e\x04д"), min_size=1, max_size=30), window=st.integers(1, 5), at=st.data())
def test_a_passage_may_begin_or_end_with_bytes_that_the_teacher_leaves_out(text, window, at):
    tokenizers = completed(300)
    own, trimmed = both(tokenizers, text)
    texts = Texts(tokenizers.re_encoding, own, trimmed)
    whole = align(tokenizers.re_encoding, own, trimmed, branches=True)
    first = at.draw(st.integers(0, len(trimmed) - 1))
    behind = min(first + window, len(trimmed))
    found = texts.passage(first, behind)
    assert found.trimmed[found.before :].tolist() == trimmed[first:behind].tolist()
    alignment = align(tokenizers.re_encoding, found.own, found.trimmed, branches=True)
    inner = slice(found.before, found.before + behind - first - 1)
    if alignment.lost == whole.lost == 0:
        assert alignment.mask[inner].tolist() == whole.mask[first : behind - 1].tolist()


def test_a_passage_at_the_beginning_is_the_texts():
    tokenizers = pair(300)
    own, trimmed = both(tokenizers, TEXTS[3])
    whole = Texts(tokenizers.re_encoding, own, trimmed).passage(0, len(trimmed))
    assert whole.own.tolist() == own.tolist()
    assert (whole.trimmed.tolist(), whole.before) == (trimmed.tolist(), 0)


def test_tokens_of_another_text_are_refused():
    tokenizers = pair(300)
    with pytest.raises(ValueError, match="come from different texts"):
        Texts(tokenizers.re_encoding, both(tokenizers, TEXTS[0])[0], both(tokenizers, TEXTS[0] + "!")[1])
