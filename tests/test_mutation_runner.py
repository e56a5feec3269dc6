"""The script that breaks the code on purpose: what it applies, and what it makes of the outcomes. It runs none here."""

from __future__ import annotations

import subprocess

import pytest
from mutations import __main__ as runner
from mutations.__main__ import Mutation, Outcome, attempt, read, summary


def mutation(name="a", group="steps", old="1 + 1", remake=()):
    edit = {"file": "code.py", "old": old, "new": "1 - 1"}
    return Mutation(name, group, (edit,), ("tests/test_code.py",), remake)


def test_the_text_is_replaced_where_it_stands_once(tmp_path):
    (tmp_path / "code.py").write_text("TWO = 1 + 1\n")
    mutation().apply(tmp_path)
    assert (tmp_path / "code.py").read_text() == "TWO = 1 - 1\n"


@pytest.mark.parametrize(("content", "found"), [("THREE = 3\n", 0), ("1 + 1, 1 + 1\n", 2)])
def test_code_that_is_not_there_any_more_is_an_error(tmp_path, content, found):
    (tmp_path / "code.py").write_text(content)
    with pytest.raises(LookupError, match=f"has its text {found} times, expected once"):
        mutation().apply(tmp_path)


@pytest.mark.parametrize(("code", "state"), [(0, "SURVIVED"), (1, "noticed"), (2, "ERROR"), (4, "ERROR"), (5, "ERROR")])
def test_only_a_failed_test_notices(monkeypatch, code, state):
    done = subprocess.CompletedProcess([], code, "FAILED tests/test_code.py::test_two\n", "")
    monkeypatch.setattr(runner, "in_a_copy", lambda *_: done)
    assert attempt(mutation(), None).state == state


def outcomes(group, noticed, survived):
    states = ["noticed"] * noticed + ["SURVIVED"] * survived
    return [Outcome(mutation(f"{group} {number}", group), state) for number, state in enumerate(states)]


@pytest.mark.parametrize(
    ("review", "others", "code"),
    [((27, 0), (40, 0), 0), ((27, 0), (38, 2), 0), ((27, 0), (37, 3), 1), ((26, 1), (40, 0), 1)],
)
def test_none_of_the_review_and_few_of_the_rest_may_survive(capsys, review, others, code):
    assert summary([*outcomes("review", *review), *outcomes("steps", *others)]) == code
    shown = capsys.readouterr().out
    assert f"{sum(review) + sum(others)} tried, {review[0] + others[0]} noticed" in shown
    assert ("SURVIVED" in shown) == bool(review[1] + others[1])


def test_every_mutation_names_files_and_tests_that_are_there():
    found = read()
    assert len([entry for entry in found if entry.group == "review"]) == 27
    assert len(found) >= 67
    for entry in found:
        for edit in entry.edits:
            text = (runner.ROOT / edit["file"]).read_text()
            assert text.count(edit["old"]) == 1, entry.name
            assert edit["old"] != edit["new"]
        for test in entry.tests:
            assert (runner.ROOT / test.split("::")[0]).is_file()


def test_a_copy_is_what_its_tests_import(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    runner.copy(folder)
    (folder / "edgedistill" / "evaluation" / "selection.py").write_text("BROKEN = True\n")
    (folder / "tests" / "test_it.py").write_text(
        "import edgedistill.evaluation.selection, edgedistill_exporters.onnx as onnx\n"
        "def test_it():\n"
        "    assert edgedistill.evaluation.selection.BROKEN\n"
        "    assert not hasattr(onnx, '__wrapped__') and __file__.rsplit('/tests/', 1)[0] in onnx.__file__\n"
    )
    done = runner.run_tests(folder, ("tests/test_it.py",), {})
    assert done.returncode == 0, done.stdout
