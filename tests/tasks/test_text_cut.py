from __future__ import annotations

import time

import pytest
from helpers import quickstart_rows
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.contracts.task import Encoder
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.tasks._text_cut import cut, reads_word_by_word

TOKENIZER = learn_tokenizer([row["text"] for row in quickstart_rows("train")], 500, 32)
PARTS = st.text(max_size=12) | st.sampled_from(
    [
        "word",
        "a",
        " ",
        "\n",
        "\t",
        "\r",
        "\x1c",
        "\u00a0",
        "e\u0301",
        " \u0301",
        "[SEP]",
        "...",
        "中文",
        "\ufffd",
        "1",
        "\x00a ",
        "\u200d",
    ]
)


@given(st.lists(PARTS, max_size=80), st.integers(4, 24))
@settings(max_examples=300)
def test_what_is_kept_of_a_cut_text_is_what_is_kept_of_the_whole(parts, length):
    for text in ("".join(parts), " ".join(parts)):
        whole = TOKENIZER(text, truncation=True, max_length=length)["input_ids"]
        assert TOKENIZER(cut(text, length), truncation=True, max_length=length)["input_ids"] == whole


def test_a_long_text_is_cut():
    assert len(cut("word " * 100_000, 32)) < 200
    assert cut("word" * 100_000, 32) == "word" * 100_000


def tokenizer(model, pre_tokenizer, normalizer=None):
    made = Tokenizer(model)
    made.pre_tokenizer, made.normalizer = pre_tokenizer, normalizer
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="u")


def test_only_what_reads_word_by_word_is_cut():
    word_piece = models.WordPiece({"u": 0}, unk_token="u")
    split = pre_tokenizers.Whitespace()
    assert reads_word_by_word(TOKENIZER)
    assert reads_word_by_word(tokenizer(word_piece, split, normalizers.Sequence([normalizers.NFC()])))
    assert not reads_word_by_word(tokenizer(models.BPE({"u": 0}, []), split))
    assert not reads_word_by_word(tokenizer(word_piece, pre_tokenizers.ByteLevel()))
    assert not reads_word_by_word(tokenizer(word_piece, split, normalizers.Replace(" ", "")))
    left = tokenizer(word_piece, split)
    left.truncation_side = "left"
    assert not reads_word_by_word(left)
    spaced = tokenizer(word_piece, split)
    spaced.add_tokens(["new york"])
    assert not reads_word_by_word(spaced)


@pytest.mark.parametrize("rows", [20])
def test_long_documents_take_no_time(rows):
    task = registry.task("text-classification")
    texts = {"text": ["some words " * 90_000] * rows, "label": ["a"] * rows}
    started = time.process_time()
    task.data.encode(
        texts,
        Encoder(
            {"text": "text", "label": "label"},
            TOKENIZER,
            {"a": 0},
            32,
            registry.task_as("text-classification", "accuracy", {}),
        ),
    )
    assert time.process_time() - started < 5  # whole, it takes minutes
