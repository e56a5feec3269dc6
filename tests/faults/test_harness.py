"""The judge: what it lets pass and what it doesn't."""

from __future__ import annotations

import os
import sys

import pytest

from .harness import Case, Outcome, judge, manners
from .recipes import Input, _differs
from .world import World


def outcome(code, err="", out=""):
    return Outcome(["x"], code, out, err, 0.1)


@pytest.fixture
def case(tmp_path):
    (tmp_path / "canary").mkdir()
    return Case("kind", 0, tmp_path, World(tmp_path), 60.0)


@pytest.mark.parametrize(
    ("ended", "result"),
    [
        (outcome(2, "error: one sentence"), None),
        (outcome(0), None),
        (outcome(None), "hang"),
        (outcome(-11), "traceback"),
        (outcome(1, "Traceback (most recent call last):\n  x\nKeyError: 1"), "traceback"),
        (outcome(2, ""), "unclear"),
        (outcome(2, "error: " + "x" * 5000), "unclear"),
        (outcome(1, "error: step 'data' failed: KeyError: 'x'"), "unclear"),
        (outcome(7, "error: x"), "unclear"),
    ],
)
def test_manners(ended, result):
    found = manners(ended)
    assert (found.result if found else None) == result


@pytest.mark.parametrize(
    ("code", "expected", "differs", "result"),
    [
        (0, "works", None, "worked"),
        (0, "either", None, "worked"),
        (0, "refused", None, "silently wrong"),
        (0, "works", "other rows", "silently wrong"),
        (2, "refused", None, "refused"),
        (2, "either", None, "refused"),
        (2, "works", None, "refused wrongly"),
        (1, "refused", None, "unclear"),
    ],
)
def test_judge(case, code, expected, differs, result):
    assert judge(case, outcome(code, "error: x"), expected, lambda: differs).result == result


def test_a_written_canary_comes_first(case):
    (case.canary / "numpy").touch()
    assert judge(case, outcome(2, "error: x"), "refused", lambda: None).result == "code run"


def test_a_failing_oracle_is_no_agreement(case):
    def crash():
        os._exit(7)

    assert case.isolated(lambda: None) is None
    assert "KeyError" in str(case.isolated(lambda: dict[str, int]()["x"]))
    assert "ended with 7" in str(case.isolated(crash))


def test_the_same_seed_gives_the_same_numbers(tmp_path):
    draws = [Case("kind", seed, tmp_path, World(tmp_path), 5.0).rng.random() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("text", "shown", "same"),
    [
        ("seed: 3\n", '{"seed": 3}', True),
        ("seed: 3\n", '{"seed": 4}', False),
        ("rate: 3e-4\n", '{"rate": 0.0003}', True),
        ("seed: true\n", '{"seed": 1}', False),
        ("name: '3'\n", '{"name": 3}', True),
        ("colour: 1\n", "{}", False),
        ("seed: 1\nseed: 1\n", '{"seed": 1}', False),
    ],
)
def test_the_oracle_of_recipes(tmp_path, text, shown, same):
    (tmp_path / "recipe.yaml").write_text(text)
    assert (_differs(tmp_path, Input({}), shown) is None) is same


def test_a_command_is_entered_as_by_its_user(case):
    found = case.command("show", "no-such-recipe")
    assert found.code == 2
    assert found.err.startswith("error: recipe 'no-such-recipe'")
    assert sys.argv[0] != "edgedistill"  # only the child became the command
