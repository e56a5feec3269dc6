"""The golden inputs of a bundle: which they are, how far an answer may lie from the expected one, and `golden.json` as
one typed, closed value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Floats, Integers
from edgedistill.bundling.facts import Facts
from edgedistill.bundling.fields import Fields, shown
from edgedistill.contracts.items import Column, Items
from edgedistill.errors import UserError
from edgedistill.exporting import TOLERANCE
from edgedistill.interfaces import MODEL_INPUTS

GOLDEN_SCHEMA = "edgedistill/golden/1"
ITEMS = 32
_MOST_ITEMS, _LARGEST_ID = 100_000, 2**31 - 1


@dataclass(frozen=True)
class Golden:
    """Real inputs, and the rows (R, C) that the verified file answered to each of them."""

    items: Sequence[Mapping[str, object]]
    """Each with `text` (what a person reads), `given` (the texts that the tokenizer reads), the model's inputs by name,
    `rows`, and `labels` (R,)."""
    tolerance: float
    """Largest difference of one output from the expected one."""
    reason: str

    def ragged(self, pad_token: int) -> Items:
        """The inputs as the measuring process reads them."""
        names = [name for name in MODEL_INPUTS if name in self.items[0]]
        content = {name: [np.asarray(item[name], dtype=np.int64) for item in self.items] for name in names}
        columns = {
            name: Column("input", "sequence", pad=0 if number else pad_token) for number, name in enumerate(names)
        }
        return Items.of(columns, content, np.arange(len(self.items)))

    def rows(self, item: int) -> NDArray[np.float32]:
        """(R, C) expected rows of one item."""
        return np.asarray(self.items[item]["rows"], dtype=np.float32)


def spread_by_length(lengths: Integers, count: int = ITEMS) -> list[int]:
    """That many items, evenly spread over all when ordered by length: the shortest and the longest are among them, and
    the median length is the data's own, so that they may be timed as well."""
    order = np.argsort(lengths, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return sorted(int(item) for item in order[places])


def largest_tolerance(rows: Floats) -> float:
    """What a tolerance must stay below: at half the widest range of an output over the golden inputs, a file that gives
    every input the same answer could pass.

    Args:
        rows: (N, C), of all golden inputs.
    """
    return float(np.ptp(rows, axis=0).max()) / 2


def tolerance(max_abs_diff: float, precision: str, rows: Floats) -> tuple[float, str]:
    """How far one output may be off on another machine, and why.

    Args:
        max_abs_diff: largest difference of the file's outputs from its torch model on validation.
        rows: (N, C), of all golden inputs.
    """
    if max_abs_diff <= TOLERANCE:
        return TOLERANCE, (
            f"another processor adds the same {precision} numbers in another order; the file itself is within "
            f"{max_abs_diff:.1e} of its torch model, a wrong file is off by far more than {TOLERANCE:g}"
        )
    limit = largest_tolerance(rows)
    if max_abs_diff >= limit:
        return max(TOLERANCE, limit / 2), (
            f"rounding moved an output of this {precision} file by {max_abs_diff:.4g} on the validation set, so "
            "much that any answer would pass: half of that which tells the golden inputs' answers apart"
        )
    return max_abs_diff, (
        f"the largest difference between this {precision} file and its torch model on the whole validation set: the "
        "integer and half-precision instructions of another processor round otherwise, and may move an output as "
        "far as rounding did here, but no further"
    )


def first_wrong(given: Floats, expected: Floats, allowed: float) -> str | None:
    """What is wrong with one item's rows, or None.

    Args:
        given: (R, C).
        expected: (R, C).
    """
    if given.shape != expected.shape:
        return f"has {given.shape} outputs, expected {expected.shape}"
    if not np.isfinite(given).all():
        return "has outputs that are not numbers"
    worst = float(np.abs(given - expected).max())
    return None if worst <= allowed else f"is off by {worst:.4g}, allowed is {allowed:.4g}"


def read_golden(content: object, facts: Facts, labels: Sequence[str], where: str) -> Golden:
    """Take `golden.json` apart.

    Raises:
        UserError: another schema; a field that is missing, unknown, of another type or out of range; inputs or rows
            that are not those of such a model; or another tolerance than the run's own figures give.
    """
    fields = Fields(content, where)
    if (found := fields.take("schema")) != GOLDEN_SCHEMA:
        raise UserError(f"{where}: schema is {shown(found)}, expected '{GOLDEN_SCHEMA}'")
    fields.text("what")
    allowed, reason = fields.number("tolerance", 0), fields.text("tolerance_reason")
    items = fields.items("items")
    fields.end()
    if not 1 <= len(items) <= _MOST_ITEMS:
        raise UserError(f"{where}: has {len(items)} golden inputs, expected 1 to {_MOST_ITEMS}")
    rows = [_check_item(Fields(item, f"{where}: item {number}"), facts, labels) for number, item in enumerate(items)]
    if len({frozenset(item) for item in items if isinstance(item, dict)}) > 1:
        raise UserError(f"{where}: its items differ in which inputs they have")
    expected, _ = tolerance(facts.max_abs_diff, facts.precision, np.concatenate(rows))
    if not abs(allowed - expected) <= 1e-6 * expected:
        raise UserError(
            f"{where}: tolerance is {allowed:g}, expected {expected:g}, as the run's max_abs_diff and the golden rows "
            "give; with another one the test would not say what it says"
        )
    return Golden([dict(item) for item in items if isinstance(item, dict)], allowed, reason)


def _check_item(item: Fields, facts: Facts, labels: Sequence[str]) -> Floats:
    """The (R, C) rows of one item, when all of it is as such a model's."""
    item.text("text")
    given = item.items("given")
    wanted = (0,) if facts.max_length is None else (0, 1, 2)  # no free text: words that were given one by one
    if len(given) not in wanted or not all(isinstance(text, str) for text in given):
        raise item.refuse("given", given, "at most two texts" if facts.max_length is not None else "no texts")
    _check_inputs(item, facts)
    rows = item.items("rows")
    for row in rows:
        numbers = isinstance(row, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in row)
        if not numbers or len(row) != facts.labels:  # type: ignore[arg-type]
            raise item.refuse("rows", row, f"rows of {facts.labels} numbers, one for each label")
    values = np.asarray(rows, dtype=np.float64).reshape(len(rows), facts.labels)
    if not len(rows) or not (np.abs(values) <= np.finfo(np.float32).max).all():
        raise item.refuse("rows", rows, "at least one row, of numbers that float32 holds")
    names = item.items("labels")
    numbers_of = {name: number for number, name in enumerate(labels)}
    best = [numbers_of.get(name) if isinstance(name, str) else None for name in names]
    if len(best) != len(rows) or any(k is None or row[k] != row.max() for k, row in zip(best, values, strict=True)):
        raise item.refuse("labels", names, "the label of each row's largest number")
    item.end()
    return values


def _check_inputs(item: Fields, facts: Facts) -> None:
    """Token ids, or pixels, of one item: as many in every input, and no more than the file takes."""
    longest = facts.max_length or (facts.lengths[-1] if facts.lengths else None)
    counts = set()
    for name in [each for each in MODEL_INPUTS if each in facts.inputs or item.has(each)]:
        values = item.items(name)
        most = 1 if name == "attention_mask" else _LARGEST_ID
        if not all(isinstance(x, int) and not isinstance(x, bool) and 0 <= x <= most for x in values):
            raise item.refuse(name, values, f"whole numbers from 0 to {most}")
        counts.add(len(values))
    if len(counts) != 1 or not 1 <= min(counts) <= (longest or _LARGEST_ID):
        raise item.refuse("the length of its inputs", sorted(counts), f"one, from 1 to {longest or _LARGEST_ID}")
