"""The text of generated tokens in pieces, while they are generated. Needs only `tokenizers`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

_BEFORE = 5
"""Tokens of the prompt that the first piece is decoded after: decoders treat the beginning of a text differently."""
_INCOMPLETE = "\ufffd"


class Decodes(Protocol):
    """A `tokenizers.Tokenizer`."""

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = True) -> str: ...


def pieces(tokenizer: Decodes, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """The text that each token adds after the prompt's, held back while it ends within a character.

    Each piece is decoded together with the one before, not with all of the text, so the cost is linear. (A
    `DecodeStream` raises where bytes that are no character follow an ASCII byte that was shown already.)
    """
    every, start, shown = list(prompt), max(0, len(prompt) - _BEFORE), len(prompt)

    def rest() -> str:
        before = tokenizer.decode(every[start:shown], skip_special_tokens=True)
        return tokenizer.decode(every[start:], skip_special_tokens=True)[len(before) :]

    for token in tokens:
        every.append(token)
        piece = rest()
        if piece and not piece.endswith(_INCOMPLETE):
            yield piece
            start, shown = shown, len(every)
    if piece := rest():
        yield piece
