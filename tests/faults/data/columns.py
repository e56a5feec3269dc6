"""Columns more, fewer, and called otherwise."""

from __future__ import annotations

import random

from .rows import Data, any_split


def columns_more(data: Data, rng: random.Random) -> None:
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row.update({"id": i, "note": "x" if i % 2 else "", "labels": "n", "input_ids": "no"})


def columns_more_of_mixed_types(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row["meta"] = rng.choice([1, "x", None, [1], {"a": i}, {"b": "c"}, 1.5, []])
    data.expected = "either"


def columns_called_otherwise(data: Data, rng: random.Random) -> None:
    text, label = rng.choice(
        [("utterance", "intent"), ("label", "text"), ("a b", "c.d"), ("ü", "é"), ("Text", "Label")]
    )
    data.columns = {"text": text, "label": label}
    for split, rows in data.rows.items():
        data.rows[split] = [{text: row["text"], label: row["label"]} for row in rows]


def column_missing(data: Data, rng: random.Random) -> None:
    column, split = rng.choice(["text", "label"]), any_split(rng)
    for row in data.rows[split]:
        row[rng.choice([column.upper(), f"{column} ", "x"])] = row.pop(column)
    data.expected = "refused"


def columns_in_another_order(data: Data, rng: random.Random) -> None:
    for split, rows in data.rows.items():
        data.rows[split] = [{"label": row["label"], "text": row["text"]} for row in rows]
