"""Prompts of language models: a text as in training, or a chat up to the reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgedistill.contracts.task import Prompt
from edgedistill.device.decoding import Decoder
from edgedistill.errors import UserError
from edgedistill.tasks._language_chat import asked
from edgedistill.tasks._language_torch import TorchDecoder

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def opening(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The beginning-of-text token, or else the end-of-text token; None without either."""
    found: int | None = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return found


def tokens(tokenizer: PreTrainedTokenizerBase, given: Prompt) -> list[int]:
    """A text after a beginning-of-text token and without an end token, or a chat up to the start of the assistant's
    reply.

    Raises:
        UserError: the tokenizer has no chat template, or rejects these messages; text that is not valid Unicode.
    """
    if not isinstance(given, str):
        return _ids(tokenizer, asked(tokenizer, given), special=False)
    ids, first = _ids(tokenizer, given, special=True), opening(tokenizer)
    if len(ids) > 1 and ids[-1] == tokenizer.eos_token_id:
        ids = ids[:-1]
    return ids if first is None or ids[:1] == [first] else [first, *ids]


def decoder(model: PreTrainedModel) -> Decoder:
    """A decoder for a PyTorch model."""
    return TorchDecoder(model)


def _ids(tokenizer: PreTrainedTokenizerBase, text: str, *, special: bool) -> list[int]:
    try:
        text.encode()
    except UnicodeEncodeError as error:  # a command line's bytes that are not UTF-8 arrive as lone surrogates
        raise UserError(f"the prompt {text[:60]!r} is not valid Unicode at character {error.start + 1}") from error
    found = tokenizer(text, add_special_tokens=special, return_attention_mask=False, verbose=False)
    return [int(token) for token in found["input_ids"]]
