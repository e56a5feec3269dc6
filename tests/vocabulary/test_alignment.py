"""Where a teacher's tokens and the trimmed ones of the same text meet."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from byte_pairs import LACKING, TEXTS, completed, cut, pair, tiny
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from edgedistill.vocabulary.alignment import align, branched


def test_a_boundary_that_the_trimmed_tokens_span_is_left_out_and_counted():
    """c|abc|ab, whose merge of a and b is dropped: the free a goes to the c before it, ca|b|ca|b."""
    tokenizers = tiny(["ca"])
    own, trimmed = tokenizers.whole.encode("<s>cabcab<s>").ids, tokenizers.smaller.encode("<s>cabcab<s>").ids
    assert tokenizers.whole.decode(own, skip_special_tokens=False) == "<s>cabcab<s>"
    assert [tokenizers.whole.id_to_token(i) for i in own] == ["<s>", "c", "abc", "ab", "<s>"]
    assert [tokenizers.smaller.id_to_token(i) for i in trimmed] == ["<s>", "ca", "b", "ca", "b", "<s>"]
    found = align(tokenizers.re_encoding, own, trimmed, branches=False)
    assert found.lost == 2
    assert found.mask.tolist() == [False, False, False, False, True, True]
    assert found.start.tolist() == [0, -1, -1, 4, 5]


def test_nothing_is_left_out_where_all_boundaries_are_kept():
    tokenizers = pair(300)
    text = "<|start|>wake me up at seven"
    own, trimmed = tokenizers.whole.encode(text).ids, tokenizers.smaller.encode(text).ids
    assert len(trimmed) > len(own)
    found = align(tokenizers.re_encoding, own, trimmed, branches=True)
    assert found.lost == 0
    assert found.mask.all()
    assert (found.start >= 0).all()
    pieces = [tokenizers.re_encoding.pieces[slice(*tokenizers.re_encoding.offsets[i : i + 2])] for i in own]
    assert np.concatenate(pieces).tolist() == trimmed
    assert found.start[: len(own)].tolist() == (np.cumsum([len(piece) for piece in pieces]) - 1).tolist()


def test_tokens_of_different_texts_are_refused():
    tokenizers = pair(300)
    own, trimmed = tokenizers.whole.encode(TEXTS[0]).ids, tokenizers.smaller.encode(TEXTS[1]).ids
    with pytest.raises(ValueError, match="teacher tokens and .* trimmed tokens come from different texts"):
        align(tokenizers.re_encoding, own, trimmed, branches=False)
    with pytest.raises(ValueError, match="come from different texts"):  # the teacher's end first
        align(tokenizers.re_encoding, own[:-1], tokenizers.smaller.encode(TEXTS[0]).ids, branches=False)
    with pytest.raises(ValueError, match="no tokens"):
        align(tokenizers.re_encoding, own, [], branches=False)


def test_the_teacher_may_read_on():
    """A window of the student's tokens may end within a token of the teacher's."""
    tokenizers = pair(300)
    own, trimmed = tokenizers.whole.encode(TEXTS[0]).ids, tokenizers.smaller.encode(TEXTS[0]).ids
    whole = align(tokenizers.re_encoding, own, trimmed, branches=False)
    for length in range(1, len(trimmed)):
        part = align(tokenizers.re_encoding, own, trimmed[:length], branches=False)
        assert part.mask.tolist() == whole.mask[:length].tolist()
        assert [n for n in part.start if n >= 0] == [n for n in whole.start if 0 <= n < length]


def test_branches_are_answered_as_texts_of_their_own():
    """One pass with the branches beside the text gives what a pass over each beginning with its branch gives."""
    tokenizers = pair(300)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=704, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config).eval()
    own = tokenizers.whole.encode("<|start|>" + TEXTS[0]).ids
    found = align(tokenizers.re_encoding, own, tokenizers.smaller.encode("<|start|>" + TEXTS[0]).ids, branches=True)
    assert len(found.branch_token) > 3
    ids, places, seen = branched(found)
    mask = torch.where(torch.from_numpy(seen), 0.0, -torch.inf)[None, None]
    with torch.no_grad():
        once = model(
            torch.from_numpy(ids)[None], attention_mask=mask, position_ids=torch.from_numpy(places)[None]
        ).logits[0]
        torch.testing.assert_close(once[: len(own)], model(torch.tensor([own])).logits[0], rtol=0, atol=1e-5)
        for row, (after, token) in enumerate(zip(found.branch_after, found.branch_token, strict=True), len(own)):
            alone = model(torch.tensor([[*own[: after + 1], int(token)]])).logits[0, -1]
            torch.testing.assert_close(once[row], alone, rtol=0, atol=1e-5)


def test_a_branch_is_a_token_that_ends_where_the_text_goes_on():
    tokenizers = cut(pair(300).whole, [])  # bytes only
    own = tokenizers.whole.encode("<|start|>the time").ids
    found = align(tokenizers.re_encoding, own, tokenizers.smaller.encode("<|start|>the time").ids, branches=True)
    tokens = [tokenizers.whole.id_to_token(int(i)) for i in found.branch_token]
    before = [tokenizers.whole.decode(own[: n + 1]) for n in found.branch_after]
    for text, token in zip(before, tokens, strict=True):
        said = text + token.replace("Ġ", " ")
        assert "the time".startswith(said)
        assert said != "the time"
    assert {"Ġ", "Ġt"} <= set(tokens)
    assert len(set(zip(before, tokens, strict=True))) == len(tokens)


def test_bytes_that_the_teacher_leaves_out_are_not_taught():
    """wake\x04 me: after wake comes the byte, which the teacher doesn't know of; what follows it, the teacher reads on
    from wake."""
    tokenizers = completed(None)
    text, without = "<|start|>wake\x04\x04 me", "<|start|>wake me"
    own, trimmed = tokenizers.whole.encode(text).ids, tokenizers.smaller.encode(text).ids
    plain, shorter = tokenizers.whole.encode(without).ids, tokenizers.smaller.encode(without).ids
    assert own == plain
    lost = [place for place, token in enumerate(trimmed) if tokenizers.trimmed.kept[token] < 0]
    assert [token for token in trimmed if tokenizers.trimmed.kept[token] >= 0] == shorter
    assert len(lost) == 2
    found, same = (align(tokenizers.re_encoding, own, tokens, branches=True) for tokens in (trimmed, shorter))
    assert same.mask.all()
    taught = [True] * len(trimmed)
    taught[lost[0] - 1] = taught[lost[0]] = False
    assert found.mask.tolist() == taught
    assert found.lost == 0
    assert found.start[: len(own)].tolist() == [
        place if place < lost[0] - 1 else place + len(lost) for place in same.start[: len(own)].tolist()
    ]


@given(text=st.text(st.sampled_from("ae wk\u0430\x04\U0004f000"), max_size=12), size=st.sampled_from([300, None]))
def test_only_what_the_teacher_would_say_next_is_taught(text, size):
    """Wherever bytes are left out, of what the teacher says nothing."""
    tokenizers = completed(size)
    own, trimmed = (side.encode("<|start|>" + text).ids for side in (tokenizers.whole, tokenizers.smaller))
    found = align(tokenizers.re_encoding, own, trimmed, branches=True)
    empty = np.array(tokenizers.trimmed.kept)[trimmed] < 0
    assert not found.mask[:-1][empty[1:]].any()
    assert empty.sum() == sum(byte in LACKING for byte in text.encode())
    if not empty.any():
        assert found.mask.any()
