"""Prompts of real tokens, and what the times of their phases mean."""

from __future__ import annotations

import numpy as np
import pytest

from edgedistill.contracts.items import Items
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS, columns
from edgedistill.tasks._language_speed import PROMPTS, prompts


def texts(*rows):
    content = {
        TOKENS: rows,
        MASK: [[1] * len(row) for row in rows],
        NEXT: [[7] * len(row) for row in rows],
        BYTES: [[2] * len(row) for row in rows],
    }
    return Items.of(columns(0), content, range(len(rows)), TOKENS)


@pytest.mark.parametrize("tokens", [1, 3, 7, 20])
def test_prompts_are_pieces_of_the_texts_of_just_that_length(tokens):
    found = prompts(texts([1, 2, 3, 4], [5, 6, 7]), tokens, 5)
    assert found.lengths.tolist() == [tokens] * 5
    stream = "".join(map(str, [1, 2, 3, 4, 5, 6, 7] * 4))
    for number in range(5):
        assert "".join(map(str, found.batch([number])[TOKENS][0])) in stream
    assert set(found.values[NEXT].tolist()) == {NONE}
    assert found.values[MASK].all()


def test_prompts_are_spread_over_all_texts():
    found = prompts(texts(list(range(100)), list(range(100, 200))), 10, 4)
    starts = found.batch(range(4))[TOKENS][:, 0].tolist()
    assert (starts[0], starts[-1]) == (0, 190)
    assert starts == sorted(set(starts))


def test_the_first_token_comes_after_the_prompt_and_the_others_one_by_one():
    phases = {"prefill": np.array([4.0, 6.0]), "decode": np.array([16.0, 8.0])}
    first, rest = (speed.of(phases).tolist() for speed in PROMPTS.speeds)
    assert first == [4.0, 6.0]
    assert rest == [1000.0, 2000.0]  # sixteen tokens in as many ms, and in half of that
    assert [(speed.name, speed.direction) for speed in PROMPTS.speeds] == [
        ("ttft_ms", "lower"),
        ("tokens_per_s", "higher"),
    ]
