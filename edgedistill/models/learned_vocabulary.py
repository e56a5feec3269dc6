"""Learns a WordPiece vocabulary from texts reproducibly: the same bytes for the same texts in any process.

Merges follow byte pair encoding by frequency (Sennrich et al. 2016), as in the trainer of `tokenizers`, which however
breaks ties by hash map order, so every process gets a different vocabulary. Here ties go to the alphabetically first
pair.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PREFIX = "##"
_ALPHABET = 1000
_MIN_FREQUENCY = 2
_MAX_WORD = 100  # characters: longer words are unknown to WordPiece

Pair = tuple[str, str]


def learn_tokenizer(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """A lower-casing BERT tokenizer with a vocabulary learned from these texts.

    Args:
        size: maximum number of tokens, unless there are more single characters.
    """
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    empty = BertWordPieceTokenizer(lowercase=True)
    words: Counter[str] = Counter()
    for text in texts:
        pieces = empty.pre_tokenizer.pre_tokenize_str(empty.normalizer.normalize_str(text))
        words.update(word for word, _ in pieces)
    vocabulary = {token: i for i, token in enumerate(learn(words, size))}
    return BertTokenizerFast(
        tokenizer_object=BertWordPieceTokenizer(vocabulary, lowercase=True)._tokenizer,
        do_lower_case=True,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        model_max_length=max_length,
    )


def learn(words: Mapping[str, int], size: int, min_frequency: int = _MIN_FREQUENCY) -> list[str]:
    """The tokens in the order of their ids: special tokens, characters, then pieces in merge order.

    Only the 1,000 most frequent characters are tokens; words with others are unknown and so ignored.

    Args:
        words: word -> frequency, in any order.
        size: maximum number of tokens, unless there are more single characters.
        min_frequency: pairs that occur less often are not merged.
    """
    alphabet = _alphabet(words)
    known = {word: count for word, count in words.items() if len(word) <= _MAX_WORD and set(word) <= alphabet}
    ordered = sorted(known)
    pieces = [[word[0], *(_PREFIX + character for character in word[1:])] for word in ordered]
    counts = [known[word] for word in ordered]
    inner = {piece for word in pieces for piece in word[1:]}
    tokens = dict.fromkeys([*SPECIAL, *sorted(alphabet), *sorted(inner)])
    merges = _Merges(pieces, counts)
    while len(tokens) < size and (pair := merges.most_frequent(min_frequency)) is not None:
        tokens[merges.merge(pair)] = None
    return list(tokens)


def _alphabet(words: Mapping[str, int]) -> set[str]:
    """The most frequent characters; ties go to lower code points."""
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    return set(sorted(characters, key=lambda character: (-characters[character], character))[:_ALPHABET])


class _Merges:
    """The pieces of every word, and the frequency of each adjacent pair."""

    def __init__(self, pieces: list[list[str]], counts: list[int]) -> None:
        self._pieces = pieces
        self._counts = counts
        self._pairs: Counter[Pair] = Counter()
        self._words: dict[Pair, set[int]] = {}
        for word, own in enumerate(pieces):
            for pair in pairwise(own):
                self._pairs[pair] += counts[word]
                self._words.setdefault(pair, set()).add(word)
        self._heap = [(-count, pair) for pair, count in self._pairs.items()]
        heapq.heapify(self._heap)

    def most_frequent(self, at_least: int) -> Pair | None:
        """The most frequent pair, alphabetically first on ties; None if none is frequent enough."""
        while self._heap:
            count, pair = heapq.heappop(self._heap)
            if -count != self._pairs[pair]:
                continue  # outdated entry; the current one is also in the heap
            return pair if -count >= at_least else None
        return None

    def merge(self, pair: Pair) -> str:
        """Merge the pair everywhere, and return the new piece."""
        joined = pair[0] + pair[1].removeprefix(_PREFIX)
        changed: set[Pair] = set()
        for word in self._words.pop(pair):
            before, count = self._pieces[word], self._counts[word]
            after = _joined(before, pair, joined)
            for neighbours in pairwise(before):
                self._pairs[neighbours] -= count
                changed.add(neighbours)
            for neighbours in pairwise(after):
                self._pairs[neighbours] += count
                self._words.setdefault(neighbours, set()).add(word)
                changed.add(neighbours)
            self._pieces[word] = after
        for neighbours in changed:
            if self._pairs[neighbours] > 0:
                heapq.heappush(self._heap, (-self._pairs[neighbours], neighbours))
        return joined


def _joined(pieces: list[str], pair: Pair, joined: str) -> list[str]:
    """The pieces of a word with every occurrence of the pair merged, from the left."""
    result: list[str] = []
    i = 0
    while i < len(pieces):
        if i + 1 < len(pieces) and (pieces[i], pieces[i + 1]) == pair:
            result.append(joined)
            i += 2
        else:
            result.append(pieces[i])
            i += 1
    return result
