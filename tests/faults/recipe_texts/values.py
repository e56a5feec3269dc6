"""Values, keys and nodes that are others, missing, or twice."""

from __future__ import annotations

import random
import re
from copy import deepcopy

from ..harness import Expected
from .tree import Input, Tree, alone, at, leaves, nodes, put, text_of, with_raw

WILD: tuple[str, ...] = (
    "null", "true", "false", "yes", "on", "0", "-1", "1", "2", "1.5", "1e3", "3e-4", "1e400", "-0.0", ".5", "0x1F",
    "0o17", "017", "1_000", "1:30", "2024-01-02", "2024-01-02T03:04:05Z", "''", "'3'", "'0.1'", "~", "[]", "{}", "[1]",
    "{a: 1}", "[[[]]]", "train", "teacher", "r1", "kl", "fp32", "onnx", "..", "/", "/dev/null", "~", "'a\\0b'",
    "!!binary aGVsbG8=", "!!set {a, b}", "!!str 3", "!!int '3'", "!!float 3", "!!python/name:os.system ''", "? [a]",
    "9223372036854775808", "99999999999999999999999999", "1" * 400, "'" + "x" * 5000 + "'", "é", "'\\u202e'",
    "\"\\ud800\"", "&a [*a]", "=", "<<", "|\n  text\n", "x: y: z", "%", "@a", "`", "- a",
)  # fmt: skip


NOT_FINITE = (".inf", "-.inf", ".nan", "1e999", "-1e999")


def wild_value(tree: Tree, rng: random.Random) -> Input:
    return alone(with_raw(tree, rng.choice(leaves(tree)), rng.choice(WILD)))


def wild_node(tree: Tree, rng: random.Random) -> Input:
    return alone(with_raw(tree, rng.choice(nodes(tree)), rng.choice(WILD)))


def number_not_finite(tree: Tree, rng: random.Random) -> Input:
    numeric = [leaf for leaf in leaves(tree) if isinstance(at(tree, leaf), float)]
    return alone(with_raw(tree, rng.choice(numeric), rng.choice(NOT_FINITE)), "refused")


def number_huge(tree: Tree, rng: random.Random) -> Input:
    numeric = [leaf for leaf in leaves(tree) if isinstance(at(tree, leaf), int | float)]
    return alone(with_raw(tree, rng.choice(numeric), rng.choice(["1" * 5000, "1" + "0" * 30, "1e308", "-" + "9" * 25])))


def key_unknown(tree: Tree, rng: random.Random) -> Input:
    where = rng.choice([node for node in [(), *nodes(tree)] if isinstance(at(tree, node), dict)])
    open_places = (("data", "columns"), ("evaluate", "ood"))
    if where in open_places:
        where = ()
    key = rng.choice(["colour", "epoch", "", " ", "x" * 300, "été", "__class__", "model_config", "schema_", "self"])
    copy = deepcopy(tree)
    at(copy, where)[key] = rng.choice([1, "a", None, [], {}])  # type: ignore[index]
    return alone(text_of(copy), "refused")


def key_misspelt(tree: Tree, rng: random.Random) -> Input:
    where = rng.choice([node for node in [(), *nodes(tree)] if isinstance(at(tree, node), dict) and at(tree, node)])
    copy = deepcopy(tree)
    holder = at(copy, where)
    assert isinstance(holder, dict)
    key = rng.choice(list(holder))
    wrong = rng.choice([key.upper() + "x", key[:-1] or "q", key + "s", key.replace("e", "3") + "_", f" {key}"])
    expected: Expected = "either" if where in (("evaluate", "ood"),) else "refused"
    holder[wrong] = holder.pop(key)
    return alone(text_of(copy), expected if wrong.strip() != key else "either")


def key_missing(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([*leaves(tree), *nodes(tree)])
    copy = deepcopy(tree)
    del at(copy, path[:-1])[path[-1]]  # type: ignore[attr-defined]
    return alone(text_of(copy))


def key_twice(tree: Tree, rng: random.Random) -> Input:
    lines = text_of(tree).splitlines()
    number = rng.choice([i for i, line in enumerate(lines) if re.match(r"^\s*\w+: \S", line)])
    return alone("\n".join([*lines[: number + 1], lines[number], *lines[number + 1 :]]), "refused")


def key_not_text(tree: Tree, rng: random.Random) -> Input:
    raw = rng.choice(
        [
            "1",
            "1.5",
            "true",
            "null",
            "~",
            "2024-01-02",
            "2024-01-02 03:04:05",
            "[a, b]",
            "{a: b}",
            ".nan",
            "!!binary YQ==",
        ]
    )
    where = rng.choice(["", "data:\n", "select:\n  limits:\n"])
    if not where:
        return alone(f"{text_of(tree)}? {raw}\n: 1\n", "refused")
    indent = "  " * where.count("\n")
    copy = {key: value for key, value in tree.items() if key != where.split(":")[0]}
    return alone(f"{text_of(copy)}{where}{indent}? {raw}\n{indent}: 1\n", "refused")


def node_moved(tree: Tree, rng: random.Random) -> Input:
    one, other = rng.sample(nodes(tree), 2)
    try:
        return alone(text_of(put(put(tree, one, at(tree, other)), other, at(tree, one))))
    except (KeyError, IndexError, TypeError):
        return alone(text_of(put(tree, one, at(tree, other))))


def item_repeated(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([node for node in nodes(tree) if isinstance(at(tree, node), list) and at(tree, node)])
    items = at(tree, path)
    assert isinstance(items, list)
    return alone(text_of(put(tree, path, items * rng.choice([2, 3, 60]))))


def list_emptied(tree: Tree, rng: random.Random) -> Input:
    path = rng.choice([node for node in nodes(tree) if isinstance(at(tree, node), list)])
    return alone(text_of(put(tree, path, [])))
