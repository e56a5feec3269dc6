"""Model folders. Oracle: the teacher used as it is gives the logits of the undamaged folder, on all training texts, and
the same class names; damages that can't be meant are refused, and spellings of the same folder work."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .harness import Case, Expected, Verdict, judge
from .world import recipe_tree, write_recipe

COUNT = 150
LIMIT_S = 60.0
NEEDS = ("as-is",)
TOLERANCE = 1e-6
Json = dict[str, Any]


@dataclass
class Folder:
    """The copy that is damaged, where foreign code would leave its mark, and what must come of it."""

    path: Path
    canary: Path
    expected: Expected = "refused"
    tolerance: float = TOLERANCE
    cwd: Path | None = None

    def code(self, name: str) -> str:
        """Python that would leave a mark."""
        return f"open({str(self.canary / name)!r}, 'w').close()\n"

    def edit(self, name: str, change: Callable[[Json], object]) -> None:
        """Change a JSON file."""
        file = self.path / name
        content = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        change(content)
        file.write_text(json.dumps(content), encoding="utf-8")

    def tensors(self, change: Callable[[dict[str, np.ndarray]], object], to: str = "model.safetensors") -> None:
        """Change the weights."""
        from safetensors.numpy import load_file, save_file

        content = load_file(self.path / "model.safetensors")
        change(content)
        save_file(
            {name: np.ascontiguousarray(each) for name, each in content.items()}, self.path / to, {"format": "pt"}
        )

    def header(self, change: Callable[[Json], object]) -> None:
        """Change the header of the weights, the bytes behind it stay."""
        file = self.path / "model.safetensors"
        raw = file.read_bytes()
        length = struct.unpack("<Q", raw[:8])[0]
        content = json.loads(raw[8 : 8 + length])
        change(content)
        new = json.dumps(content).encode()
        file.write_bytes(struct.pack("<Q", len(new)) + new + raw[8 + length :])


Mutation = Callable[[Folder, random.Random], None]


class _Payload:
    """Pickles to a command."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.file}",))


# Spellings of the same folder.


def written_otherwise(folder: Folder, rng: random.Random) -> None:
    name = rng.choice(["config.json", "tokenizer.json", "tokenizer_config.json"])
    content = json.loads((folder.path / name).read_text())
    mixed = dict(rng.sample(list(content.items()), len(content)))
    indent = rng.choice([None, 0, 7])
    (folder.path / name).write_text(
        "\n " + json.dumps(mixed, indent=indent, ensure_ascii=rng.random() < 0.5) + "\r\n", encoding="utf-8"
    )
    folder.expected = "works"


def files_beside(folder: Folder, rng: random.Random) -> None:
    names = ["README.md", "notes.txt", ".hidden", "training_args.bin", "optimizer.pt", "x.py", "sub/deep.txt",
        "pytorch_model.bin", "tf_model.h5",
             "model.onnx", "events.out.tfevents.1", "rng_state.pth", "generation_config.json"]  # fmt: skip
    for name in rng.sample(names, 5):
        file = folder.path / name
        file.parent.mkdir(exist_ok=True)
        if name.endswith((".bin", ".pt", ".pth")):
            file.write_bytes(pickle.dumps(_Payload(folder.canary / name)))
        else:
            file.write_text("{}" if name.endswith(".json") else folder.code("beside") if name.endswith(".py") else "x")
    folder.expected = "works"


def config_keys_more(folder: Folder, rng: random.Random) -> None:
    folder.edit(
        "config.json",
        lambda c: c.update(
            rng.choice(
                [{"my_note": 1}, {"_name_or_path": "a/b"}, {"finetuning_task": "x"}, {"gradient_checkpointing": False}]
            )
        ),
    )
    folder.expected = "works"


