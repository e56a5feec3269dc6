"""Continuations of the same prefixes by models and files, side by side, with the first difference from the
reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.evaluation.results import GenerationResult, SpokenResult
from edgedistill.exporting.candidates import native_candidates

if TYPE_CHECKING:
    from edgedistill.report.run_files import RunFiles
    from edgedistill.store.records.samples import Sample


def generations(files: RunFiles) -> tuple[GenerationResult, ...]:
    """The continuations of every prefix; none for a task that does not generate text."""
    beginnings = files.beginnings
    said = {name: files.samples(name) for name in ("teacher", *files.rounds_on_recipe_data)}
    beside = {
        round_.id: (round_.teachers() if (choice := files.teacher_choice(round_.id)) is None else choice[0])[0]
        for round_ in files.settings.rounds
        if round_.id in said
    }
    for row in native_candidates(files.settings.candidates):
        # Independent of threads and batch.
        name = "/".join(row.verify_key)
        own = files.file_samples(row)
        if own and row.model in said:
            said[name], beside[name] = own, row.model
    return tuple(
        GenerationResult(prompt=prompt, said=tuple(_spoken(number, said, beside)))
        for number, prompt in enumerate(beginnings)
    )


def _spoken(number: int, said: Mapping[str, Sequence[Sample]], beside: Mapping[str, str]) -> Iterator[SpokenResult]:
    for name, samples in said.items():
        own, other = samples[number], said[beside[name]][number] if name in beside else None
        parts = None if other is None else parts_at(own.text, other.text)
        yield SpokenResult(by=name, text=own.text, beside=beside.get(name), parts_at=parts)


def parts_at(one: str, other: str) -> int | None:
    """Position of the first difference, or the end of the shorter one; None if they are equal."""
    if one == other:
        return None
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
