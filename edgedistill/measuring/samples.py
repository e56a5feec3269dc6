"""Continuations of held-out prefixes by models and files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgedistill.arrays import evenly_spaced
from edgedistill.store.records.samples import Sample

if TYPE_CHECKING:
    from edgedistill.contracts.samples import Beginnings
    from edgedistill.contracts.task import Task
    from edgedistill.contracts.task_spec import TaskSpec
    from edgedistill.data.prepared import PreparedData

_SHOWN = 6
"""Number of examples, evenly spaced."""


def beginnings_of(task: Task, data: PreparedData, split: str, spec: TaskSpec) -> Beginnings:
    """Prefixes of a few examples of a split, in the tokens of the data."""
    assert task.samples is not None, "the task has samples"
    rows = data.rows(split)
    chosen = [int(number) for number in evenly_spaced(len(rows), _SHOWN)]
    return task.samples.beginnings(rows[chosen], data.encoder(spec))


def samples_of(task: Task, data: PreparedData, asked: Beginnings, said: Iterable[Iterable[int]]) -> tuple[Sample, ...]:
    """Continuations as readable text.

    Args:
        said: the tokens after each prefix.
    """
    assert task.samples is not None, "the task has samples"
    tokenizer = data.load_tokenizer()
    assert tokenizer is not None, "text tasks have a tokenizer"
    found = zip(asked.tokens, map(tuple, said), strict=True)
    return tuple(Sample(text=task.samples.text(before, own, tokenizer), tokens=own) for before, own in found)
