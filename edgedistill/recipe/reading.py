"""Reads a recipe: YAML, `extends`, overrides. Reports all problems at once: `file: path.to.key: got X, expected Y`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from edgedistill.contracts import registry
from edgedistill.contracts.registry import nearest
from edgedistill.errors import RecipeError, UserError, shortened
from edgedistill.recipe.checks import problems
from edgedistill.recipe.references import declared, fits, item_of, models_in, walk
from edgedistill.recipe.schema import Recipe
from edgedistill.recipe.text import MOST_BYTES, MOST_LEVELS, Tree, parse
from edgedistill.spec import LocalPath, ModelRef

_MOST_PARENTS = 20
_SHOWN_KEY = 60
_TAGGED: dict[str, registry.Group] = {"type": "tasks", "kind": "losses", "init": "students"}
"""The keys that tag plug-ins' specs in a recipe."""


def load(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file or of a shipped recipe's name, with `path=value` overrides applied.

    Raises:
        RecipeError: all problems found.
        UserError: no such recipe, or a file that is not YAML.
    """
    file = locate(name)
    tree = read(file)
    for override in overrides:
        _override(tree, override)
    return validate(tree, name)


def locate(name: str) -> Path:
    """The file of a recipe given by path or by a shipped recipe's name.

    Raises:
        UserError: neither.
    """
    shipped_files = shipped()
    if name in shipped_files:
        return shipped_files[name]
    if (file := _file(Path(), name)) is not None:
        return file
    known = sorted(shipped_files)
    raise UserError(
        f"recipe '{shortened(name, 200)}': expected a file, or one of the shipped recipes "
        f"{', '.join(known)}{nearest(name, known)}"
    )


def shipped() -> dict[str, Path]:
    """Name and file of every shipped recipe."""
    files: dict[str, Path] = {}
    for point in entry_points(group="edgedistill.recipes"):
        for folder in point.load().__path__:
            files.update({file.stem: file for file in sorted(Path(folder).glob("*.yaml"))})
    return files


def read(file: Path, seen: tuple[Path, ...] = ()) -> Tree:
    """The tree of one file, merged over the recipe it `extends`, with absolute local paths.

    Raises:
        UserError: not YAML, not a mapping, or a file that extends itself.
    """
    file = _absolute(Path.cwd(), str(file), "recipe").resolve()
    if file in seen:
        raise UserError(f"{file}: extends itself ({' -> '.join(path.name for path in (*seen, file))})")
    if len(seen) >= _MOST_PARENTS:
        raise UserError(f"{file}: more than {len(seen)} recipes extend one another, expected fewer")
    tree = parse(_text(file), str(file))
    if not isinstance(tree, dict):
        raise UserError(f"{file}: got {_kind(tree)}, expected a mapping with 'schema: edgedistill/1'")
    parent = tree.pop("extends", None)
    _absolute_paths(tree, file.parent, str(file))
    if parent is None:
        return tree
    if not isinstance(parent, str):
        raise UserError(f"{file}: extends: got {_short(parent)}, expected a file or a shipped recipe's name")
    beside = _file(file.parent, parent)
    try:
        base = locate(parent) if beside is None else beside
    except UserError as error:
        raise UserError(f"{file}: extends: {error}") from None
    return merge(read(base, (*seen, file)), tree)


def merge(base: Tree, change: Tree) -> Tree:
    """`change` over `base`: mappings merge key by key, anything else replaces."""
    merged = dict(base)
    for key, value in change.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def validate(tree: Tree, where: str) -> Recipe:
    """The typed recipe of a tree.

    Raises:
        RecipeError: all problems, each with path, value, expectation and the nearest known key.
    """
    try:
        recipe = Recipe.model_validate_json(json.dumps(tree))
    except ValidationError as error:
        raise RecipeError([f"{shortened(where, 200)}: {line}" for line in _explain(error, tree)]) from None
    found = [f"{shortened(where, 200)}: {path}: {sentence}" for path, sentence in problems(recipe)]
    if found:
        raise RecipeError(found)
    return recipe


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, which loads to the same recipe."""
    tree = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{file}: too long for a recipe, expected at most {MOST_BYTES // 1024} kB")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8 text: {error}") from error


def _override(tree: Tree, override: str) -> None:
    """Apply one `dotted.path=value`; the value is YAML, local paths count from the working directory.

    Raises:
        UserError: no '=', or a path through a value without keys.
    """
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    shown = f"--set {shortened(override, 200)}"
    if not equals or not all(keys):
        raise UserError(f"{shown}: expected dotted.path=value, for example rounds.0.stages.0.epochs=3")
    if len(keys) > MOST_LEVELS:
        raise UserError(f"{shown}: got a path of {len(keys)} keys, expected at most {MOST_LEVELS}")
    value = parse(text, shown, "the value")
    node: object = tree
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        here = ".".join(keys[:depth]) or "the recipe"
        if isinstance(node, list):
            number = _index(key, len(node))
            if number is None:
                raise UserError(f"{shown}: got '{shortened(key, 60)}' in {here}, expected a number below {len(node)}")
            if last:
                node[number] = value
            node = node[number]
        elif isinstance(node, dict):
            if last:
                node[key] = value
            elif node.get(key) is None:
                node[key] = {}
            node = node[key]
        else:
            raise UserError(f"{shown}: {here} is {_short(node)}, which has no keys")
    _absolute_paths(tree, Path.cwd(), shown)


def _index(key: str, length: int) -> int | None:
    """A valid index into a list of that length, in plain digits."""
    if not re.fullmatch("[0-9]{1,6}", key) or int(key) >= length:
        return None
    return int(key)


def _absolute_paths(tree: Tree, folder: Path, where: str) -> None:
    """Make local paths absolute: every `LocalPath`, and models that are folders.

    Raises:
        UserError: `where` and an invalid path.
    """
    for node in list(walk(tree, Recipe)):
        text = node.value
        model = any(isinstance(mark, ModelRef) for mark in node.marks)
        if not isinstance(text, str) or not (model or LocalPath() in node.marks):
            continue
        local = _absolute(folder, text, f"{where}: {node.key}")
        if not model or local.is_dir() or text.startswith((".", "~", "/")):
            node.put(str(local))


def _absolute(folder: Path, text: str, where: str) -> Path:
    """The absolute path; the file name is not resolved, since the Hub's cache links to files without a suffix.

    Raises:
        UserError: an invalid path: unknown `~user`, circular links, a name that is too long, a NUL.
    """
    try:
        path = folder / Path(text).expanduser()
        found = path.resolve()
        if found.is_file() and path.name != "..":
            found = path.parent.resolve() / path.name
    except (OSError, RuntimeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(f"{where}: got '{shortened(text, 200)}', which is not a valid path: {reason}") from None
    return found


def _file(folder: Path, text: str) -> Path | None:
    """The regular file with that name, if any."""
    try:
        file = folder / Path(text)
        return file if file.is_file() else None
    except (OSError, ValueError):
        return None


def _kind(value: object) -> str:
    return "nothing" if value is None else "a list" if isinstance(value, list) else f"{_short(value)}"


def _explain(error: ValidationError, tree: Tree) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path, known = _follow(problem["loc"], tree)
        path = [shortened(key, _SHOWN_KEY) for key in path]
        got = problem.get("input")
        if problem["type"] == "too_short" and isinstance(got, list) and got:
            continue  # each wrong item is reported separately
        match problem["type"]:
            case "extra_forbidden":
                key = path[-1] if path else ""
                yield f"{'.'.join(path)}: unknown key{nearest(key, known)} (known here: {', '.join(known)})"
            case "missing":
                yield f"{'.'.join(path)}: missing, expected {_expectation(problem['msg'], required=True)}"
            case "union_tag_invalid":
                context = problem.get("ctx", {})
                key = str(context.get("discriminator", "")).strip("'")
                tags = [tag.strip(" '") for tag in str(context.get("expected_tags", "")).split(",")]
                tag = str(context.get("tag", ""))
                hint = registry.hint(_TAGGED[key], tag)
                yield f"{'.'.join([*path, key])}: got {_short(tag)}, expected one of {', '.join(tags)}{hint}"
            case "union_tag_not_found":
                key = str(problem.get("ctx", {}).get("discriminator", "")).strip("'")
                yield f"{'.'.join([*path, key])}: missing, expected the name of one"
            case "value_error":
                yield f"{'.'.join(path)}: {problem['msg'].removeprefix('Value error, ')}"
            case _:
                yield f"{'.'.join(path)}: got {_short(got)}, expected {_expectation(problem['msg'])}"


def _expectation(message: str, *, required: bool = False) -> str:
    if required:
        return "a value"
    return re.sub(r"^Input should be (a valid )?", "", message)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _follow(location: Iterable[str | int], tree: object) -> tuple[list[str], list[str]]:
    """The dotted path as the user wrote it (without pydantic's union tags), and the keys known at its last mapping."""
    path: list[str] = []
    annotation: object = Recipe
    known: list[str] = []
    node = tree
    for key in location:
        models = [model for model in models_in(annotation) if fits(model, node)]
        known = sorted({_shown(name, model) for model in models for name in model.model_fields})
        if isinstance(key, int):
            path.append(str(key))
            node = node[key] if isinstance(node, list) and key < len(node) else None
            annotation = item_of(annotation)
        elif isinstance(node, dict) and (
            key in node or any(key == _shown(n, m) for m in models for n in m.model_fields)
        ):
            path.append(key)
            node = node.get(key)
            annotation = next(
                (declared(f) for m in models for n, f in m.model_fields.items() if key in (n, f.alias)), None
            )
    return path, known


def _shown(name: str, model: type[BaseModel]) -> str:
    return model.model_fields[name].alias or name
