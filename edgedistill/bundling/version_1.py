"""Converts bundles of schema `edgedistill/bundle/1`: classifiers with one component, and token ids and logits as lists
in `golden.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from edgedistill.arrays import Array
from edgedistill.bundling.facts import BUNDLE_SCHEMA, Facts
from edgedistill.bundling.fields import Fields, shown
from edgedistill.bundling.golden import Golden, GoldenText
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Column, Items
from edgedistill.errors import UserError

BUNDLE_1, GOLDEN_1 = "edgedistill/bundle/1", "edgedistill/golden/1"
_TOKENS, _OUTPUT, _LARGEST_ID = "input_ids", "logits", 2**31 - 1
"""Names of token ids and output in every bundle of that schema."""


def lift_facts(content: Mapping[str, object], where: str) -> tuple[dict[str, object], int]:
    """`bundle.json` in the current schema, and the padding token.

    Raises:
        UserError: a field of the old schema is missing or has the wrong type.
    """
    fields = Fields({name: content[name] for name in _FORMER if name in content}, where)
    opened, told, inputs = fields.items("opened"), fields.items("lengths"), fields.items("inputs")
    pad = fields.integer("pad_token", 0, _LARGEST_ID)
    lengths = [pair[0] for pair in opened if isinstance(pair, list) and pair and pair[0] is not None]
    if told != lengths:
        raise fields.refuse("lengths", told, f"those of opened, {lengths}")
    longest = content.get("max_length")
    width = None if longest is None else lengths or f"1..{longest}"
    ports = [_port(Fields(port, f"{where}: inputs"), [content.get("batch"), width]) for port in inputs]
    model = {"files": opened, "inputs": ports, "outputs": [{"name": _OUTPUT, "type": "float32", "shape": None}]}
    kept = {_RENAMED.get(name, name): value for name, value in content.items() if name not in _FORMER}
    if "measured" in kept:
        kept["measured"] = _measured(kept["measured"], kept.get("metric"))
    return {**kept, "schema": BUNDLE_SCHEMA, "components": {"model": model}}, pad


_FORMER = ("opened", "lengths", "inputs", "pad_token")
_RENAMED = {"round": "model", "environment": "host"}


def _measured(old: object, metric: object) -> object:
    """One higher-is-better metric as figures; missing or mistyped fields stay, and are reported later."""
    if not isinstance(old, dict) or not {"accuracy", "accuracy_ci", "validation_accuracy", "accuracy_drop"} <= set(old):
        return old
    content = dict(old)
    ends = content.pop("accuracy_ci")
    low, high = ends if isinstance(ends, list) and len(ends) == 2 else (ends, ends)
    facts = {"metric": metric, "direction": "higher", "low": None, "high": None, "examples": None, "host": None}
    test = {**facts, "split": "test", "value": content.pop("accuracy"), "low": low, "high": high}
    validation = {**facts, "split": "validation", "value": content.pop("validation_accuracy")}
    drop = {"value": content.pop("accuracy_drop"), "low": None, "high": None, "p": None, "split": "validation"}
    return {**content, "figures": [test, validation], "drop": drop}


def _port(fields: Fields, expected: object) -> dict[str, object]:
    name = fields.word("name")
    if (kind := fields.take("type")) != "int64":
        raise fields.refuse("type", kind, "'int64'")
    if (shape := fields.take("shape")) != expected:
        raise fields.refuse("shape", shape, f"{expected}, according to batch, lengths and max_length")
    fields.end()
    return {"name": name, "type": kind, "shape": [None, None]}


def lift_golden(content: object, facts: Facts, labels: Sequence[str], pad: int, where: str) -> Golden:
    """Parse `golden.json` with its inline numbers; `golden.check_golden` checks the rest.

    Raises:
        UserError: another schema, or a field that is missing, unknown or of another type.
    """
    fields = Fields(content, where)
    if (found := fields.take("schema")) != GOLDEN_1:
        raise UserError(f"{where}: schema is {shown(found)}, expected '{GOLDEN_1}'")
    fields.text("what")
    allowed, reason = fields.number("tolerance", 0), fields.text("tolerance_reason")
    contents = fields.items("items")
    fields.end()
    every = [_item(Fields(item, f"{where}: item {number}"), facts) for number, item in enumerate(contents)]
    names = list(every[0][1]) if every else []
    if any(list(arrays) != names for _, arrays, _ in every) or not names:
        raise UserError(f"{where}: its items have different inputs")
    layout: Literal["sequence", "block"] = "sequence" if facts.max_length is not None else "block"
    columns = {name: Column("input", layout, pad if name == _TOKENS else 0, tokens=name == _TOKENS) for name in names}
    try:
        items = Items.of(columns, {name: [arrays[name] for _, arrays, _ in every] for name in names}, range(len(every)))
    except ValueError as error:
        raise UserError(f"{where}: {error}") from None
    counts = [len(rows) for _, _, rows in every]
    owner = np.repeat(np.arange(len(every)), counts)
    answers = Answers({_OUTPUT: np.concatenate([rows for _, _, rows in every])}, owner, owner)
    taken = {port.name for component in facts.components.values() for port in component.inputs}
    return Golden(items.reading(taken), answers, [text for text, _, _ in every], allowed, reason)


def _item(item: Fields, facts: Facts) -> tuple[GoldenText, dict[str, Array], Array]:
    """The readable part, the inputs by name, and the rows (D, C)."""
    text, given, rows, labels = item.text("text"), item.items("given"), item.items("rows"), item.items("labels")
    for name, values in (("given", given), ("labels", labels)):
        if not all(isinstance(value, str) for value in values):
            raise item.refuse(name, values, "a list of texts")
    for row in rows:
        numbers = isinstance(row, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        if not numbers or len(row) != facts.labels:  # type: ignore[arg-type]
            raise item.refuse("rows", row, f"rows of {facts.labels} numbers, one for each label")
    if not rows:
        raise item.refuse("rows", rows, "at least one row")
    inputs = {name: _whole_numbers(item, name) for name in item.left()}
    item.end()
    if len({len(array) for array in inputs.values()}) != 1:
        raise item.refuse("the length of its inputs", sorted(map(len, inputs.values())), "one")
    logits = np.asarray(rows, dtype=np.float64).reshape(len(rows), facts.labels)
    if not (np.abs(logits) <= np.finfo(np.float32).max).all():
        raise item.refuse("rows", rows, "numbers within the range of float32")
    return GoldenText(text, tuple(map(str, given)), tuple(map(str, labels))), inputs, logits.astype(np.float32)


def _whole_numbers(item: Fields, name: str) -> Array:
    values = item.items(name)
    if not values or not all(isinstance(x, int) and not isinstance(x, bool) and 0 <= x <= _LARGEST_ID for x in values):
        raise item.refuse(name, values, f"whole numbers from 0 to {_LARGEST_ID}")
    return np.asarray(values, np.int64)
