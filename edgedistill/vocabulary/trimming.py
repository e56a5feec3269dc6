"""Removes tokens from a fast tokenizer: operates on `tokenizer.json` as data, without the library. Pure.

Text whose tokens are all kept is tokenized as before: WordPiece takes the longest match, which stays the longest; BPE
keeps every merge on the way to a kept token; a Unigram path through kept pieces is still the best. Every other text can
still be encoded: single characters stay, which in byte-level BPE are the bytes, and so do the byte tokens of a BPE with
byte fallback. Bytes that a byte-level BPE never had can be added (`with_every_byte`).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.errors import UserError
from edgedistill.vocabulary.token_bytes import BYTES, Tokenizer, added_tokens, missing_bytes

ADDED_BYTE = -1
"""In place of an id in the original: the token of a byte that it lacks."""
_RESERVED = re.compile(r"\[unused\d+\]")


@dataclass(frozen=True)
class Trimmed:
    """A tokenizer with fewer tokens."""

    content: dict[str, object]
    """Contents of its `tokenizer.json`."""
    kept: list[int]
    """(K,) the ids of its tokens in the original, in the same order, or `ADDED_BYTE`."""


def frequent_tokens(token_ids: Integers, coverage: float) -> list[int]:
    """The most frequent ids that together account for `coverage` of the occurrences, sorted.

    >>> frequent_tokens(np.array([5, 5, 5, 9, 7, 7]), coverage=0.8)
    [5, 7]
    """
    ids, counts = np.unique(token_ids, return_counts=True)
    order = np.lexsort((ids, -counts))
    reached = np.cumsum(counts[order]) / counts.sum()
    needed = int(np.searchsorted(reached, coverage - 1e-12)) + 1
    return sorted(int(i) for i in ids[order][:needed])


def characters_of(tokenizer: Tokenizer, token_ids: Integers) -> frozenset[str]:
    """The single characters that the tokens of the texts consist of.

    Raises:
        UserError: a BPE, whose single characters are its bytes, which every text may need.
    """
    tokens = _Tokens.of(tokenizer)
    if tokens.kind == "BPE":
        raise UserError(
            "student.characters: got 'texts' for a BPE tokenizer, whose single characters are bytes; expected 'all'"
        )
    used = (tokens.names[number] for number in np.unique(token_ids).tolist() if number in tokens.names)
    return frozenset(character for token in used if token not in tokens.added for character in _bare(token))


def most_frequent(
    tokenizer: Tokenizer, token_ids: Integers, size: int, characters: frozenset[str] | None = None
) -> list[int]:
    """The ids to `trim` to so that exactly `size` tokens are left, `with_every_byte`: the most frequent ones with their
    parts and, if the texts have no more, those with the lowest ids, which BPE learns first and BERT sorts by frequency.

    A token whose parts do not fit is skipped in favour of less frequent ones that do.

    Args:
        characters: as for `trim`.

    Raises:
        UserError: fewer than the tokens that are always kept, more than there are, or an algorithm as for `trim`.
    """
    tokens = _Tokens.of(tokenizer)
    wanted = tokens.always(characters)
    usable = {
        number: name for number, name in tokens.names.items() if name in wanted or tokens.usable(name, characters)
    }
    others = len(missing_bytes(tokenizer))
    if not len(wanted) <= size - others <= len(usable):
        raise UserError(
            f"student.vocabulary: got {size}, expected {len(wanted) + others} (it always has special tokens, single "
            f"characters and bytes) to {len(usable) + others}"
        )
    size -= others
    ids, counts = np.unique(token_ids, return_counts=True)
    frequent = [number for number in ids[np.lexsort((ids, -counts))].tolist() if number in usable]
    order = dict.fromkeys([*frequent, *sorted(usable)])
    while len(wanted) < size:  # skipped tokens may fit once their parts are present
        for number in order:
            needed = tokens.closed([tokens.names[number]]) - wanted
            if len(wanted) + len(needed) <= size:
                wanted |= needed
    return sorted(number for number, name in tokens.names.items() if name in wanted)


def trim(tokenizer: Tokenizer, kept: Iterable[int], characters: frozenset[str] | None = None) -> Trimmed:
    """A tokenizer with these tokens only.

    Special tokens, single characters and bytes (so that no text becomes unknown), and whatever the algorithm needs to
    build the kept tokens stay as well.

    Args:
        characters: the single characters that stay; None: all of them.

    Raises:
        UserError: an algorithm other than WordPiece, BPE or Unigram.
    """
    content: dict[str, object] = {name: copy.deepcopy(part) for name, part in tokenizer.items() if name != "model"}
    tokens = _Tokens.of(tokenizer)
    model, vocabulary, names = dict(tokens.model), tokens.vocabulary, tokens.names
    content["model"] = model
    wanted = tokens.always(characters) | tokens.closed(names[i] for i in kept if i in names)
    ids = sorted(index for index, token in names.items() if token in wanted)
    renumbered = {names[old]: new for new, old in enumerate(ids)}
    if tokens.kind == "Unigram":
        pieces, unknown = model["vocab"], model.get("unk_id")
        assert isinstance(pieces, list)
        model["vocab"] = [pieces[i] for i in ids if i < len(pieces)]
        if unknown is not None:
            model["unk_id"] = ids.index(int(str(unknown)))
    else:
        model["vocab"] = {token: new for token, new in renumbered.items() if token in vocabulary}
    if tokens.kind == "BPE":
        merges = model["merges"]
        assert isinstance(merges, list)
        model["merges"] = [merge for merge in merges if {*_pair(merge), "".join(_pair(merge))} <= wanted]
    _renumber_added(content, renumbered)
    return Trimmed(content, ids)


def with_every_byte(trimmed: Trimmed) -> Trimmed:
    """The tokenizer with a token for each byte that it lacks, so that no text loses any, and every runtime gives each
    text the same ids: ONNX Runtime GenAI has -1 for a byte without a token, others leave it out.

    They come behind the algorithm's own tokens, before those that were added to them.
    """
    missing = missing_bytes(trimmed.content)
    if not missing:
        return trimmed
    content = copy.deepcopy(trimmed.content)
    model = content["model"]
    assert isinstance(model, dict)
    place = 1 + max(model["vocab"].values())
    model["vocab"] |= {token: place + number for number, token in enumerate(missing)}
    moved = {
        name: number + len(missing) if number >= place else number for name, number in added_tokens(content).items()
    }
    _renumber_added(content, moved)
    return Trimmed(content, [*trimmed.kept[:place], *[ADDED_BYTE] * len(missing), *trimmed.kept[place:]])


def cut_from(tokenizer: Tokenizer, smaller: Tokenizer) -> Trimmed:
    """A tokenizer described as trimmed from another, in one or several steps.

    Raises:
        UserError: it has a token that the other lacks, other than a byte.
    """
    own, others = (
        {name: number for number, name in _Tokens.of(vocabulary).names.items()} for vocabulary in (tokenizer, smaller)
    )
    own |= dict.fromkeys(missing_bytes(tokenizer), ADDED_BYTE)
    if (unknown := next((name for name in others if name not in own), None)) is not None:
        raise UserError(
            f"the student's vocabulary has {unknown[:40]!r}, which the teacher's lacks; expected a student with its "
            "teacher's tokens, or one made with init: trim_vocabulary"
        )
    return Trimmed(dict(smaller), [own[name] for name in sorted(others, key=others.__getitem__)])


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a tokenizer, and the parts each is merged from."""

    kind: str
    model: Mapping[str, object]
    vocabulary: Mapping[str, int]
    names: Mapping[int, str]
    added: frozenset[str]
    parts: Mapping[str, set[str]]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> _Tokens:
        model = tokenizer["model"]
        assert isinstance(model, dict)
        kind = str(model.get("type"))
        if kind not in ("WordPiece", "BPE", "Unigram"):
            raise UserError(
                f"init: trim_vocabulary supports WordPiece, BPE and Unigram tokenizers, this one is '{kind}'"
            )
        vocabulary, added = _vocabulary(model, kind), added_tokens(tokenizer)
        parts: dict[str, set[str]] = {}
        for merge in model["merges"] if kind == "BPE" else ():
            first, second = _pair(merge)
            parts.setdefault(first + second, set()).update((first, second))
        names = {index: token for token, index in (*vocabulary.items(), *added.items())}
        return cls(kind, model, vocabulary, names, frozenset(added), parts)

    def always(self, characters: frozenset[str] | None) -> set[str]:
        """The tokens that are always kept, with their parts."""
        singles = {token for token in self.vocabulary if len(_bare(token)) <= 1}
        wanted = set(self.added) | {token for token in singles if self.usable(token, characters)}
        if self.model.get("unk_token"):
            wanted.add(str(self.model["unk_token"]))
        if self.model.get("byte_fallback"):
            wanted |= self.vocabulary.keys() & set(BYTES)
        return self.closed(wanted)

    def usable(self, token: str, characters: frozenset[str] | None) -> bool:
        """Whether a text may contain it: none has BERT's reserved tokens, or a character that goes."""
        if _RESERVED.fullmatch(token):
            return False
        return characters is None or len(_bare(token)) != 1 or _bare(token) in characters

    def closed(self, tokens: Iterable[str]) -> set[str]:
        """These tokens with the parts they are merged from, recursively."""
        found: set[str] = set()
        waiting = list(tokens)
        while waiting:
            token = waiting.pop()
            if token not in found:
                found.add(token)
                waiting += self.parts.get(token, ())
        return found


