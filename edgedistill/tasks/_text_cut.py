"""Truncates long texts before tokenization, if that provably does not change the kept tokens.

A tokenizer processes a whole text before truncating at `max_length`, which takes minutes and gigabytes for a long
document. A BERT pipeline (WordPiece after a pre-tokenizer that splits at white space) processes words separately, and
produces at least one token for every word with an ASCII letter or digit, which no normalizer removes. So the text up to
the end of the `max_length`-th such word contains all kept tokens. Other pipelines can merge across white space; their
texts stay whole.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_WORD_END = re.compile(r"[0-9A-Za-z](?=[ \t\r\n])")
_NORMALIZERS = frozenset({"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"})
_PRE_TOKENIZERS = frozenset({"BertPreTokenizer", "Whitespace", "WhitespaceSplit"})


def reads_word_by_word(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it is such a pipeline, truncating on the right."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or tokenizer.truncation_side != "right":
        return False
    content = json.loads(backend.to_str())
    if content["model"].get("type") != "WordPiece" or any(
        character.isspace() for entry in content["added_tokens"] for character in entry["content"]
    ):
        return False
    normalizers = _parts(content["normalizer"], "normalizers")
    pre_tokenizers = _parts(content["pre_tokenizer"], "pretokenizers")
    return normalizers <= _NORMALIZERS and len(pre_tokenizers) == 1 and pre_tokenizers <= _PRE_TOKENIZERS


def cut(text: str, max_length: int) -> str:
    """The text up to the end of its `max_length`-th word with an ASCII letter or digit at its end; or all of it."""
    if len(text) <= 2 * max_length:
        return text
    end = next(islice(_WORD_END.finditer(text), max_length - 1, None), None)
    return text if end is None else text[: end.end()]


def _parts(stage: dict[str, object] | None, key: str) -> set[str]:
    """The types of a pipeline stage, with sequences flattened."""
    if stage is None:
        return set()
    parts = stage.get(key)
    if stage["type"] == "Sequence" and isinstance(parts, list):
        return {name for part in parts for name in _parts(part, key)}
    return {str(stage["type"])}
