"""What the signals of a plan take together, and what of a recipe's budget is left for a round.

Distributions over a vocabulary and hidden states are counted, as far as the sizes of texts are known; embeddings and
logits over a few classes are small beside them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgedistill.errors import UserError
from edgedistill.recipe.round_spec import Round
from edgedistill.recipe.schema import Recipe, own_tokenizer, projected, signals_of
from edgedistill.store.records.models import FORM_OF, Signal


@dataclass(frozen=True)
class Recording:
    """A signal that is recorded, as far as a plan knows it."""

    budget: str
    """Key of the recipe that limits it."""
    max_gb: float
    what: str
    bytes: float


@dataclass(frozen=True)
class Room:
    """What is left for a round."""

    gb: float
    max_gb: float
    there: frozenset[str] = frozenset()
    """What earlier rounds record, which takes no more room."""

    def told(self) -> str:
        """`up to 4 GB`, or `up to 1.5 of 4 GB`."""
        return f"up to {self.max_gb:g} GB" if self.gb == self.max_gb else f"up to {self.gb:.3g} of {self.max_gb:g} GB"


def what(recipe: Recipe, round_: Round, signal: Signal, model: str, split: str) -> str:
    """The name of a recording, the same for all rounds that share it."""
    tokens = f" in {own_tokenizer(recipe, round_.id)}'s tokens" if projected(recipe, round_, model) else ""
    kind = "hidden states" if signal == "hidden" else f"{FORM_OF.get(signal, signal)} signals"
    return f"{kind} of {model} on {split}{tokens}"


def recording(recipe: Recipe, round_: Round, named: str, size: float) -> Recording:
    """A recording of a round with its budget: the recipe's, or that of its own settings."""
    where = f"rounds.{[other.id for other in recipe.rounds].index(round_.id)}." if round_.signals is not None else ""
    return Recording(f"{where}signals.max_gb", signals_of(recipe, round_).max_gb, named, size)


def room_for(recipe: Recipe, round_: Round, recordings: Iterable[Recording]) -> Room:
    """What earlier recordings leave for a round."""
    own = recording(recipe, round_, "", 0)
    earlier = [one for one in recordings if one.budget == own.budget]
    left = own.max_gb - sum(one.bytes for one in earlier) / 1e9
    return Room(left, own.max_gb, frozenset(one.what for one in earlier))


def refuse_over_budget(recordings: Iterable[Recording]) -> None:
    """Keep all recordings together within their budgets.

    Raises:
        UserError: they would exceed one, naming each and its size.
    """
    by_budget: dict[str, list[Recording]] = {}
    for one in recordings:
        by_budget.setdefault(one.budget, []).append(one)
    for budget, own in by_budget.items():
        total = sum(one.bytes for one in own) / 1e9
        if total > own[0].max_gb:
            parts = ", ".join(f"{one.what} {one.bytes / 1e9:.3g} GB" for one in own if one.bytes)
            raise UserError(
                f"{budget}: the recorded signals take about {total:.3g} GB together ({parts}), more than "
                f"{own[0].max_gb:g}; expected another signals.form, a smaller signals.k, or a larger signals.max_gb"
            )
