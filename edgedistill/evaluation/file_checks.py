"""What verification found in a file besides its answers: what rules it out, and what must be told of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgedistill.contracts.judge import Judge
    from edgedistill.evaluation.results_candidates import TextsReadResult
    from edgedistill.store.records.files import TextsRead

_LOSSLESS = "fp32"


def faults(
    judge: Judge, precision: str, shares: Mapping[str, float], read: TextsRead | TextsReadResult | None
) -> tuple[str, ...]:
    """A sentence on everything for which a file is not chosen, whatever the recipe's limits.

    A string that the file's tokenizer reads differently counts if it occurs in the data: others, such as a NUL byte,
    which a C interface cannot take, are only told.

    Args:
        shares: of the task's checks, by name.
    """
    found = []
    for name, demand in judge.demands.items():
        least, whose = (demand.fp32, "an fp32 file") if precision == _LOSSLESS else (demand.every, "every file")
        if name in shares and shares[name] < least:
            words = judge.check_words[name]
            found.append(f"{words}: {shares[name]:.4f}, below the {least:g} that {whose} must reach")
    if read is not None and read.in_data:
        found.append(
            f"{read.by} gives different tokens from the model's tokenizer for text that occurs in the data: "
            f"{read.in_data} of {read.texts} strings, such as {read.shown[0]}"
        )
    return tuple(found)


def shortfalls(judge: Judge, shares: Mapping[str, float]) -> dict[str, float]:
    """The shares of a file that are too low to go unmentioned, by the heading of their check."""
    low = [name for name, demand in judge.demands.items() if name in shares and shares[name] < demand.told]
    return {judge.check_words[name]: shares[name] for name in low}
