"""Fewer tokens in a fast tokenizer: `tokenizer.json` as data, without the library that runs it. Pure.

Text whose tokens are all kept is cut as before: WordPiece takes the longest match, and what was the longest still is;
BPE keeps every merge on the way to a kept token; a Unigram path through kept pieces is still the best.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgedistill.arrays import Integers
from edgedistill.errors import UserError

Tokenizer = Mapping[str, object]


def frequent_tokens(token_ids: Integers, coverage: float) -> list[int]:
    """The most frequent ids that together make up `coverage` of the occurrences, sorted."""
    ids, counts = np.unique(token_ids, return_counts=True)
    order = np.lexsort((ids, -counts))
    reached = np.cumsum(counts[order]) / counts.sum()
    needed = int(np.searchsorted(reached, coverage - 1e-12)) + 1
    return sorted(int(i) for i in ids[order][:needed])


def trim(tokenizer: Tokenizer, kept: Iterable[int]) -> tuple[dict[str, object], list[int]]:
    """A tokenizer with these tokens only, and their ids in the original, in the new order.

    Special tokens, single characters (so that no text becomes unknown that wasn't), and what the algorithm needs to
    build the kept tokens stay as well. The order of the originals is kept.

    Raises:
        UserError: an algorithm other than WordPiece, BPE or Unigram.
    """
    content: dict[str, object] = copy.deepcopy(dict(tokenizer))
    model = content["model"]
    assert isinstance(model, dict)
    kind = str(model.get("type"))
    if kind not in ("WordPiece", "BPE", "Unigram"):
        raise UserError(f"init: trim_vocabulary knows WordPiece, BPE and Unigram tokenizers, this one is '{kind}'")
    vocabulary = _vocabulary(model, kind)
    names = {index: token for token, index in vocabulary.items()}
    added = content.get("added_tokens") or []
    assert isinstance(added, list)
    names |= {int(entry["id"]): str(entry["content"]) for entry in added}
    wanted = {names[i] for i in kept if i in names} | {str(entry["content"]) for entry in added}
    wanted |= {token for token in vocabulary if len(_bare(token)) <= 1}
    if model.get("unk_token"):
        wanted.add(str(model["unk_token"]))
    if kind == "BPE":
        _close_merges(model, wanted)
    ids = sorted(index for index, token in names.items() if token in wanted)
    renumbered = {names[old]: new for new, old in enumerate(ids)}
    if kind == "Unigram":
        pieces, unknown = model["vocab"], model.get("unk_id")
        model["vocab"] = [pieces[i] for i in ids if i < len(pieces)]
        if unknown is not None:
            model["unk_id"] = ids.index(int(unknown))
    else:
        model["vocab"] = {token: new for token, new in renumbered.items() if token in vocabulary}
    for entry in added:
        entry["id"] = renumbered[str(entry["content"])]
    _renumber(content.get("post_processor"), renumbered)
    padding = content.get("padding")
    if isinstance(padding, dict):
        padding["pad_id"] = renumbered[str(padding["pad_token"])]
    return content, ids


def _vocabulary(model: Mapping[str, object], kind: str) -> dict[str, int]:
    entries = model["vocab"]
    if kind == "Unigram":
        assert isinstance(entries, list)
        return {str(piece): i for i, (piece, _) in enumerate(entries)}
    assert isinstance(entries, dict)
    return {str(token): int(index) for token, index in entries.items()}


def _bare(token: str) -> str:
    """A token without the mark that it continues a word (WordPiece) or begins one (SentencePiece)."""
    return token.removeprefix("##").removeprefix("▁")


def _close_merges(model: dict[str, object], wanted: set[str]) -> None:
    """Add to `wanted` what every kept token is merged from, and drop the merges that lead nowhere else."""
    merges = model["merges"]
    assert isinstance(merges, list)
    pairs = [tuple(merge.split(" ", 1)) if isinstance(merge, str) else tuple(merge) for merge in merges]
    for first, second in reversed(pairs):  # a token's parts were merged before it
        if first + second in wanted:
            wanted |= {first, second}
    model["merges"] = [merge for merge, (a, b) in zip(merges, pairs, strict=True) if {a, b, a + b} <= wanted]


def _renumber(part: object, renumbered: Mapping[str, int]) -> None:
    """New ids wherever a post-processor names a special token with its id."""
    if isinstance(part, list):
        for each in part:
            _renumber(each, renumbered)
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
