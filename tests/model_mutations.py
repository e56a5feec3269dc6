"""Damages and tricks done to a model's folder by seed, for tests that open what others made."""

from __future__ import annotations

import json
import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

SIZES = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size", "type_vocab_size")
VALUES = (None, "x", "10", -1, 0, 1, 7, 10**12, 10**30, 1e300, 2.5, [], {}, True, [3, "x"], {"a": {"b": -1}})
CODE = {
    "auto_map": {"AutoConfig": "configuration_evil.EvilConfig", "AutoTokenizer": ["evil.Evil", None]},
    "custom_pipelines": {"text-classification": {"impl": "evil.Pipeline", "pt": ["AutoModel"]}},
    "_attn_implementation": "someone/kernel",
    "attn_implementation": {"": "someone/kernel@v1:attention"},
    "_experts_implementation": "sonicmoe",
    "use_kernels": True,
    "quantization_config": {"quant_method": "fp8"},
    "transformers_weights": "../other.safetensors",
}


@dataclass(frozen=True)
class Mutation:
    """What was done to a folder, and whether it can only be refused; else it may load, as another model at worst."""

    name: str
    only_refused: bool


def mutate(folder: Path, chance: random.Random) -> Mutation:
    """Do one thing to a folder with `config.json`, `model.safetensors` and `tokenizer.json`."""
    return chance.choice(KINDS)(folder, chance)


def config_value(folder: Path, chance: random.Random) -> Mutation:
    config = json.loads((folder / "config.json").read_text())
    key = chance.choice([*config, *SIZES, *SIZES])
    value = chance.choice(VALUES)
    unchanged = type(config.get(key)) is type(value) and config.get(key) == value
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    # A size that is another number or none; null and strings may mean the default, which isn't this model's.
    return Mutation(f"config.json {key} = {value!r}", key in SIZES and not unchanged and value not in ("10",))


