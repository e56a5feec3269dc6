"""The parts of `report.md` on language models: checks of their files, figures by size, continuations."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.wording import heading
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table


def checked_files(found: Sequence[CandidateResult]) -> list[CandidateResult]:
    """One candidate of each file with task-specific checks."""
    files = {
        (candidate.model, candidate.target, candidate.precision, candidate.runtime): candidate
        for candidate in reversed(found)
        if candidate.checks
    }
    return list(reversed(files.values()))


def checks(results: Results) -> list[str]:
    """One row per file."""
    files = checked_files(results.measured)
    if not files:
        return []
    rows = []
    for file in files:
        read = file.texts_read
        alike = f.DASH if read is None else f"{f.count(read.texts - read.otherwise)} of {f.count(read.texts)}"
        rows.append(
            [
                file.id,
                *(f.share(file.checks.get(name)) for name in results.check_words),
                alike,
                f.DASH if read is None else read.by,
            ]
        )
    names = ["file", *results.check_words.values(), "texts tokenized identically", "by"]
    rendered = table(names, rows, text_columns=(0, len(names) - 1))
    return [f"### Language-model checks\n\nOn validation, as shares of tokens.\n\n{rendered}"]


def by_size(results: Results) -> list[str]:
    """One row per model or file, one column per group of examples."""
    if not results.by_size:
        return []
    names = [f"{f.count(group.low)} to {f.count(group.high)} {group.unit}" for group in results.by_size]
    names = [f"{name}, {group.examples} documents" for name, group in zip(names, results.by_size, strict=True)]
    models = list(results.by_size[0].figures)
    rows = [[name, *(f.estimate(group.figures[name][0]) for group in results.by_size)] for name in models]
    metric = heading(results.metric, results.direction)
    rendered = table(["model or file", *names], rows, text_columns=(0,))
    return [f"### By document length\n\n{metric}, test [95% CI]\n\n{rendered}"]


def generations(results: Results) -> list[str]:
    """Continuations; `‖` marks the first difference from the reference."""
    parts = []
    for generation in results.generations:
        rows = []
        for said in generation.said:
            at = len(said.text) if said.parts_at is None else said.parts_at
            text = said.text if said.parts_at is None else f"{said.text[:at]}‖{said.text[at:]}"
            rows.append([said.by, said.beside or f.DASH, text])
        parts.append(
            f"{escape(generation.prompt)} …\n\n{table(['by', 'reference', 'text'], rows, text_columns=(0, 1, 2))}"
        )
    if not parts:
        return []
    return [
        "## Continuations\n\nGreedy continuations of prefixes from test; ‖ marks the first difference from the "
        "reference.",
        *parts,
    ]
