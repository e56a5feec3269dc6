"""The text of tokens while they are generated. Needs nothing but the tokenizer it is given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_INCOMPLETE = "\ufffd"
"""How a decoder shows bytes that are no character, or not yet."""
_MOST = 16
"""Tokens that are held back at most. A character has up to 4 bytes, but each token may end inside of one."""


def pieces(tokenizer: Tokenizer, prompt: Sequence[int], tokens: Iterable[int]) -> Iterator[str]:
    """The text of new tokens after others, in pieces of complete characters, without special tokens.

    Together they are what the whole text has after the prompt's. Bytes that are no character become U+FFFD; text before
    them, which the decoders of some tokenizers (byte fallback) would turn into U+FFFD as well, has been yielded already
    and stands. Only the last tokens are decoded with each new one, since a token's text depends on its neighbours alone
    (a leading space; the bytes of one character).
    """
    special = {token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special}

    def shown_tokens(given: Iterable[int]) -> Iterator[int]:
        return (token for token in given if token not in special and tokenizer.id_to_token(token) is not None)

    before, held = list(shown_tokens(prompt)), list[int]()
    known, rest = tokenizer.decode(before), ""
    for token in shown_tokens(tokens):
        held.append(token)
        text = tokenizer.decode(before + held)
        # Bytes at the end of `before` may be no character together with the new ones, or not yet.
        rest = text[len(known) :] if text.startswith(known) else tokenizer.decode(held)
        if rest.endswith(_INCOMPLETE) and len(held) < _MOST:
            continue
        if piece := rest.removesuffix(_INCOMPLETE):
            yield piece
        before, held, rest = held, [], rest[len(piece) :]
        known = tokenizer.decode(before).removesuffix(rest)
    if rest:
        yield rest
