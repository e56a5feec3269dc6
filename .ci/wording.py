#!/usr/bin/env python3
"""Finds the phrases of wording.yaml in the files given, or in all that a person reads of this repository.

python .ci/wording.py [FILE ...]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("bench", "docs", "edgedistill", "exporters", "recipes", "tests")
SUFFIXES = (".cpp", ".html", ".jinja", ".js", ".md", ".py", ".yaml")
SPACE = r"(?:\s+#\s+|\s*\"\s*\n\s*f?\"|\s+)"
"""Also between the lines of a comment, and of a literal in several pieces."""


@dataclass(frozen=True)
class Phrase:
    """What is not to be written, what is instead, and a sentence with it."""

    find: str
    write: str
    such_as: str

    def places(self, text: str) -> Iterator[re.Match[str]]:
        return re.finditer(self.find.replace(" ", SPACE), text, re.IGNORECASE)


def phrases() -> list[Phrase]:
    return [Phrase(**entry) for entry in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))]


def files() -> Iterator[Path]:
    """Pages, code and recipes; neither data nor models."""
    yield from sorted(ROOT.glob("*.md"))
    for folder in FOLDERS:
        yield from sorted(path for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES and path.is_file())


def main(names: list[str]) -> int:
    """Print each place as FILE:LINE; 1 when there is one."""
    listed = phrases()
    found = []
    for path in map(Path, names) if names else files():
        text = path.read_text("utf-8")
        for phrase in listed:
            for match in phrase.places(text):
                line = text.count("\n", 0, match.start()) + 1
                place = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
                found.append(f"{place}:{line}: {' '.join(match.group().split())!r}; write: {phrase.write}")
    print("\n".join(found) or "no phrase of wording.yaml")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
