"""The examples in docstrings run, and give what they say."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import edgedistill

ROOT = Path(edgedistill.__file__).parent
MODULES = [
    ".".join(file.relative_to(ROOT.parent).with_suffix("").parts)
    for file in sorted(ROOT.rglob("*.py"))
    if ">>> " in file.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name):
    told: list[str] = []
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()
    ran = [runner.run(examples, out=told.append) for examples in finder.find(importlib.import_module(name))]
    assert any(result.attempted for result in ran)
    assert not told, "".join(told)
