"""Parses a recipe into mappings, lists and plain values, from a safe subset of YAML.

Tags, complex keys, non-finite numbers and oversized or deeply nested documents are refused; aliases are counted at full
size before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from edgedistill.errors import UserError, shortened

Tree = dict[str, object]

MOST_BYTES, MOST_VALUES, MOST_LEVELS = 256 * 1024, 5000, 32
_LONGEST_TEXT, _MOST_DIGITS = 4000, 30
_NUMBER = re.compile(r"^[-+]?[\d_]+$")
_UNPRINTABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "map", "seq"))


class _Loader(yaml.SafeLoader):
    """YAML in which `3e-4` is a number (PyYAML follows YAML 1.1, where it is a string), and dates, `1:30` and `010` are
    strings, not a date, 90 and 8."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rsplit(":", 1)[1] in ("bool", "null", "merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?((\d+\.\d*|\.\d+)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Tree:
    """A mapping with its keys as literal text, whatever their YAML type."""
    line = node.start_mark.line + 1
    own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in own:
        if not isinstance(key, yaml.ScalarNode):
            raise UserError(f"line {key.start_mark.line + 1}: got a list or mapping as a key, expected a name")
    names = [str(key.value) for key in own]
    if len(set(names)) < len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise UserError(f"line {line}: key given twice: {', '.join(repeated)}")
    loader.flatten_mapping(node)
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(loader.construct_yaml_float(node))
    if not math.isfinite(value):
        raise UserError(f"line {node.start_mark.line + 1}: got {node.value}, expected a finite number")
    return value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def parse(text: str, where: str, what: str = "") -> object:
    """Parse YAML into mappings with string keys, lists, strings, numbers, booleans and null.

    Args:
        where: the file or option, for messages.
        what: the text's name in messages, if it differs from `where`.

    Raises:
        UserError: `where` and the line: not YAML, or outside the supported subset.

    >>> parse("{epochs: 3, name: 010, on: 2024-01-01}", "my.yaml")
    {'epochs': 3, 'name': '010', 'on': '2024-01-01'}
    """
    if len(text) > MOST_BYTES:
        raise UserError(f"{where}: too long for a recipe, expected at most {MOST_BYTES // 1024} kB")
    try:
        _check(yaml.parse(text, Loader=_Loader))
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(
            f"{where}: {what}{' ' if what else ''}is not YAML: {shortened(' '.join(str(error).split()), 300)}"
        ) from error
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


@dataclass
class _Open:
    """A list or mapping being read: its anchor, its number of values including aliases, its depth."""

    anchor: str | None
    values: int = 1
    levels: int = 1


def _check(events: Iterator[yaml.Event]) -> None:
    """Refuse documents that are too deep, too large with expanded aliases, or not plain, without building them.

    Raises:
        UserError: names the line.
    """
    known: dict[str, _Open] = {}
    stack = [_Open(None)]
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            _check_tag(event.tag, line)
            stack.append(_Open(event.anchor))
        elif isinstance(event, yaml.ScalarEvent):
            _check_scalar(event, line)
            if event.anchor is not None:
                known[event.anchor] = _Open(event.anchor, levels=0)
            stack[-1].values += 1
        elif isinstance(event, yaml.AliasEvent):
            if any(node.anchor == event.anchor for node in stack):
                raise UserError(f"line {line}: the alias *{event.anchor} refers to a node that contains it")
            if event.anchor in known:  # otherwise PyYAML reports it as undefined
                _add(stack[-1], known[event.anchor])
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            closed = stack.pop()
            _add(stack[-1], closed)
            if closed.anchor is not None:
                known[closed.anchor] = closed
        if len(stack) + stack[-1].levels > MOST_LEVELS + 2:
            raise UserError(f"line {line}: nested too deeply, expected at most {MOST_LEVELS} levels")
        if sum(node.values for node in stack) > MOST_VALUES:
            raise UserError(f"line {line}: more than {MOST_VALUES} values, counting those of aliases each time")


def _add(outer: _Open, inner: _Open) -> None:
    outer.values += inner.values
    outer.levels = max(outer.levels, inner.levels + 1)


def _check_tag(tag: str | None, line: int) -> None:
    if tag is not None and tag != "!" and tag not in _PLAIN_TAGS:
        name = tag.replace("tag:yaml.org,2002:", "!!")
        raise UserError(f"line {line}: got the tag {shortened(name, 60)}, expected plain YAML without tags")


def _check_scalar(event: yaml.ScalarEvent, line: int) -> None:
    _check_tag(event.tag, line)
    if event.implicit[0] and len(event.value) > _MOST_DIGITS and _NUMBER.match(event.value):
        raise UserError(f"line {line}: a number of {len(event.value)} digits, expected at most {_MOST_DIGITS}")
    if len(event.value) > _LONGEST_TEXT:
        raise UserError(f"line {line}: a value of {len(event.value)} characters, expected at most {_LONGEST_TEXT}")
    if (wrong := _UNPRINTABLE.search(event.value)) is not None:
        raise UserError(f"line {line}: the character {wrong.group()!a} is not allowed in a text or path")
