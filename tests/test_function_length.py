"""A function is read at one glance."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 60
"""Lines, from `def` to the end."""


@pytest.mark.parametrize("folder", ["edgedistill", "exporters", "bench", "tests"])
def test_no_function_is_longer_than_a_screen(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    too_long = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.name} has {lines} lines, expected at most {LONGEST}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and (lines := node.end_lineno - node.lineno + 1) > LONGEST
    ]
    assert too_long == []
