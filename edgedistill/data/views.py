"""Augmented views of a text: words deleted, swapped, misspelt, masked. Pure; all randomness comes from the generator.

Teacher and student get the same view (Beyer et al. 2022, section 3.1: consistent teaching): the teacher's targets are
for the view, not for the original.
"""

from __future__ import annotations

import numpy as np

from edgedistill.recipe.augment import AugmentSpec

VERSION = 1
"""Raised whenever the same texts give different views; part of the key of every step that uses them."""

# Adjacent keys on a QWERTY keyboard.
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_NEIGHBOURS = {
    key: "".join(
        row[i]
        for row in _ROWS[max(0, r - 1) : r + 2]
        for i in range(max(0, k - 1), min(len(row), k + 2))
        if row[i] != key
    )
    for r, keys in enumerate(_ROWS)
    for k, key in enumerate(keys)
}


def view(text: str, spec: AugmentSpec, mask_token: str, generator: np.random.Generator) -> str:
    """An augmented view of a text; never empty."""
    words = deleted(text.split(), spec.delete, generator)
    words = swapped(words, spec.swap, generator)
    words = [mistyped(word, generator) if generator.random() < spec.typo else word for word in words]
    words = masked(words, spec.mask, mask_token, generator)
    return " ".join(words)


def partners(items: int, share: float, generator: np.random.Generator) -> list[int | None]:
    """For each item the partner of its joined view, or None: a fraction `share` is joined, never with itself."""
    drawn = generator.random(items) < share
    others = (np.arange(items) + generator.integers(1, max(2, items), items)) % max(1, items)
    return [int(other) if join and items > 1 else None for join, other in zip(drawn, others, strict=True)]


def joined(first: str, second: str) -> str:
    """The first half of one text's words and the second half of another's.

    >>> joined("wake me at six", "play some quiet music")
    'wake me quiet music'
    """
    one, other = first.split(), second.split()
    return " ".join([*one[: (len(one) + 1) // 2], *other[len(other) // 2 :]])


def deleted(words: list[str], share: float, generator: np.random.Generator) -> list[str]:
    """Delete some words; at least one stays."""
    kept = [word for word in words if generator.random() >= share]
    return kept or words[:1]


def swapped(words: list[str], share: float, generator: np.random.Generator) -> list[str]:
    """Swap some words with the next one."""
    found, i = list(words), 0
    while i + 1 < len(found):
        if generator.random() < share:
            found[i], found[i + 1] = found[i + 1], found[i]
            i += 1
        i += 1
    return found


def masked(words: list[str], share: float, mask_token: str, generator: np.random.Generator) -> list[str]:
    """Mask some words; at least one stays."""
    hidden = [generator.random() < share for _ in words]
    if all(hidden) and hidden:
        hidden[int(generator.integers(len(words)))] = False
    return [mask_token if hide else word for word, hide in zip(words, hidden, strict=True)]


def mistyped(word: str, generator: np.random.Generator) -> str:
    """One typing error: a letter missing, doubled, replaced by a neighbouring key, or two letters swapped."""
    if len(word) < 2:
        return word
    i = int(generator.integers(len(word) - 1))
    match int(generator.integers(4)):
        case 0:
            return word[:i] + word[i + 1 :]
        case 1:
            return word[: i + 1] + word[i:]
        case 2:
            near = _NEIGHBOURS.get(word[i].lower())
            return word if near is None else word[:i] + near[int(generator.integers(len(near)))] + word[i + 1 :]
        case _:
            return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
