"""An independent reader of recipes, and how the resolved recipe must agree with it."""

from __future__ import annotations

import datetime
import math
import re
from pathlib import Path

import yaml

from .tree import Tree


class Independent(yaml.CSafeLoader):
    """libyaml's parser."""


def _closed_mapping(loader: Independent, node: yaml.MappingNode) -> object:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    if len({repr(key) for key in keys}) != len(keys):
        raise ValueError("a key is given twice")
    return yaml.SafeLoader.construct_mapping(loader, node, deep=True)  # type: ignore[arg-type]


Independent.add_constructor("tag:yaml.org,2002:map", _closed_mapping)


def read(file: Path) -> Tree:
    tree = yaml.load(file.read_bytes().decode("utf-8-sig"), Loader=Independent)
    if not isinstance(tree, dict):
        raise ValueError("not a mapping")
    parent = tree.pop("extends", None)
    return tree if parent is None else over(read(file.parent / str(parent)), tree)


def over(below: object, above: object) -> Tree:
    assert isinstance(below, dict)
    assert isinstance(above, dict)
    both = dict(below)
    for key, value in above.items():
        deeper = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = over(both[key], value) if deeper else value
    return both


def set_at(node: object, keys: list[str], value: object) -> None:
    for key in keys[:-1]:
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        node = node[int(key)] if isinstance(node, list) else node[key]  # type: ignore[index]
    node[int(keys[-1]) if isinstance(node, list) else keys[-1]] = value  # type: ignore[index]


def missing(wanted: object, shown: object, folder: Path, path: tuple[object, ...]) -> str | None:
    """The first value that was given and isn't there."""
    where = ".".join(map(str, path))
    if isinstance(wanted, dict) and isinstance(shown, dict):
        for key, value in wanted.items():
            if key not in shown and value is not None:
                return f"{where}.{key}: given, but not in the resolved recipe"
            if (found := missing(value, shown.get(key), folder, (*path, key))) is not None:
                return found
        return None
    if isinstance(wanted, list) and isinstance(shown, list) and len(wanted) == len(shown):
        differences = (
            missing(one, other, folder, (*path, i)) for i, (one, other) in enumerate(zip(wanted, shown, strict=True))
        )
        return next((difference for difference in differences if difference is not None), None)
    return None if _same(wanted, shown, folder, path) else f"{where}: given {wanted!r:.60}, resolved as {shown!r:.60}"


def _same(wanted: object, shown: object, folder: Path, path: tuple[object, ...]) -> bool:
    if isinstance(wanted, bool) or isinstance(shown, bool) or wanted is None or shown is None:
        return wanted is shown
    if isinstance(shown, int | float):
        if isinstance(wanted, str):  # `3e-4` is text in YAML 1.1
            return bool(re.fullmatch(r"[-+.\deE]+", wanted)) and _number(wanted) == shown
        return isinstance(wanted, int | float) and (wanted == shown or (math.isnan(wanted) and math.isnan(shown)))
    if isinstance(wanted, str) and isinstance(shown, str):
        if path and path[-1] in ("path", "model", "masked_lm"):
            return shown in (wanted, str((folder / Path(wanted).expanduser()).resolve()))
        return wanted == shown
    if isinstance(wanted, datetime.date):
        return str(wanted) == shown
    return wanted == shown and type(wanted) is type(shown)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
