"""Configurations that say something else than the weights, or nothing."""

from __future__ import annotations

import random

from ..damaged import broken_json
from .folder import Folder


def config_size(folder: Folder, rng: random.Random) -> None:
    key = rng.choice(
        [
            "hidden_size",
            "num_hidden_layers",
            "intermediate_size",
            "vocab_size",
            "max_position_embeddings",
            "type_vocab_size",
        ]
    )
    value = rng.choice([0, -1, 1, 3, 7, 33, 64_000, 10**12, 2**63, 1.5, "32", None, True, [], {}, "x"])
    folder.edit("config.json", lambda c: c.update({key: value}))
    folder.expected = "either"


def config_value_odd(folder: Folder, rng: random.Random) -> None:
    options = [
        ("num_attention_heads", 0), ("num_attention_heads", 5), ("num_attention_heads", "4"), ("hidden_act", "evil"),
        ("hidden_act", 3), ("hidden_act", None),
        ("layer_norm_eps", "x"), ("layer_norm_eps", None), ("pad_token_id", 10**6), ("pad_token_id", -5),
        ("pad_token_id", "0"), ("pad_token_id", []),
        ("dtype", "evil"), ("dtype", 3), ("torch_dtype", "evil"), ("is_decoder", "yes"), ("architectures", []),
        ("architectures", 3), ("architectures", ["Evil"]),
        ("hidden_dropout_prob", "x"), ("hidden_dropout_prob", 7), ("problem_type", "evil"), ("tie_word_embeddings",
        "x"), ("transformers_version", "99.0"),
        ("transformers_version", 3), ("use_cache", "x"), ("chunk_size_feed_forward", 7), ("pruned_heads", {"0": [0]}),
        ("layer_types", ["x"]), ("classifier_dropout", "x"),
        ("output_hidden_states", True), ("output_attentions", True), ("return_dict", False), ("torchscript", True),
        ("num_labels", 7), ("attribute_map", {"a": "b"}),
    ]  # fmt: skip
    key, value = rng.choice(options)
    folder.edit("config.json", lambda c: c.update({key: value}))
    folder.expected = "either"


def config_model_type(folder: Folder, rng: random.Random) -> None:
    value = rng.choice(
        ["roberta", "gpt2", "evil", "", None, 3, [], "distilbert", "t5", "vit", "../bert", "llama", "albert", "electra"]
    )
    folder.edit("config.json", lambda c: c.update(model_type=value) if value is not None else c.pop("model_type"))


def config_labels(folder: Folder, rng: random.Random) -> None:
    value = rng.choice(
        [{}, None, [], ["a", "b", "c"], {"0": "weather"}, {"0": "a", "1": "b", "2": "c"}, {"x": "weather"},
        {"0": "weather", "1": "weather", "2": "weather"}, 3,
         {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, {"0": "weather", "1": "set_alarm", "5": "play_music"},
             {"0": 1, "1": 2, "2": 3}, {"0": None, "1": None, "2": None}]
    )  # fmt: skip
    folder.edit("config.json", lambda c: (c.update(id2label=value), c.pop("label2id")))


def config_labels_missing(folder: Folder, rng: random.Random) -> None:
    """Then the library calls the classes LABEL_i."""
    folder.edit("config.json", lambda c: (c.pop("id2label"), c.pop("label2id"), c.update(num_labels=3)))


def problem_type_multi_label(folder: Folder, rng: random.Random) -> None:
    folder.edit("config.json", lambda c: c.update(problem_type="multi_label_classification"))


def problem_type_regression(folder: Folder, rng: random.Random) -> None:
    folder.edit("config.json", lambda c: c.update(problem_type="regression"))


def json_broken(folder: Folder, rng: random.Random) -> None:
    name = rng.choice(["config.json", "tokenizer.json", "tokenizer_config.json"])
    file = folder.path / name
    nested, not_a_number = b'{"a":' * 50_000, b'{"x": NaN}'
    file.write_bytes(rng.choice([*broken_json(file.read_bytes()), nested, not_a_number, b"{}"]))
    folder.expected = "refused" if name != "tokenizer_config.json" else "either"


def byte_order_mark(folder: Folder, rng: random.Random) -> None:
    file = folder.path / rng.choice(["config.json", "tokenizer.json", "tokenizer_config.json"])
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    folder.expected = "either"


def bytes_flipped_in_json(folder: Folder, rng: random.Random) -> None:
    file = folder.path / rng.choice(["config.json", "tokenizer_config.json"])
    raw = bytearray(file.read_bytes())
    places = [i for i, byte in enumerate(raw) if byte in b'{}[]":,']
    for _ in range(rng.choice([1, 3])):
        raw[rng.choice(places)] = rng.randrange(256)
    file.write_bytes(bytes(raw))
    folder.expected = "either"


def config_missing(folder: Folder, rng: random.Random) -> None:
    (folder.path / "config.json").unlink()


def folder_empty(folder: Folder, rng: random.Random) -> None:
    keep = rng.choice(["", "config.json", "tokenizer.json"])
    for file in folder.path.iterdir():
        if file.name != keep:
            file.unlink()
