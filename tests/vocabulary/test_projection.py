"""A teacher's distribution in trimmed tokens, against sums over every sequence of the teacher's tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import pytest
import torch
from byte_pairs import TEXTS, TINY, Pair, pair, tiny
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgedistill.vocabulary.alignment import Alignment, align
from edgedistill.vocabulary.projection import LEAST, Projection, project

Teacher = Callable[[tuple[int, ...]], torch.Tensor]
"""The tokens so far -> (V,) log-probabilities of the next."""

TEXT = st.one_of(st.sampled_from(TEXTS), st.text(min_size=1, max_size=20), st.text("abehlo wtAé\n", min_size=1))
SIZES = st.sampled_from([300, 400, 550])


def random_teacher(width: int, spread: float = 3.0) -> Teacher:
    """Any distribution after any tokens, the same whenever it is asked."""

    def speak(context: tuple[int, ...]) -> torch.Tensor:
        seed = int.from_bytes(hashlib.sha256(repr(context).encode()).digest()[:4])
        return (spread * torch.randn(width, generator=torch.Generator().manual_seed(seed))).log_softmax(0)

    return speak


def rows(teacher: Teacher, alignment: Alignment) -> torch.Tensor:
    """What the teacher says at every row, each asked by itself."""
    own = [int(each) for each in alignment.own]
    contexts = [tuple(own[: n + 1]) for n in range(len(own))]
    contexts += [(*own[: n + 1], int(v)) for n, v in zip(alignment.branch_after, alignment.branch_token, strict=True)]
    return torch.stack([teacher(each) for each in contexts])


def encoded(each: Pair, text: str) -> tuple[list[int], list[int]]:
    text = "<|start|>" + text
    return each.whole.encode(text).ids, each.smaller.encode(text).ids


def projected(each: Pair, text: str, branches: bool, teacher: Teacher | None = None) -> tuple[Alignment, Projection]:
    own, trimmed = encoded(each, text)
    found = align(each.re_encoding, own, trimmed, branches=branches)
    log_p = rows(teacher or random_teacher(each.re_encoding.tokens), found)
    return found, project(log_p, found, each.re_encoding)


@settings(deadline=None, max_examples=40)
@given(text=TEXT, size=SIZES, branches=st.booleans())
def test_every_row_sums_to_one(text, size, branches):
    _, found = projected(pair(size), text, branches)
    torch.testing.assert_close(found.log_p.exp().sum(1), torch.ones(len(found.log_p)))
    assert found.log_p.min() >= LEAST


@settings(deadline=None, max_examples=40)
@given(text=TEXT, size=SIZES, branches=st.booleans(), regular=st.booleans())
@example(text="pair with my headphones", size=300, branches=False, regular=True)  # unknown is 1 in 32 bits
def test_the_text_costs_no_more_bits_than_in_its_own_tokens(text, size, branches, regular):
    each = pair(size, regular)
    own, trimmed = encoded(each, text)
    teacher = random_teacher(each.re_encoding.tokens)
    found, projection = projected(each, text, branches, teacher)
    own_cost = -sum(float(teacher(tuple(own[:n]))[own[n]]) for n in range(1, len(own)))
    on_path = torch.from_numpy(found.mask)[:-1]
    of_text = projection.log_p[:-1].gather(1, torch.tensor(trimmed)[1:, None])[:, 0]
    cost = -(of_text + projection.log_known[:-1])[on_path].sum()  # as if never what it wasn't asked
    assert cost <= own_cost + 1e-4 * max(1, own_cost)


@pytest.mark.parametrize("branches", [False, True])
def test_with_all_tokens_it_is_the_teachers_own(branches):
    each = pair(None)
    assert len(each.trimmed.kept) == each.whole.get_vocab_size()
    for text in TEXTS[:20]:
        own, trimmed = encoded(each, text)
        assert own == trimmed
        found, projection = projected(each, text, branches)
        torch.testing.assert_close(
            projection.log_p, rows(random_teacher(each.re_encoding.tokens), found), rtol=0, atol=1e-5
        )
        assert projection.mask.all()
        assert found.lost == len(found.branch_token) == 0


def canonical(each: Pair) -> Teacher:
    """Says nothing that its tokenizer wouldn't have written so."""
    speak = random_teacher(each.re_encoding.tokens, 1.0)

    def careful(context: tuple[int, ...]) -> torch.Tensor:
        log_p = speak(context)
        for token in range(len(log_p)):
            text = each.whole.decode([*context, token], skip_special_tokens=False)
            if token == 0 or tuple(each.whole.encode(text).ids) != (*context, token):
                log_p[token] = -math.inf
        return log_p.log_softmax(0) if log_p.max() > -math.inf else speak(context)

    return careful


