from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.label_order import ordered
from edgedistill.data.class_order import as_line, renamed, teacher_order
from edgedistill.errors import UserError


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([str(i) for i in range(12)], [str(i) for i in range(12)]),
        (["10", "2", "-1"], ["-1", "2", "10"]),
        (["002", "010", "1"], ["1", "002", "010"]),
        (["1.10", "1.9"], ["1.10", "1.9"]),
        (["10", "2", "b"], ["10", "2", "b"]),
        (["9" * 5000, "10"], ["10", "9" * 5000]),
        (["b", "a", "b"], ["a", "b"]),
    ],
)
def test_whole_numbers_go_by_value_and_all_else_by_the_alphabet(labels, expected):
    assert ordered(reversed(labels)) == expected


@pytest.mark.parametrize(
    ("labels", "own", "expected"),
    [
        (["a", "b"], ["b", "a"], (["b", "a"], "exact")),
        (["negative", "positive"], ["POSITIVE", "NEGATIVE"], (["positive", "negative"], "case")),
        (["0", "1", "2"], ["LABEL_0", "LABEL_1", "LABEL_2"], (["0", "1", "2"], "number")),
        (["0", "1"], ["1", "0"], (["1", "0"], "exact")),
        (["LABEL_0", "LABEL_1"], ["LABEL_0", "LABEL_1"], (["LABEL_0", "LABEL_1"], "exact")),
    ],
)
def test_a_teachers_outputs_are_found_by_name_or_number(labels, own, expected):
    assert teacher_order(labels, own, "model") == expected


@pytest.mark.parametrize(
    ("labels", "own", "line"),
    [
        (["ham", "spam"], ["LABEL_0", "LABEL_1"], "data.labels: {ham: LABEL_0, spam: LABEL_1}"),
        (["0", "1"], ["NEGATIVE", "POSITIVE"], "data.labels: {0: NEGATIVE, 1: POSITIVE}"),
        (["1", "2"], ["LABEL_0", "LABEL_1"], "data.labels: {1: LABEL_0, 2: LABEL_1}"),
        (["00", "1.10"], ["no", "2"], 'data.labels: {"00": "no", "1.10": "2"}'),
        (["a", "A"], ["a", "b"], "data.labels: {a: a, A: b}"),
        (["a", "b", "c"], ["a", "b"], "expected the same classes"),
        (["a", "b"], ["a", "a"], "data.labels: {a: a, b: a}"),
    ],
)
def test_what_does_not_match_is_refused_with_the_line_to_write(labels, own, line):
    with pytest.raises(UserError) as caught:
        teacher_order(labels, own, "model")
    assert line in str(caught.value)
    assert "teacher.fine_tune" in str(caught.value)


NAMES = st.text(min_size=1, max_size=20) | st.sampled_from(["no", "null", "1e3", "007", "1.0", "~", "a: b", "0x1", "5"])


@given(st.dictionaries(NAMES, NAMES, min_size=1, max_size=5))
def test_the_line_is_read_as_it_is_meant(names):
    _, _, text = as_line(names).partition(": ")
    assert {str(key): value for key, value in yaml.safe_load(text).items()} == names


def test_all_labels_are_renamed_or_none():
    assert renamed(["a", "b"], {}, "file") == ["a", "b"]
    assert renamed(["0", "1"], {"1": "negative", "0": "positive"}, "file") == ["negative", "positive"]
    with pytest.raises(UserError, match=r"data\.labels: got 'c', which is not a label of 'file' \(it has a, b\)"):
        renamed(["a", "b"], {"a": "x", "b": "y", "c": "z"}, "file")
    with pytest.raises(UserError, match=r"data\.labels: 'file' also has 'b', expected an entry for it"):
        renamed(["a", "b"], {"a": "x"}, "file")
