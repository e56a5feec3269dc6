"""Alignment of a teacher's own tokens with the trimmed tokens of the same text.

The teacher gets only its own tokens: row n of its output is its distribution after n + 1 of them. At each position
between two trimmed tokens, it may be inside a token that began earlier. Every pair of a row and such a position that is
consistent with the trimmed tokens in between is a *reading*: the teacher began a token there whose re-encoding
continues like the text. Bytes that the teacher leaves out of texts are empty to it, and no position before one is
taught.

At some positions a token may end where the text's own continues (`walk` in `walking`). The teacher's distribution for
that case is in none of its rows. It can be computed with the ended token on a *branch* that only attends to what came
before it. `branched` gives the input for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgedistill.arrays import Booleans, Integers
from edgedistill.vocabulary.re_encoding import ReEncoding


@dataclass(frozen=True, eq=False)
class Readings:
    """R readings: after trimmed token `place`, the teacher of row `row` has begun a token with the pieces of a node."""

    row: Integers
    place: Integers
    node: Integers
    depth: Integers
    """The number of those pieces."""

    def where(self, chosen: Booleans) -> Readings:
        return Readings(self.row[chosen], self.place[chosen], self.node[chosen], self.depth[chosen])

    def __add__(self, other: Readings) -> Readings:
        names = ("row", "place", "node", "depth")
        return Readings(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))


@dataclass(frozen=True, eq=False)
class Alignment:
    """N tokens of a teacher and the M trimmed tokens of the same text; B branches, N + B rows of the teacher."""

    own: Integers
    """(N,) the teacher's ids."""
    start: Integers
    """(N + B,) the trimmed token after which each teacher row predicts; -1 if a trimmed token spans the position."""
    branch_after: Integers
    """(B,) the token of `own` that a branch follows."""
    branch_token: Integers
    """(B,) the token that ends there."""
    readings: Readings
    """Begun tokens that may continue."""
    ended: Readings
    """Begun tokens that may end where the teacher's continuation was not computed."""
    mask: Booleans
    """(M,) where the next trimmed token is inside a teacher token, so that the tree gives its probability."""
    lost: int
    """Ends of teacher tokens that are not the end of a trimmed token."""

    @property
    def rows(self) -> int:
        """M."""
        return len(self.mask)


def align(
    re_encoding: ReEncoding, own: Sequence[int] | Integers, trimmed: Sequence[int] | Integers, *, branches: bool
) -> Alignment:
    """Align a text's tokens.

    Args:
        own: (N,) the teacher's ids of a text, which may be longer than the trimmed tokens.
        trimmed: (M,) the trimmed tokenizer's ids of it.
        branches: whether branches will be computed as well; without them, positions where a token may end that the text
            does not end are only partly known.

    Raises:
        ValueError: tokens of different texts, or none.
    """
    own, trimmed = np.asarray(own, np.int64), np.asarray(trimmed, np.int64)
    if not len(own) or not len(trimmed):
        raise ValueError("there are no tokens to align")
    texts = re_encoding.bytes_of(own), re_encoding.bytes_of(re_encoding.kept[trimmed])
    if not np.array_equal(texts[0][: len(texts[1])], texts[1]):
        raise ValueError(f"{len(own)} teacher tokens and {len(trimmed)} trimmed tokens come from different texts")
    ends, places = re_encoding.ends_of(own), re_encoding.ends_of(re_encoding.kept[trimmed])
    # A byte that the teacher leaves out ends where the token before it does: its next token is the one after that byte.
    nearest = np.maximum(np.searchsorted(places, ends, side="right") - 1, 0)
    start = np.where(places[nearest] == ends, nearest, -1)
    readings = _walk(re_encoding, start, 0, trimmed)
    token = re_encoding.tree.token[readings.node]
    following = np.append(own[1:], -1)[readings.row]
    ended = readings.where((token >= 0) & (token != following))
    branch_after, branch_token = ended.row[:0], ended.row[:0]
    if branches:
        branch_after, branch_token = ended.row, re_encoding.tree.token[ended.node]
        start = np.concatenate([start, ended.place])
        more = _walk(re_encoding, ended.place, len(own), trimmed)
        readings, ended = readings + more, more.where(re_encoding.tree.token[more.node] >= 0)
    first, last = re_encoding.tree.longer(readings.node)
    return Alignment(
        own,
        start,
        branch_after,
        branch_token,
        readings.where(first < last),
        ended,
        _on_path(re_encoding, own, start[: len(own)], trimmed),
        int((start[: len(own)][ends <= places[-1]] < 0).sum()),
    )


def branched(alignment: Alignment) -> tuple[Integers, Integers, Booleans]:
    """The input of a causal model for computing all rows at once.

    Returns:
        (N + B,) token ids, (N + B,) their positions, and (N + B, N + B) the attention mask.
    """
    count, after = len(alignment.own), alignment.branch_after
    ids = np.concatenate([alignment.own, alignment.branch_token])
    positions = np.concatenate([np.arange(count), after + 1])
    seen = np.concatenate([np.arange(count), after])[:, None] >= np.arange(len(ids))
    return ids, positions, seen | np.eye(len(ids), dtype=np.bool_)


def _walk(re_encoding: ReEncoding, start: Integers, first_row: int, trimmed: Integers) -> Readings:
    """Follow the text from each row's start as long as some re-encoding continues like it.

    Returns:
        The readings after at least one piece.
    """
    tree, kept = re_encoding.tree, len(re_encoding.kept)
    row: Integers = np.flatnonzero(start >= 0)
    place, node, depth = start[row], np.zeros_like(row), 0
    found = Readings(*(row[:0],) * 4)
    while len(row):
        inside = place + 1 < len(trimmed)
        row, place, node = row[inside], place[inside] + 1, node[inside]
        node, depth = tree.children(node, trimmed[place], kept), depth + 1
        known = node > 0
        row, place, node = row[known], place[known], node[known]
        found = found + Readings(row + first_row, place, node, np.full_like(row, depth))
    return found


def _on_path(re_encoding: ReEncoding, own: Integers, start: Integers, trimmed: Integers) -> Booleans:
    """(M,) after which trimmed tokens the text continues with a piece of the teacher's own token there; and whether its
    end is the end of such a piece."""
    final, lengths = len(trimmed) - 1, np.diff(re_encoding.offsets)
    mask = np.zeros(len(trimmed), np.bool_)
    mask[final] = start[-1] == final
    row: Integers = np.flatnonzero(start[:-1] >= 0)
    place, token, depth = start[row], own[row + 1], 0
    while len(place):
        mask[place[place == final]] = True
        inside = (place < final) & (depth < lengths[token])
        place, token = place[inside], token[inside]
        same = re_encoding.pieces[re_encoding.offsets[token] + depth] == trimmed[place + 1]
        place, token = place[same], token[same]
        mask[place] = True
        place, depth = place + 1, depth + 1
    return mask
