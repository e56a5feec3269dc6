"""What YAML allows and a recipe must not do to the machine."""

from __future__ import annotations

import random
from copy import deepcopy

from .tree import Input, Tree, alone, at, leaves, put, text_of, with_raw


def aliases_explode(tree: Tree, rng: random.Random) -> Input:
    depth, leaf = rng.choice([(9, "lol"), (30, "1"), (9, "{a: 1}")])
    fan = 10 if depth == 9 else 2
    lines = [f"a0: &a0 {leaf}"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * fan)}]" for i in range(1, depth)]
    place = rng.choice(["", "name: *LAST\n", "rounds: *LAST\n"]).replace("LAST", f"a{depth - 1}")
    kept = {key: value for key, value in tree.items() if not place.startswith(key)}
    return alone("\n".join(lines) + "\n" + place + text_of(kept), "refused")


def alias_of_itself(tree: Tree, rng: random.Random) -> Input:
    key = rng.choice(["rounds", "data", "quantize", "seeds", "evaluate"])
    raw = rng.choice(["&x [*x]", "&x {a: *x}", "&x [[*x], *x]"])
    return alone(with_raw(tree, (key,), raw), "refused")


def alias_plain(tree: Tree, rng: random.Random) -> Input:
    """An ordinary anchor: what people use them for."""
    raw = text_of(tree).replace("learning_rate: 0.002", "learning_rate: &rate 0.002")
    return alone(raw.replace("learning_rate: 0.001", "learning_rate: *rate"), "either")


def merge_key(tree: Tree, rng: random.Random) -> Input:
    return alone("<<: {seed: 7, colour: 1}\n" + text_of(tree), "refused")


def deep_nesting(tree: Tree, rng: random.Random) -> Input:
    deep = rng.choice([60, 900, 5000, 60_000])
    opened, closed = rng.choice([("[", "]"), ("{a: ", "}")])
    return alone(with_raw(tree, rng.choice(leaves(tree)), opened * deep + closed * deep), "refused")


def tag_of_python(tree: Tree, rng: random.Random) -> Input:
    call = "!!python/object/apply:os.system ['touch ../canary/yaml']"
    tags = [
        call,
        "!!python/object/new:os.system [x]",
        "!!python/module:this ''",
        "!mine 1",
        "!!timestamp 2024",
        "!!omap [a: 1]",
    ]
    return alone(with_raw(tree, rng.choice(leaves(tree)), rng.choice(tags)))


def many_keys(tree: Tree, rng: random.Random) -> Input:
    more = "".join(f"key{i}: {i}\n" for i in range(20_000))
    return alone(text_of(tree) + more, "refused")


def many_problems(tree: Tree, rng: random.Random) -> Input:
    copy = deepcopy(tree)
    copy["quantize"] = [{"precision": f"fp{i}", "x" * 40: i} for i in range(2000)]
    return alone(text_of(copy), "refused")


def long_text(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([leaf for leaf in leaves(tree) if isinstance(at(tree, leaf), str)])
    long = rng.choice(["x", "é ", "a/b/"]) * rng.choice([300, 5000, 200_000])
    return alone(text_of(put(tree, path, long)))
