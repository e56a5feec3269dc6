"""The order of labels. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"-?[0-9]{1,18}")


def ordered(labels: Iterable[str]) -> list[str]:
    """Distinct labels: by value if all are whole numbers (`2` before `10`), otherwise alphabetically."""
    distinct = set(labels)
    if all(_NUMBER.fullmatch(label) for label in distinct):
        return sorted(distinct, key=lambda label: (int(label), label))
    return sorted(distinct)
