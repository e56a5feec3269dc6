"""Rows of language models as documents: the tokens of a row's whole text, and which of them are to be predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Integers
from edgedistill.tasks._language_chat import Spans, rendered
from edgedistill.tasks._language_prompt import opening

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT, PROMPT, COMPLETION, MESSAGES = "text", "prompt", "completion", "messages"
"""The columns of plain text, of a prompt with its completion, and of a chat."""


@dataclass(frozen=True)
class _Text:
    """One row as text."""

    text: str
    asked: Spans
    """Characters to predict."""
    own: Spans
    """Of these, the ones that are the data's own: a chat template's do not count as bytes of text."""


@dataclass(frozen=True)
class _Tokens:
    """The tokens of a text."""

    ids: Integers
    """(n,)"""
    places: Integers
    """(n, 2) start and end of each in characters, without white space if the tokenizer trims offsets."""
    added: Booleans
    """(n,) whether the tokenizer added it to the text."""


@dataclass(frozen=True)
class Document:
    """One tokenized row."""

    ids: Integers
    """(n,)"""
    bytes: Integers
    """(n,) bytes of the row's own text that each token adds."""
    asked: Booleans
    """(n,) whether it is to be predicted."""


def documents(
    rows: Mapping[str, Sequence[object]], named: Mapping[str, str], tokenizer: PreTrainedTokenizerBase
) -> list[Document]:
    """One document per row.

    Args:
        rows: by column.
        named: the column of each of `TEXT`, or `PROMPT` and `COMPLETION`, or `MESSAGES`.

    Raises:
        UserError: messages that the tokenizer's chat template rejects.
    """
    chats = MESSAGES in named
    texts = _texts(rows, named, tokenizer)
    tokens = _tokens([text.text for text in texts], tokenizer, special=not chats)
    return [
        _document(text, own, tokenizer, start=not chats, end=COMPLETION in named)
        for text, own in zip(texts, tokens, strict=True)
    ]


def _texts(
    rows: Mapping[str, Sequence[object]], named: Mapping[str, str], tokenizer: PreTrainedTokenizerBase
) -> list[_Text]:
    if MESSAGES in named:
        chats = [rendered(tokenizer, messages) for messages in rows[named[MESSAGES]]]
        return [_Text(text, [own.whole for own in said], [own.content for own in said]) for text, said in chats]
    if COMPLETION in named:
        both = zip(rows[named[PROMPT]], rows[named[COMPLETION]], strict=True)
        return [_text_after(str(prompt), str(completion)) for prompt, completion in both]
    return [_text_after("", str(text)) for text in rows[named[TEXT]]]


def _text_after(prompt: str, text: str) -> _Text:
    own = [(len(prompt), len(prompt + text))]
    return _Text(prompt + text, own, own)


def _tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, special: bool) -> list[_Tokens]:
    found = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # a text longer than the context is split into windows
    )
    return [
        _Tokens(
            np.asarray(ids, np.int64), np.asarray(places, np.int64).reshape(-1, 2), np.asarray(added, np.int64) == 1
        )
        for ids, places, added in zip(
            found["input_ids"], found["offset_mapping"], found["special_tokens_mask"], strict=True
        )
    ]


def _document(text: _Text, tokens: _Tokens, tokenizer: PreTrainedTokenizerBase, *, start: bool, end: bool) -> Document:
    """A text's tokens. Those that lie in a span that is asked are predicted.

    Args:
        start: whether the text begins with a beginning-of-text (or else end-of-text) token, so that its first token is
            predicted too.
        end: whether it ends with an end-of-text token, which is predicted too.
    """
    ids, added = tokens.ids, _bytes_added(text, tokens.places)
    first, behind = _extents(tokens.places)
    own = np.zeros(len(ids), np.bool_)
    for a, b in text.asked:
        own |= (first >= a) & (first < b) & (behind <= b) & ~tokens.added
    begins = opening(tokenizer)
    if start and begins is not None and (not len(ids) or ids[0] != begins):
        ids, added, own = np.insert(ids, 0, begins), np.insert(added, 0, 0), np.insert(own, 0, False)
    closing = tokenizer.eos_token_id
    if end and closing is not None:
        if ids[-1] != closing:
            ids, added, own = np.append(ids, closing), np.append(added, 0), np.append(own, True)
        own[-1] = True
    return Document(ids, added, own)


def _extents(places: Integers) -> tuple[Integers, Integers]:
    """(n,) start and (n,) end of tokens in characters. One of white space alone has only an end where a tokenizer trims
    offsets (GPT-NeoX), and so begins where the token before it ends."""
    first, behind = places[:, 0], places[:, 1]
    before = np.concatenate([[0], np.maximum.accumulate(behind)])[:-1] if len(places) else first
    return np.where(first == behind, np.minimum(first, before), first), behind


def _bytes_added(text: _Text, places: Integers) -> Integers:
    """(n,) the bytes of a row's own text that each token adds to those before it, counting every byte once.

    A character with several tokens counts with the first; characters without a token (removed by normalisation) count
    with the next token, or at the end with the last.
    """
    points = np.frombuffer(text.text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    own = np.zeros(len(points), np.bool_)
    for first, behind in text.own:
        own[first:behind] = True
    before = np.concatenate([[0], np.cumsum(widths * own)])
    reached = np.maximum.accumulate(before[places[:, 1]]) if len(places) else np.zeros(0, np.int64)
    if len(reached):
        last = int(np.flatnonzero(reached == reached[-1])[0])  # tokens after it have no text
        reached[last:] = before[-1]
    return np.diff(reached, prepend=0)
