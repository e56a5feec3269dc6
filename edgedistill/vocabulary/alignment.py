"""Where a teacher's own tokens and the trimmed tokens of the same text meet: the reading of a teacher in other tokens.

The teacher reads its own tokens, and nothing else: row n of what it says is its distribution after n + 1 of them. At
each place between two trimmed tokens, it may be inside a token that it began earlier. Every pair of a row and such a
place that the trimmed tokens since then allow is a *reading*: the teacher began a token there whose re-encoding
goes on as the text does.

At some places a token may end where the text's own goes on (`walk` in `walking`). What the teacher would say then is in
none of its rows. It can be asked: the ended token on a *branch*, beside the text's own tokens, that sees only what came
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
    """R times: after trimmed token `place`, the teacher of row `row` has begun a token with the pieces of a node."""

    row: Integers
    place: Integers
    node: Integers
    depth: Integers
    """How many pieces those are."""

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
    """(N + B,) after which trimmed token each row of the teacher speaks; -1 where a trimmed token spans the place."""
    branch_after: Integers
    """(B,) the token of `own` that a branch follows."""
    branch_token: Integers
    """(B,) the token that ends there."""
    readings: Readings
    """Begun tokens that may go on."""
    ended: Readings
    """Begun tokens that may end where the teacher wasn't asked how it would go on."""
    mask: Booleans
    """(M,) where the next trimmed token lies within a token of the teacher, so that the tree tells its probability."""
    lost: int
    """Ends of the teacher's tokens that are no end of a trimmed one."""

    @property
    def rows(self) -> int:
        """M."""
        return len(self.mask)


def align(
    re_encoding: ReEncoding, own: Sequence[int] | Integers, trimmed: Sequence[int] | Integers, *, branches: bool
) -> Alignment:
    """Align a text's tokens.

    Args:
        own: (N,) the teacher's ids of a text; it may go on after the trimmed tokens end.
        trimmed: (M,) the trimmed tokenizer's ids of it.
        branches: whether the teacher will be asked on branches as well; without, places where a token may end that the
            text doesn't end are known in part only.

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
    nearest = np.minimum(np.searchsorted(places, ends), len(places) - 1)
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
    """What a causal model is given to answer with all rows at once.

    Returns:
        (N + B,) token ids, (N + B,) their positions, and (N + B, N + B) which tokens each of them sees.
    """
    count, after = len(alignment.own), alignment.branch_after
    ids = np.concatenate([alignment.own, alignment.branch_token])
    positions = np.concatenate([np.arange(count), after + 1])
    seen = np.concatenate([np.arange(count), after])[:, None] >= np.arange(len(ids))
    return ids, positions, seen | np.eye(len(ids), dtype=np.bool_)


def _walk(re_encoding: ReEncoding, start: Integers, first_row: int, trimmed: Integers) -> Readings:
    """Follow the text from each row's start for as long as there is a re-encoding that goes on so.

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
    """(M,) after which trimmed tokens the text goes on with a piece of the teacher's own token there; and whether its
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
