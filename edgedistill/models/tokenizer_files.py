"""The published tokenizer: every client gets the ids that the files were verified with.

`tokenizer.json` itself configures a plain `tokenizers` client: truncate at `max_length`, never pad. A teacher's own
settings, such as always padding to 128, would cost that client most of its time and allow longer texts than were
verified.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# How the tokenizer was called or found once, which `transformers` writes down with the settings: `tokenizer.json` says
# the former, and the latter is of the machine that wrote it.
_PASSING = (
    "is_local",
    "local_files_only",
    "max_length",
    "pad_to_multiple_of",
    "padding_strategy",
    "stride",
    "truncation_strategy",
)


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, max_length: int, folder: Path) -> None:
    """Write a fast tokenizer's files: `tokenizer.json` without padding and truncating at `max_length` tokens including
    special ones, on the tokenizer's own side, the longer of a pair first; `model_max_length` is set to the same.

    This does not affect `transformers`, which sets both in every call.
    """
    from tokenizers import Tokenizer

    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    plain = Tokenizer.from_file(str(file))
    plain.no_padding()
    plain.enable_truncation(max_length, stride=0, strategy="longest_first", direction=tokenizer.truncation_side)
    plain.save(str(file), pretty=False)  # Indentation is a third of a BERT's file, which ships with the model.
    settings_file = folder / "tokenizer_config.json"
    settings = json.loads(settings_file.read_text(encoding="utf-8"))
    kept = {key: value for key, value in settings.items() if key not in _PASSING}
    kept |= {"model_max_length": max_length, "truncation_side": tokenizer.truncation_side}
    text = json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False)
    settings_file.write_text(text + "\n", encoding="utf-8")


def ends_of(tokenizer: PreTrainedTokenizerBase, folder: Path) -> frozenset[int]:
    """End-of-text tokens: the tokenizer's, and those in the generation configuration of a model folder."""
    settings = folder / "generation_config.json"
    named = json.loads(settings.read_text(encoding="utf-8")).get("eos_token_id") if settings.is_file() else None
    more = named if isinstance(named, list) else [named]
    return frozenset(token for token in (tokenizer.eos_token_id, *more) if isinstance(token, int))
