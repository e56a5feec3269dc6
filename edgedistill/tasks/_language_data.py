"""The data part of language models: plain text, prompt with completion, or chat, split into windows of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Array, Booleans, Integers
from edgedistill.contracts.items import Items
from edgedistill.contracts.sequences import Sequences
from edgedistill.contracts.task import DataColumns, Encoder
from edgedistill.errors import shown
from edgedistill.tasks._language_chat import Spans, rendered
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS, columns
from edgedistill.tasks._language_prompt import opening

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TEXT, PROMPT, COMPLETION, MESSAGES = "text", "prompt", "completion", "messages"

COLUMNS = DataColumns(
    (TEXT,),
    None,
    texts=(TEXT, PROMPT, COMPLETION),
    forms=((PROMPT, COMPLETION), (MESSAGES,)),
    self_supervised=True,
)


def problem(row: Mapping[str, object], named: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a raw row, or None."""
    for key in (TEXT, PROMPT, COMPLETION):
        if key not in named:
            continue
        value = row.get(named[key])
        if not isinstance(value, str):
            return f"'{named[key]}' is {shown(value)}, expected text"
        if not value and key != PROMPT:
            return f"'{named[key]}' is empty, expected text"
    return _messages_problem(row.get(named[MESSAGES]), named[MESSAGES]) if MESSAGES in named else None


def _messages_problem(messages: object, name: str) -> str | None:
    if not isinstance(messages, list) or not messages:
        return f"'{name}' is {shown(messages)}, expected a list of messages"
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, dict) or not all(isinstance(message.get(key), str) for key in ("role", "content")):
            return f"message {number} of '{name}' is {shown(message)}, expected an object with role and content"
    if not any(message["role"] == "assistant" and message["content"] for message in messages):
        return f"'{name}' has no message with the role assistant, expected at least one: only these are trained on"
    return None


def show(row: Mapping[str, object], named: Mapping[str, str]) -> str:
    """The whole text, or a chat's messages as JSON."""
    if MESSAGES in named:
        return json.dumps(row[named[MESSAGES]], ensure_ascii=False)
    return "".join(str(row[named[key]]) for key in (TEXT, PROMPT, COMPLETION) if key in named)


@dataclass(frozen=True)
class _Document:
    """One tokenized row."""

    ids: Integers
    """(n,)"""
    bytes: Integers
    """(n,) bytes of text that each token adds."""
    asked: Booleans
    """(n,) whether it is to be predicted."""


