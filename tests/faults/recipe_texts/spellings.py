"""The same recipe written otherwise, and `--set`."""

from __future__ import annotations

import json
import random

import yaml

from .tree import Input, Tree, alone, leaves, text_of, with_raw
from .values import WILD


def written_otherwise(tree: Tree, rng: random.Random) -> Input:
    """The same recipe: keys in another order, flow style, CRLF, comments, JSON."""
    mixed = dict(rng.sample(list(tree.items()), len(tree)))
    forms = [
        yaml.safe_dump(mixed, sort_keys=False),
        yaml.safe_dump(tree, default_flow_style=True, width=80),
        text_of(tree).replace("\n", "\r\n"),
        "%YAML 1.1\n---\n# comment\n" + text_of(tree) + "\n...\n",
        json.dumps(tree),
        "\n\n" + text_of(tree).replace(": ", ":  "),
    ]
    return alone(rng.choice(forms), "works")


def number_written_otherwise(tree: Tree, rng: random.Random) -> Input:
    path = ("rounds", 0, "stages", 0, "learning_rate")
    return alone(with_raw(tree, path, rng.choice(["3e-4", "3.0e-4", "0.0003", "3E-4", "+3e-4", ".0003"])), "works")


def set_odd(tree: Tree, rng: random.Random) -> Input:
    option = rng.choice(
        ["rounds.²=1", "rounds.٣=1", "rounds.-1=1", "rounds.99999999999999999999=1", "=1", ".=1", "a..b=1", "seed",
        "seed=",
         "seed=[", "seed=&a [*a]", "seed=!!python/name:os.system", "name.x=1", "seed.0.a=3",
         "rounds.0.stages.0.epochs.x=1",
         "rounds=1", "rounds.0=1", "data=1", "data.train.path=", "name=" + "x" * 100_000, "." * 5000 + "=1",
         "rounds.2=1",
         "a." * 3000 + "b=1", "seed=" + "[" * 3000, "seed=" + "1" * 6000, "seed=2024-01-02", "extends=quickstart",
         "rounds.0.id=r9", "rounds.1.id=teacher", "seed=\ud800", "seed= 4 #x", "select.limits=null",
         "teacher.scratch={}"]
    )  # fmt: skip
    return Input({"recipe.yaml": text_of(tree)}, (option,))


def set_value(tree: Tree, rng: random.Random) -> Input:
    sets = []
    for _ in range(rng.choice([1, 2, 4])):
        path = rng.choice(leaves(tree))
        sets.append(f"{'.'.join(map(str, path))}={rng.choice([value for value in WILD if chr(10) not in value])}")
    return Input({"recipe.yaml": text_of(tree)}, tuple(sets))


def set_good(tree: Tree, rng: random.Random) -> Input:
    options = [
        "seed=21",
        "rounds.0.stages.0.epochs=9",
        "select.limits.file_mb=3.5",
        "name=other",
        "rounds.1.stages.0.learning_rate=3e-4",
        "measure.threads=[1, 2]",
    ]
    return Input({"recipe.yaml": text_of(tree)}, tuple(rng.sample(options, 3)), "works")


def name_odd(tree: Tree, rng: random.Random) -> Input:
    name = rng.choice(
        ["quickstat", "x" * 5000, "", ".", "/dev/null", "folder", "-", "..", "a/b.yaml", "https://x/y.yaml", "é.yaml"]
    )
    return Input({"recipe.yaml": text_of(tree), "folder/x": ""}, (), "refused", name)
