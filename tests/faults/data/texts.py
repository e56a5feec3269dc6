"""Texts that look like something else, are missing, or odd."""

from __future__ import annotations

import random

from .rows import TEXTS, Data, any_split, some


def texts_that_look_like_values(data: Data, rng: random.Random) -> None:
    for row in some(data.rows[any_split(rng)], rng):
        row["text"] = rng.choice([text for text in TEXTS if text.strip()])
    data.expected = "either"


def texts_all_of_one_look(data: Data, rng: random.Random) -> None:
    make = rng.choice([lambda i: f"{i:03d}", lambda i: f"{i}.10", lambda i: f"2020-01-{i % 28 + 1:02d}",
        lambda i: str(i % 2 == 0).lower(),
                       lambda i: f"2020-01-{i % 28 + 1:02d}T00:00:00Z", lambda i: "NA",
                           lambda i: f"{i}e3"])  # fmt: skip
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row["text"] = make(i)
    data.expected = "either"


def csv_texts_of_one_look(data: Data, rng: random.Random) -> None:
    texts_all_of_one_look(data, rng)
    data.form = "csv"


def texts_with_line_ends(data: Data, rng: random.Random) -> None:
    for row in some(data.rows["train"], rng):
        row["text"] = str(row["text"]) + rng.choice(["\nmore", "\r\nmore", "\n\nmore", "\nlast\n"])
    data.expected = "either"


def text_empty(data: Data, rng: random.Random) -> None:
    data.rows[any_split(rng)][3]["text"] = rng.choice(["", " ", "\t", "\u3000 "])
    data.expected = "refused"


def text_missing(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.rows[any_split(rng)][3]["text"] = None
    data.expected = "refused"


def text_of_another_type(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    value = rng.choice([3, 1.5, True, ["a"], {"a": 1}, [], 2**70])
    split = any_split(rng)
    for row in data.rows[split] if rng.random() < 0.5 else data.rows[split][:1]:
        row["text"] = value
    data.expected = "refused"


def text_long(data: Data, rng: random.Random) -> None:
    data.rows[any_split(rng)][0]["text"] = rng.choice(["word ", "x", "é "]) * rng.choice([5_000, 100_000, 1_000_000])
    data.expected = "either"


def text_odd_characters(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    data.rows[any_split(rng)][0]["text"] = "play " + rng.choice(
        ["\ud800", "\x00", "\x1b[31m", "\x7f", "\ufffe", "\U0010ffff", "\udc00x"]
    )
    data.expected = "either"
