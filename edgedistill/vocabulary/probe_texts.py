"""Texts for comparing tokenizers: pieces of the data, synthetic strings from many scripts, and every single byte."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgedistill.vocabulary.agreement import PROBES

COUNT = 10_000
BYTES = 256
_LONGEST = 200
_RANGES = (
    (0x20, 0x7F), (0x09, 0x0E), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x530), (0x5D0, 0x700), (0x900, 0xE80),
    (0x1E00, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0xFB00, 0xFFFE),
    (0x1D400, 0x1D800), (0x1F300, 0x1FB00), (0x20000, 0x2A6D0),
)  # fmt: skip
"""Character ranges: Latin, spaces, combining accents, Greek and Cyrillic, Semitic, Indic and Thai, symbols, Chinese,
Japanese and Korean, compatibility forms, mathematics, emoji, rare ideographs."""
_MARKS = (
    "  ",
    "\n",
    "\n\n\n",
    "\t",
    "\r\n",
    "'s",
    "'LL",
    "1",
    "1234",
    "3.14",
    "_",
    "--",
    "...",
    "=" * 9,
    "\u200d",
    "ﬁ",
)


def single_bytes() -> list[str]:
    """A text for every code point from 0 to 255: bytes below 128 directly, the others in UTF-8."""
    return [chr(number) for number in range(BYTES)]


def probe_texts(texts: Sequence[str], count: int = COUNT, seed: int = 0) -> list[str]:
    """That many distinct strings: our probes; then half pieces of these texts, a quarter of them modified, and half
    random characters and words from one or several scripts.

    Args:
        texts: texts from the data.
    """
    generator = np.random.default_rng(seed)
    found = dict.fromkeys(PROBES)
    given = [text for text in texts if text]
    while len(found) < count:
        if given and generator.random() < 0.5:
            piece = _piece(given[int(generator.integers(len(given)))], generator)
            found[_changed(piece, generator) if generator.random() < 0.25 else piece] = None
        else:
            found[_made_up(generator)] = None
    return list(found)


def _piece(text: str, generator: np.random.Generator) -> str:
    start = int(generator.integers(len(text)))
    return text[start : start + 1 + int(generator.integers(_LONGEST))]


def _changed(text: str, generator: np.random.Generator) -> str:
    """With a character deleted, doubled or capitalised, or a symbol inserted."""
    place = int(generator.integers(len(text)))
    before, here, after = text[:place], text[place], text[place + 1 :]
    kind = int(generator.integers(4))
    return before + ("", 2 * here, here.upper(), here + _mark(generator))[kind] + after


def _made_up(generator: np.random.Generator) -> str:
    words = []
    mixed = generator.random() < 0.3
    script = _RANGES[int(generator.integers(len(_RANGES)))]
    for _ in range(1 + int(generator.integers(6))):
        script = _RANGES[int(generator.integers(len(_RANGES)))] if mixed else script
        points = generator.integers(*script, size=1 + int(generator.integers(8)))
        words.append("".join(chr(point) for point in points))
        words.append(_mark(generator) if generator.random() < 0.3 else " ")
    return "".join(words)


def _mark(generator: np.random.Generator) -> str:
    return _MARKS[int(generator.integers(len(_MARKS)))]
