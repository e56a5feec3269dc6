"""Chats as texts, by the tokenizer's own template, and which of their characters the model itself says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.errors import UserError, shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Spans = list[tuple[int, int]]
"""(first character, the one behind the last)."""


def rendered(tokenizer: PreTrainedTokenizerBase, messages: object) -> tuple[str, Spans]:
    """A chat's text, and what the assistant says in it: from where a reply is asked for to the end of its message.

    `transformers` renders the template in jinja2's immutable sandbox: a tokenizer's file can't run code.

    Raises:
        UserError: the tokenizer has no template, it refuses these messages, or it changes what it rendered of the
            earlier messages once there are later ones, so that nobody can say which text is whose.
    """
    assert isinstance(messages, list), "rows are checked before they are encoded"
    # A column of objects has every key in every row.
    turns = [{key: value for key, value in each.items() if value is not None} for each in messages]
    whole, spans = _render(tokenizer, turns), Spans()
    for number, each in enumerate(turns):
        if each["role"] != "assistant":
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
    """A chat's text up to where the assistant's reply begins.

    Raises:
        UserError: the tokenizer has no template, or it refuses these messages.
    """
    if tokenizer.chat_template is None:
        raise UserError("the model's tokenizer has no chat template; expected a text to continue instead of a chat")
    return _render(tokenizer, [dict(each) for each in messages], reply=True)


def _render(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Mapping[str, object]], *, reply: bool = False) -> str:
    if tokenizer.chat_template is None:
        raise UserError(
            "data.columns.messages: the teacher's tokenizer has no chat template; expected chat_template in its "
            "tokenizer_config.json, or data with 'text' or 'prompt' and 'completion'"
        )
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=reply))
    except Exception as error:  # what a template raises is its own
        words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"the tokenizer's chat template rejects the messages that begin with {shown(turns[:1])} [{words}]"
        ) from error
