"""The phrases that are not to come back, and where they are looked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CHECK = Path(__file__).parents[1] / ".ci" / "wording.py"
LISTED = yaml.safe_load(CHECK.with_suffix(".yaml").read_text(encoding="utf-8"))


def check(*words: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, str(CHECK), *words], capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout


def test_nothing_that_a_person_reads_has_one():
    assert check() == (0, "no phrase of wording.yaml\n")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the check says of a page with one example of every phrase."""
    page = tmp_path_factory.mktemp("page") / "page.md"
    page.write_text("".join(entry["such_as"] + "\n\n" for entry in LISTED), encoding="utf-8")
    code, told = check(str(page))
    assert code == 1
    return page, told


@pytest.mark.parametrize("number", range(len(LISTED)), ids=lambda number: LISTED[number]["such_as"])
def test_a_sentence_with_one_is_told_with_its_place_and_what_to_write(found, number):
    page, told = found
    (line,) = [line for line in told.splitlines() if line.startswith(f"{page}:{2 * number + 1}: ")]
    assert line.endswith(f"write: {LISTED[number]['write']}")


@pytest.mark.parametrize(
    "text",
    [
        "# the command goes\n# on where it stopped\n",
        'print(\n    "trained from "\n    "nothing"\n)\n',
        "A text\nGoes On\n  from there.",
        "_".join(("tokens", "a", "second")),
    ],
)
def test_a_phrase_is_found_across_lines_and_in_names(tmp_path, text):
    page = tmp_path / "page.py"
    page.write_text(text, encoding="utf-8")
    code, told = check(str(page))
    assert code == 1, told
    assert told.startswith(f"{page}:{2 if 'print' in text or 'A text' in text else 1}: ")


@pytest.mark.parametrize(
    "text",
    [
        "How many tokens a row may have.",
        "It runs a second time.",
        "It goes on.",
        "40 tokens per second",
        "one label per text",
        "nothing else fits",
        "the row and a column are read again",
    ],
)
def test_what_only_looks_like_one_passes(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text, encoding="utf-8")
    assert check(str(page))[0] == 0
