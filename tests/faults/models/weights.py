"""Weights that are missing, of another kind, or damaged."""

from __future__ import annotations

import os
import random
import struct

import numpy as np

from ..damaged import Json
from .folder import Folder


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
        name = rng.choice(sorted(key for key in content if "dense" in key and "weight" in key))
        content[name] = content[name].astype(kind)

    folder.tensors(change)


def weight_not_finite(folder: Folder, rng: random.Random) -> None:
    value = rng.choice([np.nan, np.inf, -np.inf])

    def change(content: dict[str, np.ndarray]) -> None:
        name = rng.choice([key for key in sorted(content) if "position" not in key and "word" not in key])
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
        name = rng.choice([tensor for tensor in sorted(content) if tensor != "__metadata__"])
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
