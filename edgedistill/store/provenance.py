"""Origin and licence of models and data, as stated in the files beside them; otherwise reported as unknown."""

from __future__ import annotations

import re
from pathlib import Path

from edgedistill.spec import Spec

_SOURCE = ("SOURCE.txt", "SOURCE.md", "SOURCE")
_LICENCE = ("LICENSE*", "LICENCE*", "COPYING*")
_CARD = ("README.md",)
_LINE = re.compile(r"^\W*licen[cs]e\W*[:=]\s*(?P<name>.+?)\s*$", re.IGNORECASE | re.MULTILINE)
_FRONT = re.compile(r"\A---\s*\n(?P<facts>.*?)\n---\s*\n", re.DOTALL)
_TITLES = (
    (r"Apache License\s+Version 2\.0", "Apache-2.0"),
    (r"\bMIT License\b|Permission is hereby granted, free of charge", "MIT"),
    (r"Attribution-NonCommercial-ShareAlike (\d\.\d)", r"CC BY-NC-SA \1"),
    (r"Attribution-NonCommercial (\d\.\d)", r"CC BY-NC \1"),
    (r"Attribution-ShareAlike (\d\.\d)", r"CC BY-SA \1"),
    (r"Attribution (\d\.\d)", r"CC BY \1"),
    (r"GNU GENERAL PUBLIC LICENSE\s+Version (\d)", r"GPL-\1.0"),
    (r"Redistributions of source code[\s\S]*Neither the name", "BSD-3-Clause"),
)
_READ = 6000


class Provenance(Spec):
    """Facts about one model or data set. Contains no paths, so the same files give the same facts."""

    role: str
    """`teacher`, `student r1`, `train`, ..."""
    name: str | None
    """Hub id with revision, or the folder's own name; None for data files."""
    licence: str | None
    found_in: str | None
    """The file that states the licence."""
    origin: str | None = None
    """The first line of a SOURCE file."""


def of_folder(role: str, name: str | None, folder: Path | None) -> Provenance:
    """Facts from the files in a folder: a SOURCE file's `licence:` line, a model card's front matter, a LICENSE
    file."""
    if folder is None or not folder.is_dir():
        return Provenance(role=role, name=name, licence=None, found_in=None)
    source = _first(folder, _SOURCE)
    origin = _text(source).strip().splitlines()[:1] if source else []
    licence, found_in = _licence(folder)
    return Provenance(
        role=role, name=name, licence=licence, found_in=found_in, origin=_clean(origin[0]) if origin else None
    )


def _licence(folder: Path) -> tuple[str | None, str | None]:
    for names in (_SOURCE, _CARD):
        if (file := _first(folder, names)) is None:
            continue
        text = _text(file)
        if names is _CARD:
            front = _FRONT.match(text)
            text = front["facts"] if front else ""
        if match := _LINE.search(text):
            return _clean(match["name"]), file.name
    if (file := _first(folder, _LICENCE)) is not None:
        text = _text(file)
        for pattern, name in _TITLES:
            if match := re.search(pattern, text):
                return match.expand(name), file.name
        first = next((line for line in text.splitlines() if line.strip()), "")
        return (_clean(first), file.name) if first else (None, None)
    return None, None


def _first(folder: Path, patterns: tuple[str, ...]) -> Path | None:
    return next((file for pattern in patterns for file in sorted(folder.glob(pattern)) if file.is_file()), None)


def _text(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(_READ)


def _clean(text: str) -> str:
    return " ".join(text.strip().strip("'\"").split())[:200]
