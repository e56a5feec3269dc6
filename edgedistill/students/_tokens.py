"""The tokenizer of a student that keeps only the tokens its texts need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Literal

from edgedistill.arrays import Integers


def trimmed_tokenizer(
    source: Path,
    token_ids: Integers,
    folder: Path,
    coverage: float,
    vocabulary: int | None = None,
    characters: Literal["all", "texts"] = "all",
) -> list[int]:
    """Write the tokenizer with the most frequent tokens of the training texts; return their ids in the source, in the
    new order, with `ADDED_BYTE` for bytes that only this one has.

    Args:
        token_ids: of all training texts, one after the other.
        coverage: fraction of token occurrences to cover, if `vocabulary` is None.
        vocabulary: total number of tokens to keep.
        characters: whether all single characters of the source stay, or those of the training texts.

    Raises:
        UserError: an algorithm that cannot be trimmed, or an impossible vocabulary size.
    """
    from edgedistill.vocabulary.trimming import characters_of, frequent_tokens, most_frequent, trim, with_every_byte

    shutil.copytree(source, folder)
    file = folder / "tokenizer.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    spared = characters_of(whole, token_ids) if characters == "texts" else None
    kept = (
        frequent_tokens(token_ids, coverage)
        if vocabulary is None
        else most_frequent(whole, token_ids, vocabulary, spared)
    )
    trimmed = with_every_byte(trim(whole, kept, spared))
    file.write_text(json.dumps(trimmed.content, ensure_ascii=False), encoding="utf-8")
    for name in ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)  # files of the whole vocabulary; tokenizer.json has everything needed
    return trimmed.kept
