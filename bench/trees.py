"""Typed access to the parts of a recipe tree."""

from __future__ import annotations

Tree = dict[str, object]
"""A recipe tree, or a row of a table."""


def mapping(tree: Tree, key: str) -> Tree:
    """The mapping under this key."""
    found = tree[key]
    assert isinstance(found, dict), f"{key} is a {type(found).__name__}, expected keys below it"
    return found


def mappings(tree: Tree, key: str) -> list[Tree]:
    """The list of rounds, stages or losses under this key."""
    found = tree[key]
    assert isinstance(found, list), f"{key} is a {type(found).__name__}, expected a list"
    return found


def whole(tree: Tree, key: str) -> int:
    """A whole number, such as a number of epochs."""
    found = tree[key]
    assert isinstance(found, int), f"{key} is {found!r}, expected a whole number"
    return found
