from __future__ import annotations

import time

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.errors import UserError
from edgedistill.recipe.text import MOST_LEVELS, MOST_VALUES, parse

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)
STAIRS = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{x: *a{i - 1}}}\n" for i in range(1, 200))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LAUGHS, f"more than {MOST_VALUES} values, counting those of aliases each time"),
        (STAIRS, f"nested too deeply, expected at most {MOST_LEVELS} levels"),
        ("a: &a [*a]", "the alias *a refers to a node that contains it"),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a: " + "{b: " * 900, "nested too deeply"),
        ("a: " + "9" * 5000, "line 1: a number of 5000 digits"),
        ("a: 1\nb: " + "x" * 5000, "line 2: a value of 5000 characters"),
        ("a: !!python/object/apply:os.system [id]", "got the tag !!python/object/apply:os.system, expected plain YAML"),
        ("a: !!set {b, c}", "got the tag !!set"),
        ("a: !!int x", "got the tag !!int"),
        ("a: .inf", "got .inf, expected a finite number"),
        ("a: -.INF", "got -.INF, expected a finite number"),
        ("a: .nan", "got .nan, expected a finite number"),
        ("a: 1e999", "got 1e999, expected a finite number"),
        (r'a: "b\0c"', r"the character '\x00'"),
        (r'a: "\uD800"', "the character"),
        ("a:\tb: c\n\td: 1", "is not YAML"),
        ("? [1, 2]\n: x", "got a list or mapping as a key"),
        ("a: *b", "is not YAML"),
        ("a: {<<: 3}", "is not YAML"),
        ("1: x\n'1': y", "key given twice: 1"),
        ("a\0b: 1", "is not YAML"),
        ("x" * 300_000, "too long for a recipe"),
        ("---\na: 1\n---\nb: 1", "is not YAML"),
    ],
)
def test_what_no_recipe_needs_is_refused_in_a_short_sentence_at_once(text, expected):
    begun = time.monotonic()
    with pytest.raises(UserError) as caught:
        parse(text, "my.yaml")
    assert time.monotonic() - begun < 5
    assert expected in str(caught.value)
    assert str(caught.value).startswith("my.yaml: ")
    assert len(str(caught.value).encode()) < 1000


def test_values_are_what_stands_there():
    text = "{a: 2024-01-01, b: 010, c: 1:30, d: 1_000, e: 3e-4, f: 0.5, g: no, h: null, i: '1', j: -2, k: 0x10}"
    assert parse(text, "x") == {
        "a": "2024-01-01", "b": "010", "c": "1:30", "d": 1000, "e": 3e-4, "f": 0.5, "g": False, "h": None, "i": "1",
        "j": -2, "k": "0x10",
    }  # fmt: skip


def test_keys_are_the_texts_that_stand_there():
    assert parse("{0: a, 007: b, true: c, null: d, 2024-01-01: e, 1.50: f}", "x") == {
        "0": "a", "007": "b", "true": "c", "null": "d", "2024-01-01": "e", "1.50": "f",
    }  # fmt: skip


def test_aliases_and_merged_keys_of_a_sane_size_are_taken():
    tree = parse("base: &b {epochs: 3, rate: 1}\nstages: [*b, {<<: *b, epochs: 5}]", "x")
    assert isinstance(tree, dict)
    assert tree["stages"] == [{"epochs": 3, "rate": 1}, {"epochs": 5, "rate": 1}]


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc01-. ", max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(_plain)
def test_what_a_yaml_writer_writes_reads_back(tree):
    assert parse(yaml.safe_dump(tree), "x") == tree


@given(st.text(max_size=200) | st.text("[]{}&*!<:-'\"|>?,a1 \n\t%@`#", max_size=60))
def test_any_text_gives_a_tree_or_one_sentence(text):
    words = ""
    try:
        parse(text, "x")
    except UserError as error:
        words = str(error)
    assert len(words.encode()) < 4000
