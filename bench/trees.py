"""The parts of a recipe as YAML reads it, each with its type."""

from __future__ import annotations

Tree = dict[str, object]


def mapping(tree: Tree, key: str) -> Tree:
    """The keys below this one."""
    found = tree[key]
    assert isinstance(found, dict), f"{key} is a {type(found).__name__}, expected keys below it"
    return found


def mappings(tree: Tree, key: str) -> list[Tree]:
    """The rounds, the stages or the losses of this key."""
    found = tree[key]
    assert isinstance(found, list), f"{key} is a {type(found).__name__}, expected a list"
    return found


def whole(tree: Tree, key: str) -> int:
    """A count, such as that of epochs."""
    found = tree[key]
    assert isinstance(found, int), f"{key} is {found!r}, expected a whole number"
    return found
