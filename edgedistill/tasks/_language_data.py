"""The data part of language models: plain text, prompt with completion, or chat, split into windows of tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from edgedistill.arrays import Array, Integers
from edgedistill.contracts.items import Items
from edgedistill.contracts.sequences import Sequences
from edgedistill.contracts.task import DataColumns, Encoder
from edgedistill.errors import shown
from edgedistill.tasks._language_documents import COMPLETION, MESSAGES, PROMPT, TEXT, Document, documents
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS, columns
from edgedistill.tasks._language_windows import Window, consecutive, overlapping

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


def encode(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Items:
    """Windows of up to `max_length` tokens of each row's text, with next-token targets.

    Raises:
        UserError: messages that the tokenizer's chat template rejects.
    """
    tokenizer = encoder.tokenizer
    assert tokenizer is not None, "text tasks have a tokenizer"
    parts = [
        [_item(document, window) for window in _windows(document, encoder)]
        for document in documents(rows, encoder.columns, tokenizer)
    ]
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
    whole = documents(rows, encoder.columns, tokenizer)
    lengths = [len(document.ids) for document in whole]
    places = [
        (number, window.start, window.decides + np.flatnonzero(document.asked[window.decides + 1 : window.end + 1]))
        for number, document in enumerate(whole)
        for window in _windows(document, encoder)
    ]
    return Sequences(
        ids=np.concatenate([document.ids for document in whole]),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        example=np.array([number for number, _, _ in places], np.int64),
        first=np.array([first for _, first, _ in places], np.int64),
        item=np.repeat(np.arange(len(places)), [len(after) for _, _, after in places]),
        after=np.concatenate([after for _, _, after in places]).astype(np.int64),
    )


def _windows(document: Document, encoder: Encoder) -> list[Window]:
    """The windows of its tokens but the last, which only follows; of its one token, if there are no more."""
    split = consecutive if TEXT in encoder.columns else overlapping
    return split(document.asked[1:] if len(document.ids) > 1 else np.zeros(1, np.bool_), encoder.max_length)


def _item(document: Document, window: Window) -> tuple[Integers, Integers, Integers]:
    """(inputs, next tokens, their bytes) of a window."""
    inputs = document.ids[window.start : window.end]
    following, added = np.full(len(inputs), NONE, np.int64), np.zeros(len(inputs), np.int64)
    behind = slice(window.decides + 1, window.end + 1)
    asked = document.asked[behind]
    following[window.decides - window.start :][: len(asked)] = np.where(asked, document.ids[behind], NONE)
    added[window.decides - window.start :][: len(asked)] = np.where(asked, document.bytes[behind], 0)
    return inputs, following, added
