"""Wording for metrics with a direction in sentences and tables."""

from __future__ import annotations

from edgedistill.contracts.metric import Direction


def in_words(name: str) -> str:
    """A metric's name in sentences."""
    return name.replace("_", " ")


def heading(metric: str, direction: Direction) -> str:
    """A metric's column heading: `accuracy`, `perplexity (lower is better)`."""
    return in_words(metric) + ("" if direction == "higher" else " (lower is better)")


def axis(metric: str, direction: Direction, where: str) -> str:
    """A metric's label on an axis with better at the top."""
    return f"{in_words(metric)} {where} ({direction} is better ↑)"


def drop_word(direction: Direction) -> str:
    """The word for a worse figure."""
    return "drop" if direction == "higher" else "rise"


def worsening(metric: str, direction: Direction) -> str:
    """The name of a worse figure: `accuracy drop`, `perplexity rise`.

    >>> worsening("f1_macro", "higher"), worsening("perplexity", "lower")
    ('f1 macro drop', 'perplexity rise')
    """
    return f"{in_words(metric)} {drop_word(direction)}"
