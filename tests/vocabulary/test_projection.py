"""A teacher's distribution in trimmed tokens, against sums over every sequence of the teacher's tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import pytest
import torch
from byte_pairs import TEXTS, TINY, Pair, completed, pair, tiny
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
    own = [int(token) for token in alignment.own]
    contexts = [tuple(own[: n + 1]) for n in range(len(own))]
    contexts += [(*own[: n + 1], int(v)) for n, v in zip(alignment.branch_after, alignment.branch_token, strict=True)]
    return torch.stack([teacher(context) for context in contexts])


def encoded(tokenizers: Pair, text: str) -> tuple[list[int], list[int]]:
    text = "<|start|>" + text
    return tokenizers.whole.encode(text).ids, tokenizers.smaller.encode(text).ids


def projected(
    tokenizers: Pair, text: str, branches: bool, teacher: Teacher | None = None
) -> tuple[Alignment, Projection]:
    own, trimmed = encoded(tokenizers, text)
    found = align(tokenizers.re_encoding, own, trimmed, branches=branches)
    log_p = rows(teacher or random_teacher(tokenizers.re_encoding.tokens), found)
    return found, project(log_p, found, tokenizers.re_encoding)


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
    tokenizers = pair(size, regular)
    own, trimmed = encoded(tokenizers, text)
    teacher = random_teacher(tokenizers.re_encoding.tokens)
    found, projection = projected(tokenizers, text, branches, teacher)
    own_cost = -sum(float(teacher(tuple(own[:n]))[own[n]]) for n in range(1, len(own)))
    on_path = torch.from_numpy(found.mask)[:-1]
    of_text = projection.log_p[:-1].gather(1, torch.tensor(trimmed)[1:, None])[:, 0]
    cost = -(of_text + projection.log_known[:-1])[on_path].sum()  # as if never what it wasn't asked
    assert cost <= own_cost + 1e-4 * max(1, own_cost)


@pytest.mark.parametrize("branches", [False, True])
def test_with_all_tokens_it_is_the_teachers_own(branches):
    tokenizers = pair(None)
    assert len(tokenizers.trimmed.kept) == tokenizers.whole.get_vocab_size()
    for text in TEXTS[:20]:
        own, trimmed = encoded(tokenizers, text)
        assert own == trimmed
        found, projection = projected(tokenizers, text, branches)
        torch.testing.assert_close(
            projection.log_p, rows(random_teacher(tokenizers.re_encoding.tokens), found), rtol=0, atol=1e-5
        )
        assert projection.mask.all()
        assert found.lost == len(found.branch_token) == 0


def canonical(tokenizers: Pair) -> Teacher:
    """Says nothing that its tokenizer wouldn't have written so."""
    speak = random_teacher(tokenizers.re_encoding.tokens, 1.0)

    def careful(context: tuple[int, ...]) -> torch.Tensor:
        log_p = speak(context)
        for token in range(len(log_p)):
            text = tokenizers.whole.decode([*context, token], skip_special_tokens=False)
            if token == 0 or tuple(tokenizers.whole.encode(text).ids) != (*context, token):
                log_p[token] = -math.inf
        return log_p.log_softmax(0) if log_p.max() > -math.inf else speak(context)

    return careful


def begins_so(tokenizers: Pair, teacher: Teacher, context: tuple[int, ...], pieces: tuple[int, ...]) -> float:
    """The probability that all that follows, token by token in pieces, begins with these: by every way there is."""
    if not pieces:
        return 1.0
    total, log_p = 0.0, teacher(context)
    for token, p in enumerate(log_p.exp().tolist()):
        own = tuple(tokenizers.re_encoding.pieces[slice(*tokenizers.re_encoding.offsets[token : token + 2])].tolist())
        if p and own[: len(pieces)] == pieces[: len(own)]:
            total += p * begins_so(tokenizers, teacher, (*context, token), pieces[len(own) :])
    return total


