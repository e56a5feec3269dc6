"""Prefixes of held-out texts, for readers to compare continuations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.contracts.samples import Beginnings, Samples
from edgedistill.contracts.task import Encoder
from edgedistill.tasks._language_chat import rendered
from edgedistill.tasks._language_documents import COMPLETION, MESSAGES, PROMPT, TEXT
from edgedistill.tasks._language_prompt import opening

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_COUNT = 48
"""Number of tokens to generate, if they fit the context."""
_CHARACTERS = 80
"""Maximum length of a plain-text prefix, cut at a word."""


def beginnings(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Beginnings:
    """The first words of a plain text, the prompt of a completion, or a chat up to its last reply."""
    tokenizer = encoder.tokenizer
    assert tokenizer is not None, "text tasks have a tokenizer"
    texts = _texts(rows, encoder, tokenizer)
    # A chat template adds its own beginning.
    first = None if MESSAGES in encoder.columns else opening(tokenizer)
    start = [] if first is None else [first]
    count = min(_COUNT, max(1, encoder.max_length // 2))
    room = encoder.max_length - count - len(start)
    tokens = []
    for text in texts:
        own = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        tokens.append(tuple([*start, *own[max(0, len(own) - room) :]] or [tokenizer.pad_token_id or 0]))
    return Beginnings(tuple(texts), tuple(tokens), count)


def _texts(rows: Mapping[str, Sequence[object]], encoder: Encoder, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    named = encoder.columns
    if MESSAGES in named:
        chats = (rendered(tokenizer, messages) for messages in rows[named[MESSAGES]])
        return [text[: replies[-1].whole[0]] for text, replies in chats]
    if COMPLETION in named:
        return [str(text) for text in rows[named[PROMPT]]]
    return [_first_words(str(text)) for text in rows[named[TEXT]]]


def _first_words(text: str) -> str:
    """The beginning of a text, or the first half of a short one, cut after its last whole word if it has one."""
    most = min(_CHARACTERS, max(1, len(text) // 2))
    beginning = text[:most]
    if len(text) == most or text[most].isspace():
        return beginning
    words = re.match(r".*\S(?=\s)", beginning, re.DOTALL)
    return words[0] if words else beginning


def text(tokens: Sequence[int], said: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that the tokens add to the prefix, up to an end-of-text token."""
    kept = list(said)
    if tokenizer.eos_token_id in kept:
        kept = kept[: kept.index(tokenizer.eos_token_id)]

    def read(ids: Sequence[int]) -> str:
        return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    before, whole = read(list(tokens)), read([*tokens, *kept])
    return whole[len(before) :] if whole.startswith(before) else read(kept)


SAMPLES = Samples(beginnings=beginnings, text=text)
