"""Weights, operators and bytes of the file."""

from __future__ import annotations

import json
import random
import shutil
from typing import Any

import numpy as np

from ..world import LABELS
from .file import File


def external_weights(file: File, rng: random.Random) -> None:
    """Weights in a file beside it, under any name: they are part of the model's size."""
    file.external(rng.choice(["model.onnx_data", "model.onnx.data", "weights.bin", "model.bin", "x"]))
    file.expected = "works"


def external_weights_damaged(file: File, rng: random.Random) -> None:
    file.external("model.onnx_data")
    data = file.path.with_name("model.onnx_data")
    how = rng.choice(["gone", "cut", "empty", "folder"])
    content = data.read_bytes()
    data.unlink()
    if how == "folder":
        data.mkdir()
    elif how != "gone":
        data.write_bytes(content[: len(content) // 2] if how == "cut" else b"")


def external_weights_elsewhere(file: File, rng: random.Random) -> None:
    """Out of the folder."""
    file.external("model.onnx_data")
    outside = file.path.parent.parent / "outside.bin"
    shutil.move(file.path.with_name("model.onnx_data"), outside)
    place = rng.choice(["../outside.bin", str(outside), "sub/../../outside.bin"])

    def change(model: Any) -> None:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place

    import onnx

    model = onnx.load(file.path, load_external_data=False)
    change(model)
    file.path.write_bytes(model.SerializeToString())
    file.expected = "either"


def weight_not_finite(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        tensor = max(model.graph.initializer, key=lambda initializer: len(initializer.raw_data))
        tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()

    file.edit(change)


def version_unknown(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        if rng.random() < 0.5:
            model.opset_import[0].version = rng.choice([99, 10**6])
        else:
            model.ir_version = 99

    file.edit(change)


def operator_unknown(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        node = rng.choice(list(model.graph.node))
        node.op_type, node.domain = rng.choice(
            [("Evil", ""), ("Evil", "com.evil"), ("FusedMatMul", "com.microsoft.x"), ("", "")]
        )

    file.edit(change)


def graph_broken(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        nodes = model.graph.node
        how = rng.choice(["loop", "missing", "gone", "twice"])
        if how == "loop":
            nodes[0].input[0] = nodes[-1].output[0]
        elif how == "missing":
            nodes[3].input[0] = "nowhere"
        elif how == "gone":
            del nodes[rng.randrange(len(nodes))]
        else:
            nodes.append(nodes[2])

    file.edit(change)
    file.expected = "either"


def cut_short(file: File, rng: random.Random) -> None:
    raw = file.path.read_bytes()
    file.path.write_bytes(raw[: rng.choice([0, 1, 100, len(raw) // 2, len(raw) - 5])])


def other_bytes(file: File, rng: random.Random) -> None:
    content = rng.choice(
        [
            b"",
            b"garbage" * 50,
            b"ORTM" + b"\x00" * 64,
            b"PK\x03\x04",
            b"\x80\x04N.",
            b"version https://git-lfs.github.com/spec/v1\n",
            b"\x08\x08",
            b"<html>",
        ]
    )
    file.path.write_bytes(content)


def bytes_flipped(file: File, rng: random.Random) -> None:
    raw = bytearray(file.path.read_bytes())
    for _ in range(rng.choice([1, 4, 40])):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    file.path.write_bytes(bytes(raw))
    file.expected = "either"


def suffix_odd(file: File, rng: random.Random) -> None:
    new = file.path.with_name(rng.choice(["model.ort", "model.bin", "model", "model.onnx.txt", "model.ONNX"]))
    file.path.rename(new)
    file.path = new
    file.expected = "either"


def not_a_file(file: File, rng: random.Random) -> None:
    file.path.unlink()
    how = rng.choice(["folder", "dangling", "loop", "gone"])
    if how == "folder":
        file.path.mkdir()
    elif how != "gone":
        file.path.symlink_to("nothing" if how == "dangling" else file.path.name)


def neighbours_missing(file: File, rng: random.Random) -> None:
    """No tokenizer or configuration beside it."""
    (file.path.parent / rng.choice(["tokenizer.json", "config.json"])).unlink()
    file.expected = "refused"


def classes_of_the_config(file: File, rng: random.Random) -> None:
    """The configuration beside it has other classes than the file."""
    config = file.path.parent / "config.json"
    content = json.loads(config.read_text())
    more = rng.choice([["more"], ["a", "b", "c", "d"], []])
    names = [*LABELS, *more] if more else list(LABELS)[:2]
    content["id2label"] = {str(i): name for i, name in enumerate(names)}
    content["label2id"] = {name: i for i, name in enumerate(names)}
    config.write_text(json.dumps(content))


def modules_of_the_working_folder(file: File, rng: random.Random) -> None:
    for name in ("numpy", "json", "onnxruntime", "safetensors", "edgedistill", "sitecustomize"):
        (file.path.parent / f"{name}.py").write_text(f"open({str(file.canary / name)!r}, 'w').close()\n")
    file.cwd, file.expected = file.path.parent, "works"
