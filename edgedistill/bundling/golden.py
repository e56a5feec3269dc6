"""The golden inputs of a bundle: their selection, the tolerance of their answers, and their files, read as typed,
closed values: `golden.json` has the readable part, `golden-items.safetensors` and `golden-answers.safetensors` the
numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedistill.arrays import Floats, Integers
from edgedistill.bundling.facts import Facts
from edgedistill.bundling.fields import Fields, shown
from edgedistill.bundling.strict_json import LARGEST_FILE
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Items
from edgedistill.contracts.judge import Judge
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.exporting.jobs import TOLERANCE
from edgedistill.measuring.judged import numbers

GOLDEN_SCHEMA = "edgedistill/golden/2"
ITEMS_FILE, ANSWERS_FILE = "golden-items.safetensors", "golden-answers.safetensors"
EXAMPLES = 32
_MOST_ITEMS, _LARGEST_ID = 100_000, 2**31 - 1


@dataclass(frozen=True)
class GoldenText:
    """The readable part of one golden input."""

    text: str
    given: tuple[str, ...]
    """The texts that the tokenizer reads."""
    answers: tuple[str, ...]
    """The model's answers, one per decision."""


@dataclass(frozen=True)
class Golden:
    """Real inputs, and the verified file's answers."""

    items: Items
    answers: Answers
    texts: Sequence[GoldenText]
    """(N,)"""
    tolerance: float
    """Largest allowed difference of an output from the expected one."""
    reason: str


def spread_by_length(lengths: Integers, count: int = EXAMPLES) -> list[int]:
    """That many examples, evenly spaced in order of length: includes the shortest and the longest, and has the data's
    median length, so that they can be timed as well."""
    order = np.argsort(lengths, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return sorted(int(item) for item in order[places])


def golden_items(items: Items) -> Integers:
    """Indices of all items of examples that are evenly spaced by the length of their longest item."""
    examples, first = np.unique(items.example, return_index=True)
    longest = np.maximum.reduceat(items.lengths, first)
    return items.of_examples(examples[spread_by_length(longest)])


def largest_tolerance(rows: Floats) -> float:
    """Upper bound of the tolerance: at half the widest range of an output over the golden inputs, a file with constant
    answers could pass.

    Args:
        rows: (D, K), of all golden inputs.
    """
    return float(np.ptp(rows, axis=0).max()) / 2


def tolerance(max_abs_diff: float, precision: str, rows: Floats) -> tuple[float, str]:
    """The tolerance for outputs on another machine, and its justification.

    Args:
        max_abs_diff: largest difference of the file's outputs from its PyTorch model on validation.
        rows: (D, K), of all golden inputs.
    """
    if max_abs_diff <= TOLERANCE:
        return TOLERANCE, (
            f"another processor may add the same {precision} numbers in a different order; the file itself is within "
            f"{max_abs_diff:.1e} of its PyTorch model, and a wrong file differs by far more than {TOLERANCE:g}"
        )
    limit = largest_tolerance(rows)
    if max_abs_diff >= limit:
        return max(TOLERANCE, limit / 2), (
            f"rounding moves outputs of this {precision} file by up to {max_abs_diff:.4g} on the validation set, so "
            "far that any answer would pass: the tolerance is half the distance between golden answers instead"
        )
    return max_abs_diff, (
        f"the largest difference between this {precision} file and its PyTorch model on the whole validation set: the "
        "integer and half-precision instructions of another processor round differently, and may move an output as "
        "far as rounding did here, but no further"
    )


def first_wrong(judge: Judge, given: Answers, expected: Answers, allowed: float) -> tuple[str | None, float | None]:
    """What is wrong with the answers to one item, or None; and their largest difference, or None if undefined."""
    for name, array in expected.values.items():
        found = given.values.get(name)
        if found is None or found.shape != array.shape:
            shape = None if found is None else found.shape
            return f"has {shape} outputs, expected {array.shape}", None
    if not np.isfinite(numbers(given)).all():
        return "has NaN or infinite outputs", None
    worst = float(judge.fidelity(expected, given).difference.max(initial=0))
    return (None if worst <= allowed else f"differs by {worst:.4g}, allowed {allowed:.4g}"), worst


def read_golden(content: object, folder: Path, facts: Facts, labels: Sequence[str], judge: Judge) -> Golden:
    """Parse `golden.json` and its files.

    Raises:
        UserError: another schema; a field that is missing, unknown, of another type or out of range; inputs or answers
            that do not suit the model; or a tolerance that does not follow from the run's figures.
    """
    where = str(folder / "golden.json")
    fields = Fields(content, where)
    if (found := fields.take("schema")) != GOLDEN_SCHEMA:
        raise UserError(f"{where}: schema is {shown(found)}, expected '{GOLDEN_SCHEMA}'")
    fields.text("what")
    allowed, reason = fields.number("tolerance", 0), fields.text("tolerance_reason")
    texts = [_text(Fields(item, f"{where}: item {number}")) for number, item in enumerate(fields.items("items"))]
    fields.end()
    golden = Golden(_items(folder / ITEMS_FILE), _answers(folder / ANSWERS_FILE), texts, allowed, reason)
    check_golden(golden, facts, labels, judge, folder)
    return golden


def check_golden(golden: Golden, facts: Facts, labels: Sequence[str], judge: Judge, folder: Path) -> None:
    """Check that the parts are consistent with each other and with the facts.

    Raises:
        UserError: they are not.
    """
    where = str(folder / "golden.json")
    items, answers = golden.items, golden.answers
    if not 1 <= len(golden.texts) <= _MOST_ITEMS or len(golden.texts) != len(items):
        raise UserError(
            f"{where}: has {len(golden.texts)} golden inputs, expected 1 to {_MOST_ITEMS}, as in {ITEMS_FILE}"
        )
    _check_inputs(items, facts, folder / ITEMS_FILE)
    _check_answers(answers, items, folder / ANSWERS_FILE)
    wanted = (0,) if facts.max_length is None else (0, 1, 2)  # not free text: a list of words
    said = _texts(judge, answers, labels, folder / ANSWERS_FILE)
    for number, text in enumerate(golden.texts):
        if len(text.given) not in wanted:
            raise UserError(f"{where}: item {number}: given is {shown(text.given)}, expected at most two texts")
        own = tuple(said[int(place)] for place in np.flatnonzero(answers.item == number))
        if text.answers != own:
            raise UserError(f"{where}: item {number}: answers is {shown(text.answers)}, expected {shown(own)}")
    expected, _ = tolerance(facts.max_abs_diff, facts.precision, numbers(answers))
    if not abs(golden.tolerance - expected) <= 1e-6 * expected:
        raise UserError(
            f"{where}: tolerance is {golden.tolerance:g}, expected {expected:g}, derived from the run's max_abs_diff "
            "and the golden answers; with any other value the test would be meaningless"
        )


def _text(item: Fields) -> GoldenText:
    text, given, answers = item.text("text"), item.items("given"), item.items("answers")
    for name, values in (("given", given), ("answers", answers)):
        if not all(isinstance(value, str) for value in values):
            raise item.refuse(name, values, "a list of texts")
    item.end()
    return GoldenText(text, tuple(map(str, given)), tuple(map(str, answers)))


def _items(file: Path) -> Items:
    try:
        return Items.open(_small(file))
    except Exception as error:  # noqa: BLE001 - safetensors has an error of its own for what is malformed, among others
        raise _unreadable(file, error) from None


def _answers(file: Path) -> Answers:
    try:
        return Answers.open(_small(file))
    except Exception as error:  # noqa: BLE001 - as above
        raise _unreadable(file, error) from None


def _small(file: Path) -> Path:
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError(f"it is larger than {LARGEST_FILE} bytes")
    return file


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"{file}: cannot be read: {' '.join(str(error).split())[:200] or type(error).__name__}")


