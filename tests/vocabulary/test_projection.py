"""A teacher's distribution in trimmed tokens, against sums over every sequence of the teacher's tokens."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from byte_pairs import TEXTS, Pair, cut, pair

from edgedistill.vocabulary.alignment import Alignment, align, branched
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
    contexts += [
        (*own[: n + 1], int(v)) for n, v in zip(alignment.branch_after, alignment.branch_token, strict=True)
    ]
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
def test_the_text_costs_no_more_bits_than_in_its_own_tokens(text, size, branches, regular):
    each = pair(size, regular)
    own, trimmed = encoded(each, text)
    teacher = random_teacher(each.re_encoding.tokens)
    found, projection = projected(each, text, branches, teacher)
    own_cost = -sum(float(teacher(tuple(own[:n]))[own[n]]) for n in range(1, len(own)))
    on_path = torch.from_numpy(found.mask)[:-1]
    of_text = projection.log_p[:-1].gather(1, torch.tensor(trimmed)[1:, None])[:, 0]
    cost = -(of_text + torch.log1p(-projection.unknown[:-1]))[on_path].sum()  # as if never what it wasn't asked
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


# A language of its own: three bytes, a few merges, and a teacher that writes every text as its tokenizer does.
TINY = ["a", "b", "c", "ab", "abc", "ca", "cab"]


def tiny(kept: Sequence[str]) -> Pair:
    merges = [("a", "b"), ("ab", "c"), ("c", "a"), ("c", "ab")]
    vocabulary = {"<s>": 0} | {token: i for i, token in enumerate(TINY, 1)}
    whole = Tokenizer(models.BPE(vocabulary, merges))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole.decoder = decoders.ByteLevel()
    whole.add_special_tokens(["<s>"])
    return cut(whole, [vocabulary[token] for token in kept])


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
