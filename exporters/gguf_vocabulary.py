"""Tokenizers in GGUF: tokens, their types, merges or scores, and llama.cpp's name of the pre-tokenizer. The name
depends on the pre-tokenization only, so a trimmed vocabulary has the same name as the whole one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import RefusedError

if TYPE_CHECKING:
    import gguf
    from transformers import PreTrainedTokenizerBase

Json = Mapping[str, object]
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN2 = _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
_BYTES, _WORDS = "ByteLevel", "ByteLevel by words"
_KINDS: Mapping[tuple[str, ...], str] = {
    (_WORDS,): "gpt-2",
    ("Digits", _WORDS): "smollm",
    (_LLAMA3, _BYTES): "llama-bpe",
    (_QWEN2, _BYTES): "qwen2",
}
"""Pre-tokenization -> llama.cpp's name."""
_WHOLE = frozenset({"llama-bpe"})
"""Pre-tokenizers for which llama.cpp matches whole words in the vocabulary before merging."""


def write_vocabulary(writer: gguf.GGUFWriter, folder: Path, size: int) -> dict[str, object]:
    """Write the tokenizer of a model folder, padding its tokens to `size`; reports what llama.cpp leaves out.

    Raises:
        RefusedError: a tokenizer that llama.cpp would apply differently.
    """
    from transformers import AutoTokenizer

    content: dict[str, Json] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    model = content["model"]
    if model["type"] != "BPE":
        raise RefusedError(f"target gguf: tokenizers of type {model['type']} are not supported, only BPE")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    merges = [_pair(merge) for merge in _list(model["merges"])]
    tokens = [f"[PAD{number}]" for number in range(size)]
    for token, number in tokenizer.get_vocab().items():
        tokens[number] = token
    facts: dict[str, object] = {}
    if model.get("byte_fallback"):
        begins = _begins_with_space(content)
        _refuse_unless(begins is not None, "its normalizer is not sentencepiece's")
        assert begins is not None
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(_scores(tokens, merges))
        writer.add_add_space_prefix(begins)
    else:
        name = pre_tokenizer(content)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(name)
        writer.add_token_merges([" ".join(merge) for merge in merges])
        facts["pre_tokenizer"] = name
        if content["normalizer"] is not None:
            facts["not_normalized"] = content["normalizer"]["type"]
    writer.add_token_list(tokens)
    writer.add_token_types(_types(tokens, tokenizer))
    _write_special(writer, tokenizer)
    return facts


def pre_tokenizer(content: Mapping[str, Json]) -> str:
    """llama.cpp's name for the pre-tokenization of a byte-level tokenizer.

    Args:
        content: contents of `tokenizer.json`.

    Raises:
        RefusedError: it has none.
    """
    given = content["pre_tokenizer"] or {}
    steps = _list(given["pretokenizers"]) if given.get("type") == "Sequence" else [given]
    words = tuple(_step(step) for step in steps if isinstance(step, dict))
    name = _KINDS.get(words)
    _refuse_unless(
        name is not None, f"it pre-tokenizes with {', '.join(words) or 'nothing'}, which llama.cpp has no name for"
    )
    assert name is not None
    normalizer = content["normalizer"]
    _refuse_unless(normalizer is None or normalizer["type"] == "NFC", f"it normalizes texts: {normalizer}")
    whole = bool(content["model"].get("ignore_merges"))
    _refuse_unless(
        whole == (name in _WHOLE), f"it {'matches' if whole else 'does not match'} whole words in the vocabulary first"
    )
    return name


def _step(given: Json) -> str:
    """A short name of a pre-tokenizer; its full settings if they are unusual."""
    kind = given.get("type")
    pattern = given.get("pattern")
    if kind == "Split" and isinstance(pattern, dict) and given["behavior"] == "Isolated" and not given["invert"]:
        return str(pattern.get("Regex"))
    if kind == "Digits" and given["individual_digits"]:
        return "Digits"
    if kind == _BYTES and not given["add_prefix_space"]:
        return _WORDS if given["use_regex"] else _BYTES
    return json.dumps(given)


def _begins_with_space(content: Mapping[str, Json]) -> bool | None:
    """Whether a space is added before a text, where spaces are replaced as in sentencepiece; None where they are not.

    Gemma adds none. It also splits at spaces, of which none is left.
    """
    given = content["normalizer"] or {}
    steps = given.get("normalizers", [given])
    replaced: Json = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    if steps == [{"type": "Prepend", "prepend": "▁"}, replaced] and content["pre_tokenizer"] is None:
        return True
    idle = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return False if steps == [replaced] and content["pre_tokenizer"] in (None, idle) else None


def _scores(tokens: Sequence[str], merges: Sequence[tuple[str, ...]]) -> list[float]:
    """Scores for llama.cpp, which merges the neighbours whose token scores highest: that of the earliest merge."""
    first: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        first.setdefault("".join(pair), rank)
    return [-float(first.get(token, len(merges))) for token in tokens]


def _types(tokens: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    import gguf

    kinds, known, added = gguf.TokenType, tokenizer.get_vocab(), tokenizer.added_tokens_decoder
    found = []
    for number, token in enumerate(tokens):
        if token == tokenizer.unk_token and token not in (tokenizer.eos_token, tokenizer.bos_token):
            kind = kinds.UNKNOWN
        elif number in added:
            kind = kinds.CONTROL if added[number].special else kinds.USER_DEFINED
        elif token not in known:
            kind = kinds.UNUSED
        else:
            kind = kinds.BYTE if len(token) == 6 and token.startswith("<0x") else kinds.NORMAL
        found.append(int(kind))
    return found


def _write_special(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerBase) -> None:
    """Ids of special tokens, which of them are added to a text, and the chat template."""
    around = tokenizer("a")["input_ids"]
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    begins, ends = around[: len(around) - len(inner)] == [tokenizer.bos_token_id], around[-1] == tokenizer.eos_token_id
    expected = [*([tokenizer.bos_token_id] if begins else []), *inner, *([tokenizer.eos_token_id] if ends else [])]
    _refuse_unless(around == expected, "it adds more to a text than a first and a last token")
    writer.add_add_bos_token(begins)
    writer.add_add_eos_token(ends)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _pair(merge: object) -> tuple[str, ...]:
    """`tokenizer.json` has them as `a b` or as a list."""
    return tuple(merge.split(" ")) if isinstance(merge, str) else tuple(map(str, _list(merge)))


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _refuse_unless(fits: bool, reason: str) -> None:
    if not fits:
        raise RefusedError(f"target gguf: llama.cpp would tokenize texts differently from the tokenizer: {reason}")
