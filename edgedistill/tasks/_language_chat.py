"""Renders chats with the tokenizer's template, and finds the characters that the assistant says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from edgedistill.errors import UserError, shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Spans = list[tuple[int, int]]
"""(start, end) in characters."""


@dataclass(frozen=True)
class Reply:
    """A message of the assistant in the text of its chat."""

    whole: tuple[int, int]
    """From the generation prompt, or from its content if it answers no message, to the end of its end marker: what the
    model is to generate."""
    content: tuple[int, int]
    """The part that is the message's own text, as the template renders it."""


def rendered(tokenizer: PreTrainedTokenizerBase, messages: object) -> tuple[str, list[Reply]]:
    """A chat's text, and the assistant's messages in it.

    `transformers` renders the template in jinja2's immutable sandbox, so a tokenizer file cannot run code.

    Raises:
        UserError: the tokenizer has no template, rejects these messages, or renders a message in the whole chat in a
            way that the model would not generate: not after the generation prompt, or with another end marker.
    """
    assert isinstance(messages, list), "rows are checked before they are encoded"
    # Arrow fills in every key of an object in every row.
    turns = [{key: value for key, value in message.items() if value is not None} for message in messages]
    whole = _render(tokenizer, turns)
    replies = [
        _reply(tokenizer, turns, number, whole) for number, turn in enumerate(turns) if turn["role"] == "assistant"
    ]
    return whole, replies


def _reply(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, object]], number: int, whole: str) -> Reply:
    """The message of that number. A template may treat the last one specially (Qwen3's begins with an empty thought,
    Phi-3's ends with an end-of-text token), so its end marker is what both ways of rendering it have in common."""
    before, after = turns[:number], turns[number + 1 :]
    content = _content(tokenizer, before, turns[number], after, whole)
    answers = bool(before) and before[-1]["role"] not in ("assistant", "system")
    asked = _render(tokenizer, before, reply=True) if answers else ""
    if content is not None and whole.startswith(asked) and len(asked) <= content[0]:
        start = len(asked) or content[0]
        if not after:
            return Reply((start, len(whole)), content)
        last = _render(tokenizer, turns[: number + 1])
        own = _content(tokenizer, before, turns[number], [], last)
        marker = last[own[1] :] if own is not None else ""
        shared = _shared(whole[content[1] :], marker)
        if shared or not marker:
            return Reply((start, content[1] + shared), content)
    raise UserError(
        f"the tokenizer's chat template renders message {number + 1} of {shown(turns[0]['content'])} differently in "
        "the whole chat than as a reply; expected one that renders it after its generation prompt, with its end marker"
    )


def _content(
    tokenizer: PreTrainedTokenizerBase,
    before: Sequence[Mapping[str, object]],
    turn: Mapping[str, object],
    after: Sequence[Mapping[str, object]],
    text: str,
) -> tuple[int, int] | None:
    """The characters of a chat's text that depend on a message's content; None if the template does not render it
    exactly once.

    A template may trim or shorten a content, so it is not searched for: the same chat is rendered with another one.
    """
    mark = next(character for character in map(chr, _PRIVATE) if character not in text)
    parts = _render(tokenizer, [*before, {**turn, "content": mark}, *after]).split(mark)
    if len(parts) != 2:
        return None
    start = _shared(text, parts[0])
    return start, max(start, len(text) - _shared(text[::-1], parts[1][::-1]))


_PRIVATE = range(0xE000, 0xF900)
"""Characters that Unicode leaves to private use."""


def _shared(text: str, beginning: str) -> int:
    """Number of characters with which both begin."""
    if text.startswith(beginning):
        return len(beginning)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(text, beginning, strict=False)))


def asked(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]]) -> str:
    """A chat's text up to the start of the assistant's reply.

    Raises:
        UserError: the tokenizer has no template, or rejects these messages.
    """
    if tokenizer.chat_template is None:
        raise UserError("the model's tokenizer has no chat template; expected a text to continue instead of a chat")
    return _render(tokenizer, [dict(message) for message in messages], reply=True)


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Mapping[str, object]], *, reply: bool = False) -> str:
    if tokenizer.chat_template is None:
        raise UserError(
            "data.columns.messages: the teacher's tokenizer has no chat template; expected chat_template in its "
            "tokenizer_config.json, or data with 'text' or 'prompt' and 'completion'"
        )
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=reply))
    except Exception as error:  # a template may raise anything
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"the tokenizer's chat template rejects the messages that begin with {shown(turns[:1])} [{words}]"
        ) from error
