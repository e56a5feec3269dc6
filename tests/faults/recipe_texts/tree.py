"""The recipe that is mutated, and where its values lie."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass

import yaml

from ..harness import Expected
from ..world import World, recipe_tree

Tree = dict[str, object]


@dataclass(frozen=True)
class Input:
    """What lies in the folder, and the `--set` options."""

    files: Mapping[str, str | bytes]
    sets: tuple[str, ...] = ()
    expected: Expected = "either"
    name: str = "recipe.yaml"


def base(world: World) -> Tree:
    """A recipe that says something in every part."""
    tree = recipe_tree(world, tuned=True)
    data = tree["data"]
    assert isinstance(data, dict)
    data |= {"unlabeled": {"path": str(world.data / "unlabeled.jsonl")}, "columns": {"text": "text", "label": "label"}}
    second = {
        "id": "r2",
        "teacher": ["teacher", "r1"],
        "student": {"init": "narrow", "from": "r1", "hidden_size": 16},
        "stages": [
            {
                "name": "more",
                "data": ["train", "unlabeled"],
                "epochs": 1,
                "losses": [{"kind": "kl", "temperature": 2.0, "weight": 0.5}, {"kind": "hard_label"}],
                "augment": {"typo": 0.1, "copies": 1},
                "dropout": 0.0,
                "errors": {"of": "r1", "kind": "focal"},
            }
        ],
    }
    rounds = tree["rounds"]
    assert isinstance(rounds, list)
    rounds.append(second)
    tree |= {
        "seed": 3,
        "seeds": [5],
        "stop": {"when": {"drop": 0.5}},
        "evaluate": {"ood": {"far": {"path": str(world.data / "unlabeled.jsonl")}}},
        "quantize": [{"precision": "fp32"}, {"precision": "int8-static", "calibration": {"from": "train", "take": 8}}],
    }
    return tree


def leaves(node: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The paths of all values that hold no others."""
    if isinstance(node, dict):
        return [leaf for key, value in node.items() for leaf in leaves(value, (*path, key))]
    if isinstance(node, list):
        return [leaf for key, value in enumerate(node) for leaf in leaves(value, (*path, key))]
    return [path]


def nodes(node: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The paths of all mappings and lists below the root."""
    found: list[tuple[object, ...]] = [path] if path else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if isinstance(value, dict | list):
            found += nodes(value, (*path, key))
    return found


def at(tree: object, path: tuple[object, ...]) -> object:
    """The value at a path."""
    for key in path:
        tree = tree[key]  # type: ignore[index]
    return tree


def put(tree: Tree, path: tuple[object, ...], value: object) -> Tree:
    """A copy with another value at a path."""
    copy = deepcopy(tree)
    holder = at(copy, path[:-1])
    holder[path[-1]] = value  # type: ignore[index]
    return copy


def text_of(tree: Tree) -> str:
    """As YAML."""
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)


_MARK = "REPLACE_ME"


def with_raw(tree: Tree, path: tuple[object, ...], raw: str) -> str:
    """YAML with `raw` in the place of a value."""
    return text_of(put(tree, path, _MARK)).replace(_MARK, raw)


def alone(text: str | bytes, expected: Expected = "either", **others: str | bytes) -> Input:
    return Input(
        {"recipe.yaml": text, **{name.replace("_yaml", ".yaml"): content for name, content in others.items()}},
        (),
        expected,
    )
