"""The reference of all keys of a recipe, in Markdown, from its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
"""JSON schema: arbitrary JSON data."""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_GROUPS = {"type": "Tasks", "init": "Students", "kind": "Losses"}
"""Headings of plug-ins, by the key that tags them."""


def markdown(schema: Schema) -> str:
    """A table of keys for each part of a recipe: type, default and meaning. Parts are in the order in which the recipe
    refers to them, followed by the installed tasks, students and losses."""
    parts = _Parts(schema["$defs"])
    lines = ["## Recipe", "", *parts.table(schema)]
    groups: dict[str, list[str]] = {group: [] for group in _GROUPS.values()}
    for name, paths in parts.paths(schema).items():
        tag, part = parts.tags[name], schema["$defs"][name]
        if tag is None:
            lines += ["", f"## {parts.titles[name]}", "", f"At {paths}.", "", *parts.table(part)]
        else:
            groups[_GROUPS[tag]] += ["", f"### {parts.titles[name]}", "", *parts.table(part, tag)]
    for group, rows in groups.items():
        lines += ["", f"## {group}", *rows]
    return "\n".join(lines) + "\n"


class _Parts:
    """The definitions of a schema."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self.tags = {name: _tag(part) for name, part in definitions.items()}
        """The key that tags a plug-in's spec; None for a part of the recipe itself."""
        self.titles = {name: self._title(name) for name in definitions}

    def paths(self, root: Schema) -> dict[str, str]:
        """Paths of each definition in a recipe: `rounds[].stages[]`."""
        found: dict[str, list[str]] = {}
        waiting = [("", root)]
        while waiting:
            path, part = waiting.pop(0)
            for key, entry in part.get("properties", {}).items():
                for name, brackets in _references(entry):
                    new = name not in found
                    found.setdefault(name, []).append(f"`{path}{key}{brackets}`")
                    if new:
                        waiting.append((f"{path}{key}{brackets}.", self._definitions[name]))
        return {name: ", ".join(dict.fromkeys(paths)) for name, paths in found.items()}

    def table(self, part: Schema, tag: str | None = None) -> Iterator[str]:
        """Its description, and a row for each key except the tag."""
        if part.get("description"):
            yield from (_one_line(part["description"]), "")
        entries = {key: entry for key, entry in part.get("properties", {}).items() if key != tag}
        if entries:
            yield from ("| key | takes | default | meaning |", "|---|---|---|---|")
        for key, entry in entries.items():
            default = "required" if key in part.get("required", ()) else _default(entry)
            yield f"| `{key}` | {self._takes(entry)} | {default} | {_one_line(entry.get('description', ''))} |"

    def _title(self, name: str) -> str:
        part, tag = self._definitions[name], self.tags[name]
        if tag is not None:
            return str(part["properties"][tag].get("const", part["title"]))
        return "".join(
            f" {letter}" if letter.isupper() else letter for letter in part["title"].removesuffix("Spec")
        ).strip()

    def _takes(self, entry: Schema) -> str:
        match entry:
            case {"$ref": reference}:
                title = self.titles[_name(reference)]
                return f"[{title}](#{title.lower().replace(' ', '-')})"
            case {"discriminator": {"propertyName": key}}:
                return f"one of the [{_GROUPS[key].lower()}](#{_GROUPS[key].lower()})"
            case {"anyOf": options} | {"oneOf": options}:
                return " or ".join(self._takes(option) for option in options if option.get("type") != "null")
            case {"const": value}:
                return f"`{value}`"
            case {"enum": values}:
                return ", ".join(f"`{value}`" for value in values)
            case {"type": "array", "items": items}:
                return f"list of {self._takes(items)}"
            case {"type": "object", "additionalProperties": dict() as values}:
                return f"mapping of name to {self._takes(values)}"
            case {"type": "object", "patternProperties": dict() as patterns}:
                return " or ".join(f"mapping of name to {self._takes(values)}" for values in patterns.values())
        kinds = {"integer": "whole number", "number": "number", "string": "text", "boolean": "`true`, `false`"}
        bounds = [f"{sign} {entry[bound]}" for bound, sign in _BOUNDS.items() if bound in entry]
        return ", ".join([kinds.get(entry.get("type", ""), "anything"), *bounds])


def _tag(part: Schema) -> str | None:
    return next((key for key in _GROUPS if "const" in part.get("properties", {}).get(key, {})), None)


def _default(entry: Schema) -> str:
    """Empty for null, and for a part, whose keys have their own defaults."""
    value = entry.get("default")
    return "" if value is None or (isinstance(value, dict) and value) else f"`{json.dumps(value, ensure_ascii=False)}`"


def _references(entry: object, brackets: str = "") -> Iterator[tuple[str, str]]:
    """(definition, with `[]` for each list and `.NAME` for each mapping around it) for everything an entry may
    contain."""
    match entry:
        case {"$ref": str() as reference}:
            yield _name(reference), brackets
        case {"type": "array", "items": items}:
            yield from _references(items, brackets + "[]")
        case {"type": "object", "additionalProperties": Mapping() as values}:
            yield from _references(values, brackets + ".NAME")
        case {"type": "object", "patternProperties": Mapping() as patterns}:
            for values in patterns.values():
                yield from _references(values, brackets + ".NAME")
        case {"anyOf": Sequence() as options} | {"oneOf": Sequence() as options}:
            for option in options:
                yield from _references(option, brackets)


def _name(reference: str) -> str:
    return reference.rsplit("/", 1)[-1]


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
