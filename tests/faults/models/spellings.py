"""The same folder, written otherwise."""

from __future__ import annotations

import json
import pickle
import random

import numpy as np

from ..damaged import Json, Payload
from .folder import Folder


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
            file.write_bytes(pickle.dumps(Payload(folder.canary / name)))
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
    folder.tensors(lambda t: t.update({name: array.astype(np.float16) for name, array in t.items()}))
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
