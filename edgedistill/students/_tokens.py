"""The tokenizer of a student that keeps only the tokens that its texts need."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edgedistill.contracts.items import Items


def trimmed_tokenizer(coverage: float, source: Path, train: Items, folder: Path) -> list[int]:
    """Write the tokenizer with the most frequent tokens that make up `coverage` of the training texts; return their ids
    in the source's, in the new order.

    Raises:
        UserError: an algorithm that can't be trimmed.
    """
    from edgedistill.models.vocabulary import frequent_tokens, trim

    shutil.copytree(source, folder)
    file = folder / "tokenizer.json"
    kept = frequent_tokens(train.token_ids, coverage)
    content, ids = trim(json.loads(file.read_text(encoding="utf-8")), kept)
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    for name in ("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "added_tokens.json"):
        (folder / name).unlink(missing_ok=True)  # of the whole vocabulary; tokenizer.json holds all that is needed
    return ids
