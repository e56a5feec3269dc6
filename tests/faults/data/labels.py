"""Labels, and how many rows there are."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..harness import Expected
from .rows import Data, any_split


def _renamed(data: Data, names: Sequence[object]) -> None:
    known = sorted({str(row["label"]) for rows in data.rows.values() for row in rows})
    for rows in data.rows.values():
        for row in rows:
            row["label"] = names[known.index(str(row["label"]))]


def labels_named_oddly(data: Data, rng: random.Random) -> None:
    sets = [
        ("NA", "None", "null"), ("001", "002", "010"), ("true", "false", "maybe"), ("1.0", "1.10", "1.1"), ("a", "A",
        "á"),
        ("yes", "no", "NaN"), ("0", "10", "9"), (" a", "a ", "a"), ("é", "e\u0301", "e"), ("1e1", "10", "1e01"),
        ("x,y", 'x"y', "x;y"),
        ("nan", "inf", "-inf"), ("2020-01-01", "2020-01-02", "2020-1-1"), ("../x", "/", "CON"),
        ("🙂", "日本", "\u202e"),
    ]  # fmt: skip
    _renamed(data, rng.choice(sets))
    data.expected = "either"


def csv_labels_named_oddly(data: Data, rng: random.Random) -> None:
    labels_named_oddly(data, rng)
    data.form = "csv"


def labels_of_another_type(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    sets: list[tuple[tuple[object, ...], Expected]] = [
        ((0, 1, 2), "works"), ((10, 9, 2), "works"), ((-1, 0, 1), "either"), ((0.0, 1.0, 2.0), "either"), ((0.5, 1.5,
        2.5), "either"),
        ((True, False, True), "refused"), (([1], [2], [3]), "refused"), ((2**40, 1, 2), "either"), ((2**70, 1, 2),
        "either"),
    ]  # fmt: skip
    names, data.expected = rng.choice(sets[:8] if data.form == "parquet" else sets)
    _renamed(data, names)


def labels_of_mixed_types(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    _renamed(data, rng.choice([(1, "1", 2), ("a", 1, 2), (True, 1, 0), (1, 1.0, 2), (None, "a", "b")]))
    data.expected = "either"


def label_missing(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.rows[any_split(rng)][2]["label"] = rng.choice([None, ""])
    data.expected = "refused"


def label_unknown_to_training(data: Data, rng: random.Random) -> None:
    label = rng.choice(["other", "Weather", "weather ", "0", "weathe\u0072\u0301"])
    data.rows[rng.choice(["validation", "test"])][2]["label"] = label
    data.expected = "refused" if label != "Weather" else "either"


def one_label(data: Data, rng: random.Random) -> None:
    for row in data.rows["train"]:
        row["label"] = "weather"
    data.expected = "refused"


def many_labels(data: Data, rng: random.Random) -> None:
    for i, row in enumerate(data.rows["train"]):
        row["label"] = f"label {i}"
    for split in ("validation", "test"):
        for i, row in enumerate(data.rows[split]):
            row["label"] = f"label {i * 2}"


def no_rows(data: Data, rng: random.Random) -> None:
    split = any_split(rng)
    data.rows[split] = []
    data.expected = "refused"


def few_rows(data: Data, rng: random.Random) -> None:
    data.rows["train"] = [data.rows["train"][0], data.rows["train"][-1]]
    kept = {row["label"] for row in data.rows["train"]}
    for split in ("validation", "test"):
        data.rows[split] = [row for row in data.rows[split] if row["label"] in kept][: rng.choice([1, 2])]


def rows_repeated(data: Data, rng: random.Random) -> None:
    data.rows["train"] *= rng.choice([2, 20])
