"""What a classifier's head computes, as its configuration says: one label an item, several, or a number."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import UserError

SINGLE_LABEL = "single_label_classification"


def refuse_other_heads(config: Mapping[str, object], name: str) -> None:
    """A teacher that is used as it is must choose one label of several, as every student does.

    Args:
        config: what its `config.json` holds.
        name: the model as the recipe names it.

    Raises:
        UserError: its head gives independent scores (multi-label) or a number (regression).
    """
    problem, labels = config.get("problem_type"), config.get("id2label")
    remedy = "give teacher.fine_tune to train a head that chooses one label, or another teacher"
    if problem not in (None, SINGLE_LABEL):
        raise UserError(
            f"{name} has a head of another kind (problem_type {problem!r:.60} in its config.json), expected "
            f"{SINGLE_LABEL}; {remedy}"
        )
    count = len(labels) if isinstance(labels, Mapping) else config.get("num_labels")
    if count == 1:
        raise UserError(f"{name} has a head with one output (a regression), expected one for every label; {remedy}")
