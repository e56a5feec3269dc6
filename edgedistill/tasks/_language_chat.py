"""Renders chats with the tokenizer's template, and finds the characters that the assistant says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.errors import UserError, shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Spans = list[tuple[int, int]]
"""(start, end) in characters."""


def rendered(tokenizer: PreTrainedTokenizerBase, messages: object) -> tuple[str, Spans]:
    """A chat's text, and the spans of the assistant's messages, from the generation prompt to the end of the message.

    `transformers` renders the template in jinja2's immutable sandbox, so a tokenizer file cannot run code.

    Raises:
        UserError: the tokenizer has no template, rejects these messages, or renders earlier messages differently once
            there are later ones, so that spans cannot be attributed.
    """
    assert isinstance(messages, list), "rows are checked before they are encoded"
    # Arrow fills in every key of an object in every row.
    turns = [{key: value for key, value in message.items() if value is not None} for message in messages]
    whole, spans = _render(tokenizer, turns), Spans()
    for number, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        asked = _render(tokenizer, turns[:number], reply=True)
        said = _render(tokenizer, turns[: number + 1])
        if not (said.startswith(asked) and whole.startswith(said)):
            raise UserError(
                f"the tokenizer's chat template renders message {number + 1} of {shown(turns[0]['content'])} "
                "differently when more messages follow; expected one that renders each message independently"
            )
        spans.append((len(asked), len(said)))
    return whole, spans


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
