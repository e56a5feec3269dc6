"""A small byte-level BPE of our own, trimmed to fewer tokens: built in a moment, with all that a large one has."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from helpers import quickstart_rows
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from edgedistill.vocabulary.re_encoding import ReEncoding
from edgedistill.vocabulary.token_bytes import byte_characters
from edgedistill.vocabulary.trimming import Trimmed, most_frequent, trim, with_every_byte

TEXTS = [row["text"] for row in quickstart_rows("train")]


LACKING = (0x04, 0xD0, 0xF1)
"""Bytes in none of the texts, which a vocabulary may lack: a control character, the first of Cyrillic letters, and one
that no assigned character has."""


@cache
def byte_pairs(size: int = 700, regular: bool = True, lacking: tuple[int, ...] = ()) -> Tokenizer:
    """Byte-level BPE of these texts; not `regular`: tokens may span words."""
    missing = {token for token, byte in byte_characters().items() if byte in lacking}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regular)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|start|>"],
        initial_alphabet=[token for token in pre_tokenizers.ByteLevel.alphabet() if token not in missing],
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(["<|end|>"])
    return tokenizer


@dataclass(frozen=True)
class Pair:
    """A tokenizer, a smaller one that is cut from it, and the one's tokens in the other's."""

    whole: Tokenizer
    trimmed: Trimmed
    smaller: Tokenizer
    re_encoding: ReEncoding


@cache
def pair(size: int | None, regular: bool = True) -> Pair:
    """To `size` tokens, by their frequency in a part of the texts; None: to all."""
    return _most_frequent(byte_pairs(regular=regular), size)


@cache
def completed(size: int | None, regular: bool = True) -> Pair:
    """As `pair`, of a vocabulary that lacks bytes, which the smaller one has."""
    return _most_frequent(byte_pairs(regular=regular, lacking=LACKING), size)


def _most_frequent(whole: Tokenizer, size: int | None) -> Pair:
    content = json.loads(whole.to_str())
    used = np.array([i for encoding in whole.encode_batch(TEXTS[:200]) for i in encoding.ids])
    every = range(whole.get_vocab_size())
    return cut(whole, every if size is None else most_frequent(content, used, size))


def cut(whole: Tokenizer, kept: Iterable[int], *, every_byte: bool = True) -> Pair:
    """The pair with these tokens, and what must stay beside them."""
    content = json.loads(whole.to_str())
    trimmed = with_every_byte(trim(content, kept)) if every_byte else trim(content, kept)
    smaller = Tokenizer.from_str(json.dumps(trimmed.content))
    return Pair(whole, trimmed, smaller, ReEncoding.of(content, trimmed))


TINY = ["a", "b", "c", "ab", "abc", "ca", "cab"]


def tiny(kept: Sequence[str]) -> Pair:
    """A language of three letters, small enough to try every way to write a text, and these of its tokens."""
    merges = [("a", "b"), ("ab", "c"), ("c", "a"), ("c", "ab")]
    vocabulary = {"<s>": 0} | {token: i for i, token in enumerate(TINY, 1)}
    whole = Tokenizer(models.BPE(vocabulary, merges))
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole.decoder = decoders.ByteLevel()
    whole.add_special_tokens(["<s>"])
    return cut(whole, [vocabulary[token] for token in kept], every_byte=False)
