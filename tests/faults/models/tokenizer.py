"""Tokenizers that are missing, damaged, or another model's."""

from __future__ import annotations

import random

from ..damaged import Json
from .folder import Folder


def tokenizer_missing(folder: Folder, rng: random.Random) -> None:
    (folder.path / "tokenizer.json").unlink()
    if rng.random() < 0.5:
        (folder.path / "tokenizer_config.json").unlink()


def tokenizer_words_gone(folder: Folder, rng: random.Random) -> None:
    """Nearly every text becomes unknown tokens."""

    def change(content: Json) -> None:
        words = content["model"]["vocab"]
        content["model"]["vocab"] = {word: number for word, number in words.items() if number < 5}

    folder.edit("tokenizer.json", change)


def tokenizer_numbers_beyond(folder: Folder, rng: random.Random) -> None:
    """Numbers that the embeddings don't have."""

    def change(content: Json) -> None:
        words = content["model"]["vocab"]
        content["model"]["vocab"] = {word: number if number < 5 else number + 5000 for word, number in words.items()}

    folder.edit("tokenizer.json", change)


def tokenizer_part_odd(folder: Folder, rng: random.Random) -> None:
    part = rng.choice(["model", "normalizer", "pre_tokenizer", "post_processor", "added_tokens", "decoder", "version"])
    value = rng.choice([3, [], {"type": "Evil"}, "x", {}])
    folder.edit("tokenizer.json", lambda c: c.update({part: value}))
    folder.expected = "either" if part in ("decoder", "version") else "refused"


def tokenizer_config_odd(folder: Folder, rng: random.Random) -> None:
    options: list[dict[str, object]] = [
        {"tokenizer_class": "Evil"}, {"tokenizer_class": 3}, {"tokenizer_class": "T5Tokenizer"},
            {"model_max_length": "x"}, {"model_max_length": -3}, {"model_max_length": None},
        {"pad_token": None}, {"unk_token": {"a": 1}}, {"added_tokens_decoder": 3}, {"added_tokens_decoder": {"x": {}}},
            {"extra_special_tokens": {"a": 1}},
        {"extra_special_tokens": [1]}, {"vocab_file": "../x"}, {"tokenizer_file": "../x.json"}, {"backend": "evil"},
            {"padding_side": "up"}, {"padding_side": "left"},
        {"truncation_side": 3}, {"model_input_names": ["evil"]}, {"model_input_names": 3}, {"name_or_path": "evil/x"},
            {"processor_class": "Evil"}, {"cls_token": ["a"]},
    ]  # fmt: skip
    value = rng.choice(options)
    folder.edit("tokenizer_config.json", lambda c: c.update(value))
    folder.expected = "either"


def files_of_another_tokenizer(folder: Folder, rng: random.Random) -> None:
    """Files that the library reads when they lie there."""
    name, content = rng.choice(
        [("added_tokens.json", '{"<x>": 99999}'), ("added_tokens.json", "[]"), ("special_tokens_map.json",
        '{"unk_token": 3}'), ("special_tokens_map.json", "{"),
         ("tokenizer.model", "garbage"), ("spiece.model", "garbage"), ("vocab.txt", "a\nb\n"), ("vocab.json", "{"),
         ("merges.txt", "x")]
    )  # fmt: skip
    (folder.path / name).write_text(content)
    folder.expected = "either"
