"""Checks that a tokenizer is present, matches the model, and covers the texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Integers
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.models.folder import has_vocabulary
from edgedistill.store.records.data import Coverage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHARE_WARNED, SHARE_REFUSED = 0.05, 0.5
"""Maximum shares of unknown tokens, and of texts without tokens, in a split."""


def refuse_no_vocabulary(folder: Path, name: str) -> None:
    """Check for vocabulary files, since transformers silently creates an empty tokenizer without any.

    Raises:
        UserError: the folder has no vocabulary file.
    """
    if not has_vocabulary(folder):
        raise UserError(
            f"{name} has no tokenizer files; expected tokenizer.json (or vocab.txt, vocab.json with merges.txt, "
            "*.model) beside its config.json"
        )


def refuse_missing_files(tokenizer: PreTrainedTokenizerBase, folder: Path, name: str) -> None:
    """Check that the files of this tokenizer class are present, not only those of another one.

    Raises:
        UserError: one is missing, and so is `tokenizer.json`.
    """
    if any(path.name != "tokenizer_config.json" for path in folder.glob("tokenizer*.json")):
        return
    wanted = [file for role, file in type(tokenizer).vocab_files_names.items() if role != "tokenizer_file"]
    absent = [file for file in wanted if not (folder / file).is_file()]
    if absent:
        raise UserError(
            f"{name} lacks {', '.join(absent)}, which its {type(tokenizer).__name__} needs; expected "
            "tokenizer.json or these files"
        )


def refuse_more_tokens_than_rows(tokenizer: PreTrainedTokenizerBase, rows: int, name: str) -> None:
    """Check that every token has an embedding.

    Args:
        rows: number of rows of the model's embeddings.
        name: the model's name in the recipe.

    Raises:
        UserError: there are more tokens.
    """
    tokens = max(len(tokenizer), *(number + 1 for number in tokenizer.get_vocab().values()), 0)
    if tokens > rows:
        raise UserError(
            f"{name}: the tokenizer has {tokens} tokens, the model's embeddings {rows} rows; expected one row per "
            "token (resize_token_embeddings after adding tokens), or the model's own tokenizer"
        )


def refuse_ids_beyond(items: Items, rows: int, where: str) -> None:
    """Check that every id produced from texts has an embedding, since a post-processor may add ids outside the
    vocabulary.

    Raises:
        UserError: one has none.
    """
    highest = int(items.token_ids.max(initial=0))
    if highest >= rows:
        raise UserError(
            f"{where}: the tokenizer produces the id {highest}, but the model's embeddings have {rows} rows"
        )


def coverage(items: Items, tokenizer: PreTrainedTokenizerBase) -> Coverage:
    """Statistics on how well a tokenizer covers texts."""
    ids, offsets = items.token_ids, items.offsets[items.token_column or ""]
    unknown_id = tokenizer.unk_token_id
    special = set(tokenizer.all_special_ids) - {unknown_id}
    others = {getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "cls", "sep", "pad")}
    # Byte-level tokenizers cover everything; their unknown token is some other special token.
    unknown = (ids == unknown_id) if unknown_id is not None and unknown_id not in others else np.zeros(len(ids), bool)
    real = ~np.isin(ids, sorted({*special, *(others - {None})}))
    real_of, unknown_of = _by_item(real, offsets), _by_item(unknown, offsets)
    touched = np.flatnonzero((real_of == 0) | (unknown_of > 0))
    return Coverage(
        texts=len(items),
        tokens=int(real.sum()),
        unknown=int(unknown.sum()),
        empty=int((real_of == 0).sum()),
        example=int(items.example[touched[0]]) + 1 if len(touched) else None,
    )


def _by_item(chosen: Booleans, offsets: Integers) -> Integers:
    """(N,) number of selected tokens of each item, from a flat mask (T,)."""
    before = np.concatenate([[0], np.cumsum(chosen)])
    return np.asarray(before[offsets[1:]] - before[offsets[:-1]])


def check_split(
    items: Items, tokenizer: PreTrainedTokenizerBase, rows: int | None, where: str
) -> tuple[Coverage, list[str]]:
    """Tokenizer statistics of a split, and warnings about them.

    Args:
        rows: number of rows of the model's embeddings; None if the model is built for the tokenizer.
        where: the data's name, for the messages.

    Raises:
        UserError: the model has no embedding for an id, or the tokenizer does not cover the texts.
    """
    if rows is not None:
        refuse_ids_beyond(items, rows, where)
    found = coverage(items, tokenizer)
    return found, check_coverage(found, where)


def check_coverage(found: Coverage, where: str) -> list[str]:
    """Warnings about texts that the tokenizer does not cover; empty if it does.

    Args:
        where: the data's name, for the message.

    Raises:
        UserError: more than half of the tokens are unknown, or more than half of the texts have no tokens.
    """
    warnings: list[str] = []
    for count, of, what in (
        (found.unknown, found.tokens, "tokens are unknown to the tokenizer"),
        (found.empty, found.texts, "texts are encoded as special tokens only"),
    ):
        share = count / of if of else 0.0
        sentence = f"{where}: {share:.1%} of the {what} ({count} of {of}; the first in row {found.example})"
        if share > SHARE_REFUSED:
            raise UserError(f"{sentence}; expected a tokenizer that covers these texts")
        if share > SHARE_WARNED:
            warnings.append(sentence)
    return warnings
