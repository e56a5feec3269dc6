"""Trimming tokenizers of the three algorithms: what is covered is cut as before."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from byte_pairs import LACKING, byte_pairs, completed, cut, pair
from helpers import quickstart_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from edgedistill.errors import UserError
from edgedistill.vocabulary.token_bytes import BYTES, byte_characters, missing_bytes
from edgedistill.vocabulary.trimming import (
    ADDED_BYTE,
    characters_of,
    cut_from,
    frequent_tokens,
    most_frequent,
    trim,
    with_every_byte,
)

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [row["text"] for row in quickstart_rows("train")]


def trained(kind: str) -> Tokenizer:
    trainer: trainers.Trainer
    if kind == "WordPiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        trainer = trainers.WordPieceTrainer(vocab_size=600, special_tokens=SPECIALS, show_progress=False)
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    elif kind == "BPE":
        tokenizer = Tokenizer(models.BPE())
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=600, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(
            vocab_size=600, special_tokens=SPECIALS, unk_token="[UNK]", show_progress=False
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(TEXTS, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return tokenizer


TOKENIZERS = {kind: trained(kind) for kind in ("WordPiece", "BPE", "Unigram")}


def trimmed(kind: str, texts: list[str]) -> tuple[Tokenizer, list[int]]:
    used = [i for encoding in TOKENIZERS[kind].encode_batch(texts) for i in encoding.ids]
    found = trim(json.loads(TOKENIZERS[kind].to_str()), frequent_tokens(np.array(used), 1.0))
    return Tokenizer.from_str(json.dumps(found.content)), found.kept


@pytest.mark.parametrize("kind", TOKENIZERS)
@given(chosen=st.lists(st.sampled_from(TEXTS), min_size=1, max_size=8))
def test_covered_text_is_cut_as_before(kind, chosen):
    smaller, ids = trimmed(kind, chosen)
    assert len(ids) == smaller.get_vocab_size() < TOKENIZERS[kind].get_vocab_size()
    for text in chosen:
        before, after = TOKENIZERS[kind].encode(text), smaller.encode(text)
        assert after.tokens == before.tokens
        assert [ids[i] for i in after.ids] == before.ids


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_words_that_were_cut_away_are_spelled(kind):
    smaller, _ = trimmed(kind, TEXTS[:3])
    found = smaller.encode("weather tomorrow")
    assert "[UNK]" not in found.tokens
    assert len(found.tokens) > len(TOKENIZERS[kind].encode("weather tomorrow").tokens)


def test_the_order_and_the_special_tokens_stay():
    smaller, ids = trimmed("WordPiece", TEXTS[:3])
    assert ids == sorted(ids)
    assert [smaller.token_to_id(name) for name in SPECIALS] == [0, 1, 2, 3, 4]


def test_frequent_tokens_reach_the_coverage_and_no_more():
    ids = np.array([7] * 90 + [3] * 9 + [5])
    assert frequent_tokens(ids, 0.9) == [7]
    assert frequent_tokens(ids, 0.95) == [3, 7]
    assert frequent_tokens(ids, 1.0) == [3, 5, 7]


def test_an_unknown_algorithm_is_refused():
    content = {"model": {"type": "WordLevel", "vocab": {"a": 0}}}
    with pytest.raises(UserError, match="supports WordPiece, BPE and Unigram tokenizers, this one is 'WordLevel'"):
        trim(content, [0])


SENTENCES = st.one_of(st.text(), st.sampled_from(TEXTS), st.text("aeño €\n\t<|end|>🙂", max_size=30))


@settings(max_examples=200)
@given(text=SENTENCES, size=st.sampled_from([258, 300, 450, 650]), regular=st.booleans())
def test_every_text_round_trips_through_byte_pairs(text, size, regular):
    tokenizers = pair(size, regular)
    assert len(tokenizers.trimmed.kept) == tokenizers.smaller.get_vocab_size() == size
    ids = tokenizers.smaller.encode(text).ids
    assert tokenizers.smaller.decode(ids, skip_special_tokens=False) == text
    assert bytes(tokenizers.re_encoding.bytes_of(np.array(tokenizers.trimmed.kept, np.int64)[ids])) == text.encode()


def test_the_most_frequent_stay_with_their_parts():
    tokenizers = pair(300)
    names = tokenizers.smaller.get_vocab()
    model: Any = tokenizers.trimmed.content["model"]
    for first, second in model["merges"]:
        assert {first, second, first + second} <= names.keys()
    merged = {first + second for first, second in model["merges"]}
    assert {token for token in names if len(token) > 1} == merged | {"<|start|>", "<|end|>"}
    used = np.bincount([i for text in tokenizers.whole.encode_batch(TEXTS[:200]) for i in text.ids], minlength=701)
    left_out = np.setdiff1d(np.arange(701), tokenizers.trimmed.kept)
    most = used[left_out].max()
    parts = {part for merge in model["merges"] for part in merge}
    kept_for_less = [i for i in tokenizers.trimmed.kept if used[i] < most and len(tokenizers.whole.id_to_token(i)) > 1]
    assert {tokenizers.whole.id_to_token(i) for i in kept_for_less} <= parts | {"<|start|>", "<|end|>"}


def test_where_the_texts_have_no_more_the_first_ids_fill_up():
    content = json.loads(byte_pairs().to_str())
    assert most_frequent(content, np.array([600]), 701) == list(range(701))
    few = most_frequent(content, np.array([300]), 262)
    assert len(few) == 262
    assert {257, 258} <= set(few)


def test_reserved_tokens_and_characters_that_go_never_fill_up():
    content = json.loads(TOKENIZERS["WordPiece"].to_str())
    vocabulary = content["model"]["vocab"]
    spare, other = sorted(vocabulary, key=vocabulary.__getitem__)[len(SPECIALS) : len(SPECIALS) + 2]
    content["model"]["vocab"] = {"[unused0]" if token == spare else token: i for token, i in vocabulary.items()}
    texts = np.array(TOKENIZERS["WordPiece"].encode(TEXTS[0].replace(other, "")).ids)
    characters = characters_of(content, texts)
    assert characters == frozenset("".join(TEXTS[0].lower().replace(other, "").split()))
    chosen = most_frequent(content, texts, 300, characters)
    model: Any = trim(content, chosen, characters).content["model"]
    kept = model["vocab"].keys()
    assert len(kept) == 300
    assert "[unused0]" not in kept
    assert {token.removeprefix("##") for token in kept if len(token.removeprefix("##")) == 1} <= characters


def test_the_bytes_of_a_bpe_always_stay():
    with pytest.raises(UserError, match="student.characters: got 'texts' for a BPE tokenizer, .*; expected 'all'"):
        characters_of(json.loads(TOKENIZERS["BPE"].to_str()), np.array([300]))


@pytest.mark.parametrize(("size", "allowed"), [(257, "258"), (702, "701")])
def test_a_number_that_is_no_size_is_refused(size, allowed):
    with pytest.raises(UserError, match=rf"student.vocabulary: got {size}, expected 258 .* to 701") as caught:
        most_frequent(json.loads(byte_pairs().to_str()), np.array([300]), size)
    assert allowed in str(caught.value)


def with_fallback() -> Tokenizer:
    """As Llama 2 has it: words begin with a mark, and what isn't in the vocabulary is written in bytes."""
    merges = [("h", "e"), ("▁", "t"), ("▁t", "he"), ("e", "▁")]
    tokens = ["<unk>", *BYTES, "▁", "t", "h", "e", "he", "▁t", "▁the", "e▁"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>"])
    return tokenizer


@given(text=st.text("the ñ€🙂", min_size=1))
def test_bytes_stay_to_fall_back_on(text):
    tokenizers = cut(with_fallback(), [])
    assert "▁the" not in tokenizers.smaller.get_vocab()
    ids = tokenizers.smaller.encode(text).ids
    assert tokenizers.smaller.decode(ids) == text
    found = tokenizers.re_encoding.bytes_of(np.array(tokenizers.trimmed.kept, np.int64)[ids])
    assert bytes(found) == b" " + text.encode()


WILD = st.text(st.sampled_from("ae é\u0430\x04\x05\n日🙂\U0004f000"), max_size=20) | SENTENCES


@settings(max_examples=200)
@given(text=WILD, size=st.sampled_from([258, 300, 450, None]), regular=st.booleans())
def test_bytes_that_a_vocabulary_lacks_are_added(text, size, regular):
    tokenizers = completed(size, regular)
    assert len(tokenizers.trimmed.kept) == tokenizers.smaller.get_vocab_size() == (size or 701 + len(LACKING))
    assert tokenizers.trimmed.kept.count(ADDED_BYTE) == len(LACKING)
    ids = tokenizers.smaller.encode(text).ids
    assert tokenizers.smaller.decode(ids, skip_special_tokens=False) == text
    own = tokenizers.whole.encode(text).ids
    read = bytes(byte for byte in text.encode() if byte not in LACKING)
    assert bytes(tokenizers.re_encoding.bytes_of(np.array(own, np.int64))) == read
    assert bytes(tokenizers.re_encoding.bytes_of(tokenizers.re_encoding.kept[np.array(ids, np.int64)])) == read


def test_added_bytes_come_before_tokens_that_are_not_the_algorithms():
    tokenizers = completed(300)
    added = {tokenizers.smaller.token_to_id(token) for token, byte in byte_characters().items() if byte in LACKING}
    assert added == {296, 297, 298}
    assert tokenizers.smaller.token_to_id("<|end|>") == 299
    assert [i for i, old in enumerate(tokenizers.trimmed.kept) if old == ADDED_BYTE] == sorted(added)
    for number, old in enumerate(tokenizers.trimmed.kept):
        if old != ADDED_BYTE:
            assert tokenizers.smaller.id_to_token(number) == tokenizers.whole.id_to_token(old)
    text = "wake me up<|end|>"
    kept = np.array(tokenizers.trimmed.kept)
    whole = completed(None)
    assert np.array(whole.trimmed.kept)[whole.smaller.encode(text).ids].tolist() == whole.whole.encode(text).ids
    assert kept[tokenizers.smaller.encode("<|start|>").ids].tolist() == [0]


@pytest.mark.parametrize("size", [300, None])
def test_nothing_is_added_where_no_byte_is_missing(size):
    trimmed = pair(size).trimmed
    assert with_every_byte(trimmed) is trimmed
    assert ADDED_BYTE not in trimmed.kept


def test_a_vocabulary_with_an_unknown_token_leaves_out_nothing():
    content = json.loads(byte_pairs(lacking=LACKING).to_str())
    assert len(missing_bytes(content)) == len(LACKING)
    content["model"]["unk_token"] = "a"
    assert missing_bytes(content) == []
    assert missing_bytes(json.loads(TOKENIZERS["WordPiece"].to_str())) == []


def test_a_size_counts_the_added_bytes():
    content = json.loads(byte_pairs(lacking=LACKING).to_str())
    assert len(most_frequent(content, np.array([300]), 300)) == 300 - len(LACKING)
    with pytest.raises(UserError, match="student.vocabulary: got 257, expected 258 .* to 704"):
        most_frequent(content, np.array([300]), 257)


def test_a_vocabulary_with_added_bytes_is_one_that_was_cut_from_the_other():
    tokenizers = completed(300)
    whole, smaller = (json.loads(tokenizer.to_str()) for tokenizer in (tokenizers.whole, tokenizers.smaller))
    assert cut_from(whole, smaller).kept == tokenizers.trimmed.kept
    with pytest.raises(UserError, match="which the teacher's lacks"):
        cut_from(smaller, whole)


def test_added_bytes_stay_when_it_is_trimmed_again():
    once = completed(450)
    again = with_every_byte(trim(once.trimmed.content, []))
    assert ADDED_BYTE not in again.kept
    assert missing_bytes(again.content) == []
    assert cut_from(json.loads(once.whole.to_str()), again.content).kept.count(ADDED_BYTE) == len(LACKING)