def begins_so(each: Pair, teacher: Teacher, context: tuple[int, ...], pieces: tuple[int, ...]) -> float:
    """The probability that all that follows, token by token in pieces, begins with these: by every way there is."""
    if not pieces:
        return 1.0
    total, log_p = 0.0, teacher(context)
    for token, p in enumerate(log_p.exp().tolist()):
        own = tuple(each.re_encoding.pieces[slice(*each.re_encoding.offsets[token : token + 2])].tolist())
        if p and own[: len(pieces)] == pieces[: len(own)]:
            total += p * begins_so(each, teacher, (*context, token), pieces[len(own) :])
    return total


@pytest.mark.parametrize("kept", [[], ["ab"], ["ca"], ["ab", "ca"], ["ab", "abc", "ca", "cab"]])
@pytest.mark.parametrize("text", ["ab", "abc", "abab", "cab", "cabcab", "bcabca", "aabcb", "cca", "abcabca"])
def test_it_is_the_sum_over_every_way_to_go_on(kept, text):
    each = tiny(kept)
    teacher = canonical(each)
    own, trimmed = each.whole.encode("<s>" + text).ids, each.smaller.encode("<s>" + text).ids
    alignment = align(each.re_encoding, own, trimmed, branches=True)
    found = project(rows(teacher, alignment), alignment, each.re_encoding, most_unknown=1e-6)
    known = torch.nonzero(found.mask).flatten().tolist()
    for place in known:
        so_far = tuple(trimmed[1 : place + 1])
        whole = begins_so(each, teacher, (0,), so_far)
        if alignment.lost and whole == 0:
            continue  # the text so far is no sequence of whole tokens in pieces
        of_all = [begins_so(each, teacher, (0,), (*so_far, piece)) / whole for piece in range(len(each.trimmed.kept))]
        assert found.log_p[place].exp().tolist() == pytest.approx(of_all, abs=1e-6), place
    assert len(known) >= len(trimmed) - 2 * alignment.lost


def test_without_branches_what_the_teacher_was_not_asked_is_named_and_masked():
    """After the c of cab, the teacher may have ended: its share is that of the token c among all that begin so."""
    each = tiny([])
    teacher = random_teacher(each.re_encoding.tokens)
    own, trimmed = each.whole.encode("<s>cab").ids, each.smaller.encode("<s>cab").ids
    alignment = align(each.re_encoding, own, trimmed, branches=False)
    found = project(rows(teacher, alignment), alignment, each.re_encoding)
    p = dict(zip(["<s>", *TINY], teacher((0,)).exp().tolist(), strict=True))
    c, ca, cab = p["c"], p["ca"], p["cab"]
    expected = [0, c / (c + ca + cab), ca / (ca + cab), 0]
    assert found.unknown.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.mask.tolist() == [True, False, False, True]
    assert found.log_p[1].exp().tolist() == pytest.approx([0, 1, 0, 0], abs=1e-6)  # an a, if it didn't end
    lenient = project(rows(teacher, alignment), alignment, each.re_encoding, most_unknown=0.999)
    assert lenient.mask.all()


def test_columns_that_are_no_tokens_count_for_nothing():
    each = pair(400)
    own, trimmed = encoded(each, TEXTS[0])
    alignment = align(each.re_encoding, own, trimmed, branches=True)
    wide = rows(random_teacher(768), alignment)
    narrow = wide[:, :701].log_softmax(1)
    found = project(wide, alignment, each.re_encoding)
    torch.testing.assert_close(found.log_p, project(narrow, alignment, each.re_encoding).log_p, rtol=0, atol=1e-5)
    for wrong in (wide[:-1], wide[:, :700]):
        with pytest.raises(
            ValueError, match=r"log-probabilities of shape .*, expected \d+ rows of at least 701 tokens"
        ):
            project(wrong, alignment, each.re_encoding)


def test_a_text_that_the_teacher_calls_impossible_leaves_no_nan():
    each = pair(300)

    def never(context: tuple[int, ...]) -> torch.Tensor:
        log_p = torch.full((each.re_encoding.tokens,), -math.inf)
        log_p[5] = 0.0
        return log_p

    for branches in (False, True):
        _, found = projected(each, TEXTS[1], branches, never)
        assert found.log_p.isfinite().all()
        torch.testing.assert_close(found.log_p.exp().sum(1), torch.ones(len(found.log_p)))
        assert found.unknown.isfinite().all()
