"""Names, paths and recipes that extend others."""

from __future__ import annotations

import json
import random

from .tree import Input, Tree, alone, put, text_of, with_raw


def odd_name(tree: Tree, rng: random.Random) -> Input:
    names = [
        "../up",
        "/abs",
        "a/b",
        ".",
        "",
        "a b",
        "-rf",
        "CON",
        "x" * 41,
        "é",
        "a\x00b",
        "teacher",
        "control",
        "r1-control",
        "*",
    ]
    path = rng.choice([("name",), ("rounds", 0, "id"), ("rounds", 0, "stages", 0, "name")])
    return alone(text_of(put(tree, path, rng.choice(names))), "either" if path[-1] == "name" else "refused")


def data_path(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["missing.jsonl", "missing/x.jsonl", "/dev/zero", "/dev/stdin", "/proc/self/environ", "x" * 300 + ".jsonl",
        "a\x00b.jsonl",
         "~nobody/x.jsonl", "http://localhost/x.jsonl", "hf://x/y.jsonl", "*.jsonl", "file.txt", "\ud800.jsonl"]
    )  # fmt: skip
    quoted = json.dumps(name)
    return alone(with_raw(tree, ("data", rng.choice(["train", "validation", "test"]), "path"), quoted), "refused")


def model_path(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["", ".", "..", "/", "missing", "/dev/null", "a/b/c", "x" * 300, "a\x00b", "../../etc", "hf://a/b", " ", "A B"]
    )
    return alone(with_raw(tree, ("teacher", "model"), json.dumps(name)), "either")


def extends_odd(tree: Tree, rng: random.Random) -> Input:
    raw = rng.choice(["recipe.yaml", "./recipe.yaml", "missing", "x" * 5000, "/", ".", "''", "1", "[a]", "{a: 1}",
        "true",
                      "'a\\0b'", "\"a\\0b\"", "/dev/null", "../..", "\"\\ud800\""])  # fmt: skip
    return alone(f"extends: {raw}\n{text_of(tree)}", "refused")


def extends_chain(tree: Tree, rng: random.Random) -> Input:
    length = rng.choice([1, 3, 40, 1200])
    files: dict[str, str | bytes] = {f"b{i}.yaml": f"extends: b{i + 1}.yaml\nseed: {i}\n" for i in range(length)}
    files[f"b{length}.yaml"] = text_of({key: value for key, value in tree.items() if key != "seed"})
    files["recipe.yaml"] = "extends: b0.yaml\n"
    return Input(files, (), "works" if length < 10 else "either")


def extends_circle(tree: Tree, rng: random.Random) -> Input:
    first = "extends: b.yaml\n" + text_of(tree)
    return Input(
        {"recipe.yaml": first, "b.yaml": "extends: c.yaml\n", "c.yaml": "extends: recipe.yaml\n"}, (), "refused"
    )


def extends_part(tree: Tree, rng: random.Random) -> Input:
    """Part of the recipe stands in the file that it starts from."""
    keys = rng.sample(list(tree), 5)
    below, above = {k: v for k, v in tree.items() if k in keys}, {k: v for k, v in tree.items() if k not in keys}
    below["seed"], above["seed"] = 11, 12
    return Input({"base.yaml": text_of(below), "recipe.yaml": "extends: base.yaml\n" + text_of(above)}, (), "works")
