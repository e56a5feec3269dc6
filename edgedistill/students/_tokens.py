"""The tokenizer of a student that keeps only the tokens its texts need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edgedistill.contracts.items import Items


def trimmed_tokenizer(source: Path, train: Items, folder: Path, coverage: float, vocabulary: int | None) -> list[int]:
    """Write the tokenizer with the most frequent tokens of the training texts; return their ids in the source, in the
    new order.

    Args:
        coverage: fraction of token occurrences to cover, if `vocabulary` is None.
        vocabulary: total number of tokens to keep.

    Raises:
        UserError: an algorithm that cannot be trimmed, or an impossible vocabulary size.
    """
    from edgedistill.vocabulary.trimming import frequent_tokens, most_frequent, trim

    shutil.copytree(source, folder)
    file = folder / "tokenizer.json"
    whole = json.loads(file.read_text(encoding="utf-8"))
    kept = (
        frequent_tokens(train.token_ids, coverage)
        if vocabulary is None
        else most_frequent(whole, train.token_ids, vocabulary)
    )
    trimmed = trim(whole, kept)
    file.write_text(json.dumps(trimmed.content, ensure_ascii=False), encoding="utf-8")
    for name in ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)  # files of the whole vocabulary; tokenizer.json has everything needed
    return trimmed.kept