def config_text(folder: Path, chance: random.Random) -> Mutation:
    file = folder / "config.json"
    text = file.read_text()
    choices: dict[str, bytes] = {
        "empty": b"",
        "truncated": text[: chance.randrange(1, len(text) - 1)].encode(),
        "latin-1": text.replace("{", '{"note": "caf\xe9",', 1).encode("latin-1"),
        "utf-16": text.encode("utf-16"),
        "a list": b"[1, 2]",
        "null": b"null",
        "deep": b'{"model_type": "bert", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "nested": ('{"a": ' * 200 + "1" + "}" * 200).encode(),
        "many digits": text.replace("{", '{"size": ' + "9" * 5000 + ",", 1).encode(),
        "no model_type": text.replace("model_type", "kind").encode(),
        "another architecture": text.replace('"bert"', '"roberta"').encode(),
        "unknown architecture": text.replace('"bert"', '"bertt"').encode(),
    }
    name = chance.choice(list(choices))
    file.write_bytes(choices[name])
    return Mutation(f"config.json: {name}", True)


def code(folder: Path, chance: random.Random) -> Mutation:
    files = ["config.json", "tokenizer_config.json", "generation_config.json", "preprocessor_config.json"]
    file = folder / chance.choice(files)
    content = json.loads(file.read_text()) if file.exists() else {}
    key = chance.choice(list(CODE))
    entry = {key: CODE[key]}
    if chance.random() < 0.5:
        entry = {"text_config": {"inner": [entry]}}
    file.write_text(json.dumps(content | entry))
    (folder / "configuration_evil.py").write_text("open('CANARY', 'w').write('ran')\n")
    return Mutation(f"{file.name} asks for {key}", True)


def file_kind(folder: Path, chance: random.Random) -> Mutation:
    file = folder / chance.choice(["config.json", "model.safetensors", "tokenizer.json"])
    content = file.read_bytes()
    file.unlink()
    kind = chance.choice(["missing", "a folder", "a FIFO", "a dangling link", "a link outside", "a loop"])
    if kind == "a folder":
        file.mkdir()
    elif kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a dangling link":
        file.symlink_to("nowhere")
    elif kind == "a loop":
        file.symlink_to(file.name)
    elif kind == "a link outside":
        outside = folder.parent / f"{folder.name}-{file.name}"
        outside.write_bytes(content)
        file.symlink_to(outside)
    return Mutation(f"{file.name} is {kind}", True)


def weights_bytes(folder: Path, chance: random.Random) -> Mutation:
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    kind = chance.choice(["truncated", "longer", "length", "header", "garbage", "empty", "pickle", "twice"])
    if kind == "truncated":
        content = content[: chance.randrange(0, len(content) - 1)]
    elif kind == "longer":
        content += b"\0" * chance.randrange(1, 64)
    elif kind == "length":
        content[:8] = struct.pack("<Q", chance.choice([0, 1, length - 1, length + 8, 1 << 40, (1 << 64) - 1]))
    elif kind == "header":
        place = 8 + content[8:].index(b'"dtype":"F32"') + len('"dtype":"')
        content[place : place + 3] = chance.choice([b"F99", b"I32", b"U32", b"\xff\xfe\xfd"])
    elif kind == "garbage":
        content = bytearray(chance.randbytes(200))
    elif kind == "empty":
        content = bytearray()
    elif kind == "pickle":
        content = bytearray(b"\x80\x04cposix\nsystem\n(S'touch CANARY'\ntR.")
    else:
        header = content[8 : 8 + length].rstrip()
        first = header[1 : header.index(b"]}") + 2] if b'"__metadata__"' not in header[:20] else header[1:-1]
        header = header[:-1] + b"," + first + b"}"
        content = bytearray(struct.pack("<Q", len(header)) + bytes(header) + bytes(content[8 + length :]))
    file.write_bytes(bytes(content))
    return Mutation(f"model.safetensors: {kind}", True)


def weights_values(folder: Path, chance: random.Random) -> Mutation:
    file = folder / "model.safetensors"
    tensors = load_file(file)
    name = chance.choice(sorted(tensors))
    kind = chance.choice(["nan", "inf", "missing", "one row less", "integers", "renamed"])
    values = tensors.pop(name)
    if kind in ("nan", "inf"):
        tensors[name] = values.copy()
        tensors[name].reshape(-1)[chance.randrange(values.size)] = float(kind)
    elif kind == "one row less":
        tensors[name] = np.ascontiguousarray(values[:-1])
    elif kind == "integers":
        tensors[name] = values.astype(np.int8)
    elif kind == "renamed":
        tensors[f"other.{name}"] = values
    save_file(tensors, file, metadata={"format": "pt"})
    return Mutation(f"{name}: {kind}", True)


def index(folder: Path, chance: random.Random) -> Mutation:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").rename(folder / "part-1.safetensors")
    parts: dict[str, object] = dict.fromkeys(tensors, "part-1.safetensors")
    wrong = chance.choice(
        [
            "pytorch_model.bin",
            "../part-1.safetensors",
            str(folder / "part-1.safetensors"),
            "absent.safetensors",
            7,
            None,
        ]
    )
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch CANARY'\ntR.")
    (folder.parent / "part-1.safetensors").write_bytes((folder / "part-1.safetensors").read_bytes())
    parts[chance.choice(sorted(tensors))] = wrong
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    return Mutation(f"the index names {wrong!r}", True)


def tokenizer(folder: Path, chance: random.Random) -> Mutation:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    kind = chance.choice(["truncated", "empty", "object", "list", "no vocabulary", "more tokens", "text", "id"])
    if kind == "truncated":
        text = file.read_text()
        file.write_text(text[: chance.randrange(1, len(text) - 1)])
    elif kind == "empty":
        file.write_text("")
    elif kind in ("object", "list", "text"):
        file.write_text({"object": "{}", "list": "[1]", "text": '"tokenizer"'}[kind])
    else:
        vocabulary = content["model"]["vocab"]
        if kind == "no vocabulary":
            content["model"]["vocab"] = {token["content"]: token["id"] for token in content["added_tokens"]}
        elif kind == "more tokens":
            vocabulary.update({f"more{number}": len(vocabulary) + number for number in range(50)})
        else:
            vocabulary[chance.choice([word for word in vocabulary if word.isalpha()])] = 10**6
        file.write_text(json.dumps(content))
    return Mutation(f"tokenizer.json: {kind}", True)


KINDS: tuple[Callable[[Path, random.Random], Mutation], ...] = (
    config_value,
    config_value,
    config_value,
    config_text,
    code,
    file_kind,
    weights_bytes,
    weights_values,
    index,
    tokenizer,
)