@pytest.mark.parametrize("kept", [[], ["ab"], ["ca"], ["ab", "ca"], ["ab", "abc", "ca", "cab"]])
@pytest.mark.parametrize("text", ["ab", "abc", "abab", "cab", "cabcab", "bcabca", "aabcb", "cca", "abcabca"])
def test_it_is_the_sum_over_every_way_to_go_on(kept, text):
    tokenizers = tiny(kept)
    teacher = canonical(tokenizers)
    own, trimmed = tokenizers.whole.encode("<s>" + text).ids, tokenizers.smaller.encode("<s>" + text).ids
    alignment = align(tokenizers.re_encoding, own, trimmed, branches=True)
    found = project(rows(teacher, alignment), alignment, tokenizers.re_encoding, most_unknown=1e-6)
    known = torch.nonzero(found.mask).flatten().tolist()
    for place in known:
        so_far = tuple(trimmed[1 : place + 1])
        whole = begins_so(tokenizers, teacher, (0,), so_far)
        if alignment.lost and whole == 0:
            continue  # the text so far is no sequence of whole tokens in pieces
        of_all = [
            begins_so(tokenizers, teacher, (0,), (*so_far, piece)) / whole
            for piece in range(len(tokenizers.trimmed.kept))
        ]
        assert found.log_p[place].exp().tolist() == pytest.approx(of_all, abs=1e-6), place
    assert len(known) >= len(trimmed) - 2 * alignment.lost


def test_without_branches_what_the_teacher_was_not_asked_is_named_and_masked():
    """After the c of cab, the teacher may have ended: its share is that of the token c among all that begin so."""
    tokenizers = tiny([])
    teacher = random_teacher(tokenizers.re_encoding.tokens)
    own, trimmed = tokenizers.whole.encode("<s>cab").ids, tokenizers.smaller.encode("<s>cab").ids
    alignment = align(tokenizers.re_encoding, own, trimmed, branches=False)
    found = project(rows(teacher, alignment), alignment, tokenizers.re_encoding)
    p = dict(zip(["<s>", *TINY], teacher((0,)).exp().tolist(), strict=True))
    c, ca, cab = p["c"], p["ca"], p["cab"]
    expected = [0, c / (c + ca + cab), ca / (ca + cab), 0]
    assert found.unknown.tolist() == pytest.approx(expected, abs=1e-6)
    assert found.mask.tolist() == [True, False, False, True]
    assert found.log_p[1].exp().tolist() == pytest.approx([0, 1, 0, 0], abs=1e-6)  # an a, if it didn't end
    lenient = project(rows(teacher, alignment), alignment, tokenizers.re_encoding, most_unknown=0.999)
    assert lenient.mask.all()


def test_columns_that_are_no_tokens_count_for_nothing():
    tokenizers = pair(400)
    own, trimmed = encoded(tokenizers, TEXTS[0])
    alignment = align(tokenizers.re_encoding, own, trimmed, branches=True)
    wide = rows(random_teacher(768), alignment)
    narrow = wide[:, :701].log_softmax(1)
    found = project(wide, alignment, tokenizers.re_encoding)
    torch.testing.assert_close(found.log_p, project(narrow, alignment, tokenizers.re_encoding).log_p, rtol=0, atol=1e-5)
    for wrong in (wide[:-1], wide[:, :700]):
        with pytest.raises(
            ValueError, match=r"log-probabilities of shape .*, expected \d+ rows of at least 701 tokens"
        ):
            project(wrong, alignment, tokenizers.re_encoding)


def test_a_text_that_the_teacher_calls_impossible_leaves_no_nan():
    tokenizers = pair(300)

    def never(context: tuple[int, ...]) -> torch.Tensor:
        log_p = torch.full((tokenizers.re_encoding.tokens,), -math.inf)
        log_p[5] = 0.0
        return log_p

    for branches in (False, True):
        _, found = projected(tokenizers, TEXTS[1], branches, never)
        assert found.log_p.isfinite().all()
        torch.testing.assert_close(found.log_p.exp().sum(1), torch.ones(len(found.log_p)))
        assert found.unknown.isfinite().all()


def test_after_a_byte_that_the_teacher_leaves_out_it_says_what_it_says_without():
    tokenizers = completed(400)
    teacher = random_teacher(tokenizers.re_encoding.tokens)
    start, rest = "wake me up", " at seven"
    (with_byte, found), (without, plain) = (
        projected(tokenizers, text, True, teacher) for text in (start + "\x04" + rest, start + rest)
    )
    assert with_byte.own.tolist() == without.own.tolist()
    byte = len(tokenizers.smaller.encode("<|start|>" + start).ids)
    before, after = found.log_p[: byte - 1], found.log_p[byte:]
    torch.testing.assert_close(before, plain.log_p[: byte - 1])
    torch.testing.assert_close(after, plain.log_p[byte - 1 :])
    assert found.mask.tolist() == [*plain.mask[: byte - 1].tolist(), False, *plain.mask[byte - 1 :].tolist()]
    added = [number for number, token in enumerate(tokenizers.trimmed.kept) if token < 0]
    assert (found.log_p[found.mask][:, added] < -80).all()
    torch.testing.assert_close(found.log_p.exp().sum(1), torch.ones(len(found.log_p)))
