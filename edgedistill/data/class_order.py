"""The order of labels: renaming, and matching with the outputs of a teacher that is not fine-tuned. Pure.

A wrong order makes a good teacher perform at chance, so nothing is guessed: names match, or the recipe maps the labels
(`data.labels`), or the run stops.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from edgedistill.contracts.label_order import ordered
from edgedistill.data.row_problems import listed, shortened
from edgedistill.errors import UserError

Match = Literal["exact", "case", "number"]
"""How a teacher's class names were matched: equal, equal except for case, or number i in the data for LABEL_i."""
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_ -]*[A-Za-z0-9]|[A-Za-z0-9]")
_NO_TEXT = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")  # in YAML, in any case
_SHOWN_PAIRS = 12


def renamed(labels: Sequence[str], names: Mapping[str, str], file: str) -> list[str]:
    """The labels with their new names, in the order of the names.

    Args:
        names: `data.labels`, with every label of the training data; empty: keep the names.

    Raises:
        UserError: a label without an entry, or an entry for a label that does not occur in the training data.
    """
    if not names:
        return list(labels)
    unknown = [label for label in names if label not in labels]
    if unknown:
        raise UserError(
            f"data.labels: got {listed(map(repr, unknown))}, which is not a label of '{file}' (it has {listed(labels)})"
        )
    missing = [label for label in labels if label not in names]
    if missing:
        raise UserError(f"data.labels: '{file}' also has {listed(map(repr, missing))}, expected an entry for it")
    return ordered(names[label] for label in labels)


def teacher_order(labels: Sequence[str], own: Sequence[str], model: str) -> tuple[list[str], Match]:
    """The data's labels in the order of a teacher's outputs, and how they were matched.

    Args:
        labels: labels of the data, renamed by `data.labels`.
        own: the teacher's class names by output.

    Raises:
        UserError: they cannot be matched; the message gives the line to add to the recipe.
    """
    if len(set(own)) == len(own) and set(own) == set(labels):
        return list(own), "exact"
    folded = {label.casefold(): label for label in labels}
    if len(folded) == len(labels) == len(own) and {name.casefold() for name in own} == set(folded):
        return [folded[name.casefold()] for name in own], "case"
    unnamed = all(name == f"LABEL_{i}" for i, name in enumerate(own))
    if unnamed and set(labels) == {str(i) for i in range(len(own))}:
        return [str(i) for i in range(len(own))], "number"
    raise UserError(_mismatch(labels, own, model, unnamed))


def _mismatch(labels: Sequence[str], own: Sequence[str], model: str, unnamed: bool) -> str:
    have = f"teacher.model: '{model}' has {len(own)} outputs ({listed(own, 6)}), the data "
    have += f"{len(labels)} labels ({listed(labels, 6)})"
    tune = "or teacher.fine_tune to train a new head"
    if len(own) != len(labels):
        return f"{have}; expected the same classes: other data, {tune}"
    line = as_line(dict(zip(labels, own, strict=True)))
    if unnamed:
        return (
            f"{have}, and its outputs have no names; give data.labels in the order of its outputs, "
            f"for example {line}, {tune}"
        )
    return f"{have}; map the labels to names, for example {line}, {tune}"


def as_line(names: Mapping[str, str]) -> str:
    """A `data.labels` line for a recipe, quoted for YAML."""
    pairs = [f"{_as_key(label)}: {_quoted(name)}" for label, name in list(names.items())[:_SHOWN_PAIRS]]
    more = ", ..." if len(names) > _SHOWN_PAIRS else ""
    return f"data.labels: {{{', '.join(pairs)}{more}}}"


def _as_key(label: str) -> str:
    """Whole numbers are read as the same text; names that YAML would read as something else are quoted."""
    return label if re.fullmatch(r"0|[1-9][0-9]{0,17}", label) else _quoted(label)


def _quoted(name: str) -> str:
    plain = _PLAIN.fullmatch(name) and name.casefold() not in _NO_TEXT and not name.isdigit()
    if plain:
        return shortened(name, 60)
    import yaml

    return str(yaml.safe_dump(shortened(name, 60), default_style='"', allow_unicode=True, width=1000)).strip()