def _pair(merge: object) -> tuple[str, str]:
    """The two parts of a merge, which older files write as one string."""
    parts = merge.split(" ", 1) if isinstance(merge, str) else merge
    assert isinstance(parts, list)
    return str(parts[0]), str(parts[1])


def _vocabulary(model: Mapping[str, object], kind: str) -> dict[str, int]:
    entries = model["vocab"]
    if kind == "Unigram":
        assert isinstance(entries, list)
        return {str(piece): i for i, (piece, _) in enumerate(entries)}
    assert isinstance(entries, dict)
    return {str(token): int(index) for token, index in entries.items()}


def _bare(token: str) -> str:
    """A token without the marker for continuing (WordPiece) or beginning (SentencePiece) a word."""
    return token.removeprefix("##").removeprefix("▁")


def _renumber_added(content: dict[str, object], renumbered: Mapping[str, int]) -> None:
    """Renumber the added tokens wherever a tokenizer names them."""
    added = content.get("added_tokens") or []
    assert isinstance(added, list)
    for entry in added:
        entry["id"] = renumbered[str(entry["content"])]
    _renumber(content.get("post_processor"), renumbered)
    padding = content.get("padding")
    if isinstance(padding, dict):
        padding["pad_id"] = renumbered[str(padding["pad_token"])]


def _renumber(part: object, renumbered: Mapping[str, int]) -> None:
    """Renumber the special tokens in a post-processor."""
    if isinstance(part, list):
        for entry in part:
            _renumber(entry, renumbered)
    if not isinstance(part, dict):
        return
    for key in ("sep", "cls"):
        pair = part.get(key)
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], int):
            part[key] = [pair[0], renumbered[str(pair[0])]]
    specials = part.get("special_tokens")
    if isinstance(specials, dict):
        for entry in specials.values():
            tokens: Sequence[str] = entry["tokens"]
            entry["ids"] = [renumbered[token] for token in tokens]
    _renumber(part.get("processors"), renumbered)
