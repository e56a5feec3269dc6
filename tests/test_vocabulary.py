"""Trimming tokenizers of the three algorithms: what is covered is cut as before."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import quickstart_rows
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from edgedistill.errors import UserError
from edgedistill.models.vocabulary import frequent_tokens, trim

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = [row["text"] for row in quickstart_rows("train")]


def trained(kind: str) -> Tokenizer:
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
    used = [i for each in TOKENIZERS[kind].encode_batch(texts) for i in each.ids]
    content, ids = trim(json.loads(TOKENIZERS[kind].to_str()), frequent_tokens(np.array(used), 1.0))
    return Tokenizer.from_str(json.dumps(content)), ids


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
    with pytest.raises(UserError, match="knows WordPiece, BPE and Unigram tokenizers, this one is 'WordLevel'"):
        trim(content, [0])