def encode(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Items:
    """Windows of `max_length` tokens of each row's text, with next-token targets.

    Raises:
        UserError: messages that the tokenizer's chat template rejects.
    """
    tokenizer = encoder.tokenizer
    assert tokenizer is not None, "text tasks have a tokenizer"
    parts = [_windows(document, encoder.max_length) for document in _documents(rows, encoder.columns, tokenizer)]
    lengths = np.array([len(ids) for windows in parts for ids, _, _ in windows], np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids, following, added = (
        np.concatenate([window[place] for windows in parts for window in windows] or [np.zeros(0, np.int64)])
        for place in range(3)
    )
    values: dict[str, Array] = {
        TOKENS: ids.astype(np.int64),
        MASK: np.ones(len(ids), np.int64),
        NEXT: following.astype(np.int32),
        BYTES: added.astype(np.int32),
    }
    named = columns(tokenizer.pad_token_id or 0)
    example = np.repeat(np.arange(len(parts)), [len(windows) for windows in parts]).astype(np.int64)
    return Items(named, values, dict.fromkeys(named, offsets), example, TOKENS).checked()


def sequences(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Sequences:
    """Each row's whole text as tokens, with the positions of the windows and decisions of `encode`."""
    tokenizer = encoder.tokenizer
    assert tokenizer is not None, "text tasks have a tokenizer"
    documents = _documents(rows, encoder.columns, tokenizer)
    lengths = [len(document.ids) for document in documents]
    places = [
        (number, a, a + np.flatnonzero(document.asked[a + 1 : b + 1]))
        for number, document in enumerate(documents)
        for a, b in _kept(document, encoder.max_length)
    ]
    return Sequences(
        ids=np.concatenate([document.ids for document in documents]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        example=np.array([number for number, _, _ in places], np.int64),
        first=np.array([first for _, first, _ in places], np.int64),
        item=np.repeat(np.arange(len(places)), [len(after) for _, _, after in places]),
        after=np.concatenate([after for _, _, after in places]).astype(np.int64),
    )


def _windows(document: _Document, length: int) -> list[tuple[Integers, Integers, Integers]]:
    """(inputs, next tokens, their bytes) of each window that is kept."""
    inputs = document.ids[:-1] if len(document.ids) > 1 else document.ids
    following = np.full(len(inputs), NONE, np.int64)
    added = np.zeros(len(inputs), np.int64)
    if len(document.ids) > 1:
        following = np.where(document.asked[1:], document.ids[1:], NONE)
        added = np.where(document.asked[1:], document.bytes[1:], 0)
    return [(inputs[a:b], following[a:b], added[a:b]) for a, b in _kept(document, length)]


def _kept(document: _Document, length: int) -> list[tuple[int, int]]:
    """(start, end) of each window with targets; the first window if there are none."""
    count = max(len(document.ids) - 1, 1)
    every = list(pairwise([*range(0, count, length), count]))
    return [(a, b) for a, b in every if document.asked[a + 1 : b + 1].any()] or every[:1]


def _documents(
    rows: Mapping[str, Sequence[object]], named: Mapping[str, str], tokenizer: PreTrainedTokenizerBase
) -> list[_Document]:
    if MESSAGES in named:
        chats = [rendered(tokenizer, messages) for messages in rows[named[MESSAGES]]]
        texts, spans = [text for text, _ in chats], [own for _, own in chats]
        return [
            _document(ids, places, text, own, tokenizer, start=False, end=False)
            for ids, places, text, own in zip(*_tokens(texts, tokenizer, special=False), texts, spans, strict=True)
        ]
    if COMPLETION in named:
        prompts, completions = ([str(text) for text in rows[named[key]]] for key in (PROMPT, COMPLETION))
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        spans = [[(len(prompt), len(text))] for prompt, text in zip(prompts, texts, strict=True)]
    else:
        texts = [str(text) for text in rows[named[TEXT]]]
        spans = [[(0, len(text))] for text in texts]
    return [
        _document(ids, places, text, own, tokenizer, start=True, end=COMPLETION in named)
        for ids, places, text, own in zip(*_tokens(texts, tokenizer, special=True), texts, spans, strict=True)
    ]


def _tokens(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, special: bool
) -> tuple[list[Integers], list[Integers]]:
    """For each text, (n,) ids and (n, 2) character spans of the tokens."""
    found = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # a text longer than the context is split into windows
    )
    ids: list[Integers] = [np.asarray(tokens, np.int64) for tokens in found["input_ids"]]
    return ids, [np.asarray(offsets, np.int64).reshape(-1, 2) for offsets in found["offset_mapping"]]


def _document(
    ids: Integers,
    places: Integers,
    text: str,
    asked: Spans,
    tokenizer: PreTrainedTokenizerBase,
    *,
    start: bool,
    end: bool,
) -> _Document:
    """A text's tokens.

    Args:
        ids: (n,)
        places: (n, 2) start and end of each in characters; (0, 0) for tokens without text.
        asked: spans of characters to predict, as (start, end); a token belongs to a span by its first character.
        start: whether the text begins with a beginning-of-text (or else end-of-text) token, so that its first token is
            predicted too.
        end: whether it ends with an end-of-text token, which is predicted too.
    """
    added = _bytes_added(text, places)
    own = np.zeros(len(ids), np.bool_)
    for first, behind in asked:
        own |= (places[:, 0] >= first) & (places[:, 0] < behind) & (places[:, 1] > places[:, 0])
    begins = opening(tokenizer)
    if start and begins is not None and (not len(ids) or ids[0] != begins):
        ids, added, own = np.insert(ids, 0, begins), np.insert(added, 0, 0), np.insert(own, 0, False)
    closing = tokenizer.eos_token_id
    if end and closing is not None:
        if ids[-1] != closing:
            ids, added, own = np.append(ids, closing), np.append(added, 0), np.append(own, True)
        own[-1] = True
    return _Document(ids, added, own)


def _bytes_added(text: str, places: Integers) -> Integers:
    """(n,) the bytes of text that each token adds to those before it, counting every byte once.

    A character with several tokens counts with the first; characters without a token (removed by normalisation) count
    with the next token, or at the end with the last.
    """
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    widths = 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
    before = np.concatenate([[0], np.cumsum(widths)])
    reached = np.maximum.accumulate(before[places[:, 1]]) if len(places) else np.zeros(0, np.int64)
    if len(reached):
        last = int(np.flatnonzero(reached == reached[-1])[0])  # special tokens after it have no text
        reached[last:] = before[-1]
    return np.diff(reached, prepend=0)
