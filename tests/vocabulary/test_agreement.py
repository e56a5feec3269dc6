"""Whether two models speak of the same tokens."""

from __future__ import annotations

import pytest
from byte_pairs import TEXTS, byte_pairs, pair
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from edgedistill.errors import UserError
from edgedistill.vocabulary.agreement import Reader, shared_tokens

TOKENS = 701


def copied() -> Tokenizer:
    return Tokenizer.from_str(byte_pairs().to_str())


def test_widths_that_differ_only_by_padding_agree():
    assert byte_pairs().get_vocab_size() == TOKENS
    assert shared_tokens(Reader("big", byte_pairs(), 768), Reader("small", copied(), 704), TEXTS[:5]) == TOKENS


def test_how_a_text_is_cut_padded_and_framed_is_not_its_vocabulary():
    other = copied()
    other.enable_truncation(3)
    other.enable_padding(length=20)
    assert shared_tokens(Reader("big", byte_pairs(), TOKENS), Reader("small", other, TOKENS)) == TOKENS


def test_other_tokens_of_the_same_number_are_refused():
    small = pair(600)
    swapped = pair(600, regular=False)
    with pytest.raises(UserError) as caught:
        shared_tokens(Reader("big", small.smaller, 640), Reader("small", swapped.smaller, 640))
    assert "teacher 'big' and student 'small' have different vocabularies (" in str(caught.value)
    assert "trim_vocabulary" in str(caught.value)
    assert str(caught.value).count("\n") == 0


def test_the_same_tokens_read_otherwise_are_refused():
    """By the probes of our own, and by the data's own texts."""
    lower = copied()
    lower.normalizer = normalizers.Lowercase()
    with pytest.raises(UserError, match="the text 'The quick brown fox .*' is encoded differently"):
        shared_tokens(Reader("big", byte_pairs(), TOKENS), Reader("small", lower, TOKENS))
    rare = copied()
    rare.normalizer = normalizers.Replace("xylophone", "x")
    shared_tokens(Reader("big", byte_pairs(), TOKENS), Reader("small", rare, TOKENS))
    with pytest.raises(UserError, match="the text 'a xylophone' is encoded differently"):
        shared_tokens(Reader("big", byte_pairs(), TOKENS), Reader("small", rare, TOKENS), ["a xylophone"])


def test_a_special_token_of_one_of_them_is_refused():
    more = copied()
    more.add_special_tokens(["<tool>"])
    with pytest.raises(UserError, match="'<tool>' is no token in 'big' and 701 in 'small'"):
        shared_tokens(Reader("big", byte_pairs(), 704), Reader("small", more, 704))


def test_words_that_are_split_otherwise_are_refused():
    other = copied()
    other.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    readers = Reader("big", byte_pairs(), TOKENS), Reader("small", other, TOKENS)
    with pytest.raises(UserError, match="encoded differently"):
        shared_tokens(*readers)


def test_fewer_rows_than_tokens_are_refused():
    with pytest.raises(UserError, match="'small' has 700 logits, expected at least 701"):
        shared_tokens(Reader("big", byte_pairs(), TOKENS), Reader("small", copied(), TOKENS - 1))