def _texts(judge: Judge, answers: Answers, labels: Sequence[str], file: Path) -> Sequence[str]:
    try:
        return judge.texts(answers, labels)
    except EdgedistillError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a task makes of answers that are none of its
        raise UserError(f"{file}: contains no answers of such a model: {type(error).__name__}: {error}") from None


def _check_inputs(items: Items, facts: Facts, file: Path) -> None:
    """Check that token ids are in range and not too many, and that other inputs are finite."""
    longest = facts.max_length or (facts.lengths[-1] if facts.lengths else _LARGEST_ID)
    lengths = items.lengths
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= longest:
        raise UserError(
            f"{file}: contains inputs of {lengths.min()} to {lengths.max()} tokens, expected 1 to {longest}"
        )
    taken = {port.name for component in facts.components.values() for port in component.inputs}
    for name, column in items.columns.items():
        if column.role == "input" and name not in taken:
            raise UserError(f"{file}: contains the input {shown(name)}, which no component takes")
        values = items.values[name]
        whole = np.issubdtype(values.dtype, np.integer) or values.dtype == np.bool_
        if column.role == "input" and column.layout == "sequence" and not whole:
            raise UserError(f"{file}: {shown(name)} is of {values.dtype}, expected whole numbers")
        if not np.isfinite(np.asarray(values, np.float64)).all():
            raise UserError(f"{file}: {shown(name)} contains NaN or infinite numbers")
    if (tokens := items.token_column) is not None:
        ids = items.values[tokens]
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) <= _LARGEST_ID:
            raise UserError(
                f"{file}: {shown(tokens)} ranges from {ids.min()} to {ids.max()}, expected 0 to {_LARGEST_ID}"
            )


def _check_answers(answers: Answers, items: Items, file: Path) -> None:
    """Check that every item has at least one decision, with finite numbers."""
    whole = all(np.issubdtype(array.dtype, np.integer) for array in (answers.item, answers.example))
    fits = whole and answers.item.ndim == answers.example.ndim == 1 and len(answers.item) == len(answers.example) > 0
    if not fits or any(len(array) != len(answers) for array in answers.values.values()):
        raise UserError(f"{file}: its arrays differ in their number of decisions")
    known = (np.diff(answers.item) >= 0).all() and np.array_equal(np.unique(answers.item), np.arange(len(items)))
    if not known or not np.array_equal(answers.example, items.example[answers.item]):
        raise UserError(f"{file}: does not answer the items of {ITEMS_FILE} exactly once each, in order")
    floats = [array for array in answers.values.values() if np.issubdtype(array.dtype, np.floating)]
    if not floats or not all(
        (np.abs(np.asarray(array, np.float64)) <= np.finfo(np.float32).max).all() for array in floats
    ):
        raise UserError(f"{file}: expected finite numbers within the range of float32")