def weights_sharded(folder: Folder, rng: random.Random) -> None:
    """Two files and an index, as large models are saved."""
    from safetensors.numpy import load_file, save_file

    content = load_file(folder.path / "model.safetensors")
    names = sorted(content)
    parts = {f"model-{i + 1:05d}-of-00002.safetensors": names[i::2] for i in range(2)}
    for file, own in parts.items():
        save_file({name: content[name] for name in own}, folder.path / file, {"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for file, own in parts.items() for name in own}}
    (folder.path / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder.path / "model.safetensors").unlink()
    folder.expected = "works"


def weights_in_half_precision(folder: Folder, rng: random.Random) -> None:
    folder.tensors(lambda t: t.update({name: each.astype(np.float16) for name, each in t.items()}))
    folder.expected, folder.tolerance = "works", 0.05


def weights_more(folder: Folder, rng: random.Random) -> None:
    """A tensor that the library itself leaves out on loading, or one that belongs to nothing."""
    known = rng.random() < 0.5
    name = (
        "bert.embeddings.position_ids"
        if known
        else rng.choice(["bert.encoder.layer.7.output.dense.weight", "other.weight"])
    )
    folder.tensors(
        lambda t: t.update(
            {name: np.arange(64, dtype=np.int64).reshape(1, 64) if known else np.zeros((3, 3), np.float32)}
        )
    )
    folder.expected = "works" if known else "either"


def tokenizer_padding_fixed(folder: Folder, rng: random.Random) -> None:
    def change(content: Json) -> None:
        content["padding"] = {
            "strategy": {"Fixed": 48},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        }
        content["truncation"] = {"direction": "Right", "max_length": 48, "strategy": "LongestFirst", "stride": 0}

    folder.edit("tokenizer.json", change)
    folder.expected, folder.tolerance = "works", 1e-5


def linked_files(folder: Folder, rng: random.Random) -> None:
    """As the hub's cache keeps them: links to blobs that have no suffix."""
    cache = folder.path.with_name("models--someone--teacher")
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    folder.path = folder.path.rename(cache / "snapshots" / "0123abc")
    for i, file in enumerate(sorted(folder.path.iterdir())):
        file.rename(cache / "blobs" / f"{i}")
        file.symlink_to(f"../../blobs/{i}")
    folder.expected = "works"


# Foreign code.


def pickle_in_place_of_weights(folder: Folder, rng: random.Random) -> None:
    name = rng.choice(["pytorch_model.bin", "model.safetensors", "model.bin", "pytorch_model.pt"])
    (folder.path / "model.safetensors").unlink()
    (folder.path / name).write_bytes(pickle.dumps(_Payload(folder.canary / "weights")))


def index_names_another_file(folder: Folder, rng: random.Random) -> None:
    """The index leads to a pickle, out of the folder, or nowhere."""
    name = rng.choice(
        [
            "pytorch_model.bin",
            "../elsewhere.safetensors",
            "{absolute}",
            "missing.safetensors",
            "sub/../model-x.safetensors",
            "",
        ]
    )
    outside = folder.path.parent / "elsewhere.safetensors"
    shutil.copy(folder.path / "model.safetensors", outside)
    if name == "pytorch_model.bin":
        import torch
        from safetensors.torch import load_file

        torch.save(load_file(folder.path / "model.safetensors"), folder.path / name)
    name = name.replace("{absolute}", str(outside))
    from safetensors.numpy import load_file as read

    weights = dict.fromkeys(read(folder.path / "model.safetensors"), name)
    (folder.path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    if rng.random() < 0.3:
        shutil.move(folder.path / "model.safetensors", folder.path / "other.safetensors")
    else:
        (folder.path / "model.safetensors").unlink()
        shutil.copy(outside, folder.path / "decoy.safetensors")


def auto_map(folder: Folder, rng: random.Random) -> None:
    """Code of its own, offered by one of the folder's JSON files."""
    _auto_map(
        folder,
        rng.choice(["tokenizer_config.json", "processor_config.json", "preprocessor_config.json"]),
        rng.random() < 0.5,
    )


def auto_map_of_the_config(folder: Folder, rng: random.Random) -> None:
    _auto_map(folder, "config.json", rng.choice([True, False, False]))


def _auto_map(folder: Folder, name: str, known: bool) -> None:
    (folder.path / "evil.py").write_text(
        folder.code("auto_map")
        + "from transformers import BertConfig as EvilConfig, BertForSequenceClassification as EvilModel\n"
        + "from transformers import BertTokenizerFast as EvilTokenizer\n"
        + "EvilConfig.model_type = 'evil'\n"
    )
    entries = {
        "AutoConfig": "evil.EvilConfig",
        "AutoModelForSequenceClassification": "evil.EvilModel",
        "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
    }

    def change(content: Json) -> None:
        content["auto_map"] = entries
        if name == "config.json" and not known:
            content["model_type"] = "evil"
        if name == "tokenizer_config.json":
            content["tokenizer_class"] = "EvilTokenizer" if not known else content.get("tokenizer_class")

    folder.edit(name, change)
    folder.expected = "either"


def code_asked_for(folder: Folder, rng: random.Random) -> None:
    (folder.path / "modeling_evil.py").write_text(folder.code("asked"))
    folder.edit(
        "config.json",
        lambda c: c.update(
            trust_remote_code=True,
            auto_map={"AutoModelForSequenceClassification": "modeling_evil.X"},
            architectures=["X"],
        ),
    )
    folder.edit("tokenizer_config.json", lambda c: c.update(trust_remote_code=True))
    folder.expected = "either"


def kernel_of_the_hub(folder: Folder, rng: random.Random) -> None:
    key = rng.choice(
        [
            "_attn_implementation",
            "attn_implementation",
            "_experts_implementation",
            "experts_implementation",
            "attn_implementation_internal",
        ]
    )
    folder.edit(
        "config.json",
        lambda c: c.update(
            {
                key: rng.choice(
                    ["evil/kernel", "kernels-community/flash-attn2", "evil/kernel@main:f", "paged|evil/kernel"]
                )
            }
        ),
    )
    folder.expected = "either"


def nested_config(folder: Folder, rng: random.Random) -> None:
    (folder.path / "evil.py").write_text(folder.code("nested"))
    nested = {"model_type": "evil", "auto_map": {"AutoConfig": "evil.C"}, "trust_remote_code": True}
    key = rng.choice(["text_config", "vision_config", "encoder", "decoder", "backbone_config", "quantization_config"])
    folder.edit("config.json", lambda c: c.update({key: nested}))
    folder.expected = "either"


def chat_template(folder: Folder, rng: random.Random) -> None:
    template = "{{ cycler.__init__.__globals__.os.system('touch " + str(folder.canary / "template") + "') }}"
    (folder.path / "chat_template.jinja").write_text(template)
    folder.edit("tokenizer_config.json", lambda c: c.update(chat_template=template))
    folder.expected = "either"


def adapter_beside(folder: Folder, rng: random.Random) -> None:
    """Says that it is an adapter of another model."""
    content = {
        "base_model_name_or_path": rng.choice(["evil/base", "../elsewhere", 3, None]),
        "peft_type": "LORA",
        "auto_mapping": {"base_model_class": "X", "parent_library": "evil"},
    }
    (folder.path / "adapter_config.json").write_text(json.dumps(content))
    (folder.path / "evil.py").write_text(folder.code("adapter"))
    folder.cwd = folder.path
    folder.expected = "either"


def modules_of_the_working_folder(folder: Folder, rng: random.Random) -> None:
    """The command is run inside the downloaded folder, where modules lie that are called like everyone's."""
    for name in ("numpy", "json", "torch", "transformers", "safetensors", "sitecustomize", "edgedistill", "typing"):
        (folder.path / f"{name}.py").write_text(folder.code(name))
    folder.cwd, folder.expected = folder.path, "works"


def quantization_asked_for(folder: Folder, rng: random.Random) -> None:
    method = rng.choice(["bitsandbytes", "gptq", "awq", "torchao", "evil", "hqq", "fp8", 3])
    folder.edit(
        "config.json", lambda c: c.update(quantization_config={"quant_method": method, "bits": 4, "load_in_8bit": True})
    )


def other_weights_file_named(folder: Folder, rng: random.Random) -> None:
    key = rng.choice(["transformers_weights", "weights_name", "gguf_file", "subfolder", "_commit_hash"])
    folder.edit(
        "config.json",
        lambda c: c.update({key: rng.choice(["../elsewhere.safetensors", "pytorch_model.bin", "x.gguf", 3])}),
    )
    shutil.copy(folder.path / "model.safetensors", folder.path.parent / "elsewhere.safetensors")
    (folder.path / "pytorch_model.bin").write_bytes(pickle.dumps(_Payload(folder.canary / "named")))
    folder.expected = "either"


# Weights.


def weight_missing(folder: Folder, rng: random.Random) -> None:
    folder.tensors(lambda t: t.pop(rng.choice(sorted(t))))


def weight_misnamed(folder: Folder, rng: random.Random) -> None:
    def change(content: dict[str, np.ndarray]) -> None:
        name = rng.choice(sorted(content))
        content[rng.choice([f"{name}x", name.replace("bert.", ""), name.upper(), name.replace(".", "/")])] = (
            content.pop(name)
        )

    folder.tensors(change)
    folder.expected = "either"


def weight_of_another_shape(folder: Folder, rng: random.Random) -> None:
    def change(content: dict[str, np.ndarray]) -> None:
        name = rng.choice(sorted(content))
        value = content[name]
        content[name] = rng.choice(
            [lambda: value[:-1], lambda: value.reshape(1, *value.shape), lambda: np.concatenate([value, value])]
        )()

    folder.tensors(change)


def weight_of_another_type(folder: Folder, rng: random.Random) -> None:
    kind = rng.choice([np.int8, np.int64, np.bool_, np.uint8])

    def change(content: dict[str, np.ndarray]) -> None:
        name = rng.choice(sorted(each for each in content if "dense" in each and "weight" in each))
        content[name] = content[name].astype(kind)

    folder.tensors(change)


def weight_not_finite(folder: Folder, rng: random.Random) -> None:
    value = rng.choice([np.nan, np.inf, -np.inf])

    def change(content: dict[str, np.ndarray]) -> None:
        name = rng.choice([each for each in sorted(content) if "position" not in each and "word" not in each])
        content[name] = content[name].copy()
        content[name].flat[0] = value

    folder.tensors(change)


def weights_cut_short(folder: Folder, rng: random.Random) -> None:
    file = folder.path / "model.safetensors"
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[: rng.choice([0, 4, 8, 100, size // 2, size - 1])])


def weights_longer(folder: Folder, rng: random.Random) -> None:
    file = folder.path / "model.safetensors"
    file.write_bytes(file.read_bytes() + rng.choice([b"\x00", b"x" * 4096]))


def weights_other_bytes(folder: Folder, rng: random.Random) -> None:
    content = rng.choice(
        [
            b"",
            b"garbage",
            b"\x80\x04N.",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            b"<html>",
            b"PK\x03\x04",
            b"\xff" * 64,
        ]
    )
    (folder.path / "model.safetensors").write_bytes(content)


def header_length(folder: Folder, rng: random.Random) -> None:
    file = folder.path / "model.safetensors"
    file.write_bytes(struct.pack("<Q", rng.choice([0, 1, 2**62, 2**64 - 1, 10**9, 7])) + file.read_bytes()[8:])


def header_entry(folder: Folder, rng: random.Random) -> None:
    def change(content: Json) -> None:
        name = rng.choice([each for each in sorted(content) if each != "__metadata__"])
        key, value = rng.choice(
            [("dtype", "F99"), ("dtype", 3), ("shape", [2**40, 2**40]), ("shape", [-1]), ("shape", []),
            ("data_offsets", [0, 2**60]), ("shape", [1.5]),
             ("data_offsets", [10, 5]), ("data_offsets", [-4, 0]), ("data_offsets", [0]), ("shape", "32"),
             ("data_offsets", [0, 4])]
        )  # fmt: skip
        content[name][key] = value

    folder.header(change)


def header_text(folder: Folder, rng: random.Random) -> None:
    file = folder.path / "model.safetensors"
    raw = file.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    new = rng.choice(
        [
            b"{" * length,
            b"[" * length,
            b"[]".ljust(length),
            b"null".ljust(length),
            b'{"a": 1}'.ljust(length),
            b"\xff" * length,
        ]
    )
    file.write_bytes(raw[:8] + new + raw[8 + length :])


def weights_missing(folder: Folder, rng: random.Random) -> None:
    file = folder.path / "model.safetensors"
    how = rng.choice(["gone", "folder", "dangling", "loop", "renamed", "fifo"])
    if how == "renamed":
        file.rename(folder.path / "weights.safetensors")
        return
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "fifo":
        os.mkfifo(file)
    elif how != "gone":
        file.symlink_to("nothing" if how == "dangling" else file.name)


# Configuration.


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
    raw = (folder.path / name).read_bytes()
    contents = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        raw[: len(raw) // 2],
        raw.decode().encode("utf-16"),
        b"\xff\xfe",
        b"[" * 50_000,
        b'{"a":' * 50_000,
        b'{"x": NaN}',
        b"{}",
        b"{} {}",
    ]
    (folder.path / name).write_bytes(rng.choice(contents))
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


# Tokenizer.


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
    options = [
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


MUTATIONS: tuple[Mutation, ...] = (
    written_otherwise, files_beside, config_keys_more, weights_sharded, weights_in_half_precision, weights_more,
    tokenizer_padding_fixed, linked_files, pickle_in_place_of_weights, index_names_another_file, auto_map,
        auto_map_of_the_config, code_asked_for,
    kernel_of_the_hub, nested_config, chat_template, adapter_beside, modules_of_the_working_folder,
        quantization_asked_for,
    other_weights_file_named, weight_missing, weight_misnamed, weight_of_another_shape, weight_of_another_type,
    weight_not_finite, weights_cut_short, weights_longer, weights_other_bytes, header_length, header_entry, header_text,
    weights_missing, config_size, config_value_odd, config_model_type, config_labels, config_labels_missing,
    problem_type_multi_label, problem_type_regression, json_broken, byte_order_mark, bytes_flipped_in_json,
        config_missing,
    folder_empty, tokenizer_missing, tokenizer_words_gone, tokenizer_numbers_beyond, tokenizer_part_odd,
        tokenizer_config_odd,
    files_of_another_tokenizer,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated teacher, used as it is: `run`, only as far as its logits of the training texts."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    folder = Folder(Path(shutil.copytree(case.world.teacher, case.path("teacher"))), case.canary)
    mutation(folder, case.rng)
    tree = recipe_tree(case.world, tuned=False)
    tree["teacher"] = {"model": str(folder.path)}
    recipe = write_recipe(tree, case.path("recipe.yaml"))
    outcome = case.command("run", recipe, "--out", case.path("run"), cwd=folder.cwd, only="logits-teacher-train")
    verdict = judge(case, outcome, folder.expected, lambda: case.isolated(lambda: _differs(case, folder)))
    return mutation.__name__, verdict


def _differs(case: Case, folder: Folder) -> str | None:
    """What of the recorded logits or of the class names isn't the undamaged teacher's."""
    from safetensors.numpy import load_file

    names = [
        json.loads(next(run.glob("steps/*/data.json")).read_text())["labels"]
        for run in (case.world.as_is, case.path("run"))
    ]
    if names[0] != names[1]:
        return f"classes {names[1]}, expected {names[0]}"
    own, other = (
        sorted(run.glob("steps/*-logits-teacher-train-*/*.safetensors")) for run in (case.world.as_is, case.path("run"))
    )
    if not own or [file.name for file in own] != [file.name for file in other]:
        return f"recorded {[file.name for file in other]}, expected {[file.name for file in own]}"
    for one, two in zip(own, other, strict=True):
        wanted, found = load_file(one), load_file(two)
        for name, values in wanted.items():
            if found[name].shape != values.shape:
                return f"{name}: {found[name].shape}, expected {values.shape}"
            distance = np.abs(found[name].astype(np.float64) - values.astype(np.float64)).max()
            if not distance <= folder.tolerance:
                return f"logits are off by {distance:.3g}"
    return None
