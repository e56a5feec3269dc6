"""The re-encoding of every teacher token by a trimmed tokenizer, as a tree: built once, saved, and quick to load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Integers
from edgedistill.vocabulary.token_bytes import Tokenizer, added_tokens, token_bytes
from edgedistill.vocabulary.trimming import ADDED_BYTE, Trimmed

_FORMAT = "edgedistill/re-encoding/1"


@dataclass(frozen=True)
class Tree:
    """A prefix tree of all re-encodings. Node 0 is the empty prefix; children follow by level, then in order.

    Tokens are sorted by their re-encodings, so that those below a node are contiguous.
    """

    order: Integers
    """(V',) the teacher's tokens, sorted."""
    first: Integers
    """(D,) by node, start in `order` of the tokens below it, beginning with its own if any."""
    last: Integers
    """(D,) their end, exclusive."""
    token: Integers
    """(D,) the token whose whole re-encoding is this node; -1 if none."""
    keys: Integers
    """(D - 1,) ascending: parent x K + piece of the nodes from 1 on."""

    def children(self, nodes: Integers, pieces: Integers, kept: int) -> Integers:
        """(R,) the child of each node for a piece; -1 if no re-encoding continues with it."""
        wanted = nodes * kept + pieces
        where = np.searchsorted(self.keys, wanted)
        found = where < len(self.keys)
        found[found] = self.keys[where[found]] == wanted[found]
        return np.where(found, where + 1, -1)

    def longer(self, nodes: Integers) -> tuple[Integers, Integers]:
        """(R,) range in `order` of the tokens whose re-encodings continue after a node."""
        return self.first[nodes] + (self.token[nodes] >= 0), self.last[nodes]


@dataclass(frozen=True, eq=False)
class ReEncoding:
    """V teacher tokens as pieces from a vocabulary of K of them; a kept token is its own piece.

    Ids that are not tokens (padding of an embedding table) have neither text nor pieces.
    """

    kept: Integers
    """(K,) the teacher's ids of the kept tokens, in the order of their ids in the trimmed tokenizer; V, an empty text,
    for a byte that the teacher leaves out of its texts."""
    text: NDArray[np.uint8]
    """The bytes of all tokens, concatenated."""
    text_offsets: Integers
    """(V + 2,) start of each token's bytes, and of the empty text's."""
    pieces: Integers
    """Indices of kept tokens: the re-encodings of all tokens, concatenated."""
    offsets: Integers
    """(V + 1,) start of each token's pieces."""

    @classmethod
    def of(cls, tokenizer: Tokenizer, trimmed: Trimmed) -> ReEncoding:
        """The re-encodings of a tokenizer's tokens.

        Raises:
            UserError: neither byte-level BPE nor BPE with byte fallback.
        """
        from tokenizers import Tokenizer as Runner

        texts = token_bytes(tokenizer)
        width = max(texts) + 1
        runner = Runner.from_str(json.dumps(trimmed.content)).model  # without its pre-tokenizer: tokens may span words
        number = {old: new for new, old in enumerate(trimmed.kept) if old != ADDED_BYTE}
        vocabulary = tokenizer["model"]["vocab"]  # type: ignore[index]
        names = {index: token for token, index in vocabulary.items()} | {
            index: token for token, index in added_tokens(tokenizer).items()
        }
        pieces: list[list[int]] = [[] for _ in range(width)]
        for token in texts:
            own = number.get(token)
            pieces[token] = [piece.id for piece in runner.tokenize(names[token])] if own is None else [own]
        flat = b"".join(texts.get(token, b"") for token in range(width))
        return cls(
            np.array([width if token == ADDED_BYTE else token for token in trimmed.kept], np.int64),
            np.frombuffer(flat, np.uint8),
            _starts([len(texts.get(token, b"")) for token in range(width + 1)]),
            np.array([piece for spelling in pieces for piece in spelling], np.int64),
            _starts([len(spelling) for spelling in pieces]),
        )

    @property
    def tokens(self) -> int:
        """V: one more than the highest id of a token."""
        return len(self.offsets) - 1

    @cached_property
    def first_pieces(self) -> Integers:
        """(V,) the first piece of each token; 0 for ids that are not tokens."""
        return np.where(self.real, self.pieces[np.minimum(self.offsets[:-1], len(self.pieces) - 1)], 0)

    @cached_property
    def real(self) -> NDArray[np.bool_]:
        """(V,) which ids are tokens."""
        return np.diff(self.offsets) > 0

    @cached_property
    def tree(self) -> Tree:
        """The prefix tree of the re-encodings."""
        lengths = np.diff(self.offsets)
        table = np.full((self.tokens, int(lengths.max())), -1, np.int32)
        table[np.arange(table.shape[1]) < lengths[:, None]] = self.pieces
        order = np.lexsort(table.T[::-1])
        order = order[lengths[order] > 0]
        table, lengths, kept = table[order], lengths[order], len(self.kept)
        first, last, token, keys = [np.array([0])], [np.array([len(order)])], [np.array([-1])], []
        above, nodes = np.zeros(len(order), np.int64), 1
        for depth in range(table.shape[1]):
            rows = np.flatnonzero(lengths > depth)
            key = above[rows] * kept + table[rows, depth]
            starts = np.flatnonzero(np.diff(key, prepend=-1))
            first.append(rows[starts])
            last.append(rows[np.append(starts[1:], len(rows)) - 1] + 1)
            whole = lengths[first[-1]] == depth + 1  # the shortest one with this prefix is first
            token.append(np.where(whole, order[first[-1]], -1))
            keys.append(key[starts])
            above[rows] = nodes + np.repeat(np.arange(len(starts)), np.diff(starts, append=len(rows)))
            nodes += len(starts)
        return Tree(order, *(np.concatenate(parts).astype(np.int64) for parts in (first, last, token, keys)))

    def bytes_of(self, ids: Integers) -> NDArray[np.uint8]:
        """The text of a sequence of the teacher's tokens."""
        return self.text[_spread(self.text_offsets, ids)]

    def ends_of(self, ids: Integers) -> Integers:
        """(N,) end of each token of a sequence in bytes."""
        return np.cumsum(self.text_offsets[ids + 1] - self.text_offsets[ids])

    def save(self, file: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        save_file(arrays, file, metadata={"format": _FORMAT})

    @classmethod
    def open(cls, file: Path) -> ReEncoding:
        """Read what `save` wrote.

        Raises:
            ValueError: the file has other contents.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, framework="numpy") as stored:
                if (stored.metadata() or {}).get("format") != _FORMAT:
                    raise ValueError(f"{file.name} does not contain re-encodings")
                return cls(*(stored.get_tensor(name) for name in _ARRAYS))
        except SafetensorError as error:
            raise ValueError(f"{file.name} is not a safetensors file: {error}") from error


_ARRAYS = ("kept", "text", "text_offsets", "pieces", "offsets")


def _starts(lengths: Sequence[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _spread(offsets: Integers, chosen: Integers) -> Integers:
    """The indices of all values of the chosen sequences, concatenated."""
    lengths = offsets[chosen + 1] - offsets[chosen]
    return np.repeat(offsets[chosen] - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
