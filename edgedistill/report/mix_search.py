"""Searched mixes: every file that was tried."""

from __future__ import annotations

from dataclasses import dataclass

from edgedistill.contracts.mix_search import MixSearch, Trial, in_words
from edgedistill.evaluation.results import Results
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table


@dataclass(frozen=True)
class Row:
    """One file of a search."""

    trial: Trial
    chosen: bool

    @property
    def mix(self) -> str:
        """By precision."""
        return in_words(self.trial.parts)

    @property
    def drop(self) -> str:
        """From the fp32 file."""
        return f.fixed(self.trial.seen.drop, 4)

    @property
    def divergence(self) -> str:
        """From the fp32 file's answers."""
        return f"{self.trial.seen.divergence:.2g}"

    @property
    def times(self) -> tuple[str, str]:
        """Its p50 and the fp32 file's."""
        return f.fixed(self.trial.seen.p50_ms, 3), f.fixed(self.trial.seen.fp32_p50_ms, 3)

    @property
    def verdict(self) -> str:
        """Whether it fits, and whether its file was published."""
        fits = "✓" if self.trial.fits else f.DASH
        return f"{fits} published" if self.chosen else fits


@dataclass(frozen=True)
class SearchedFile:
    """The search of one model's file."""

    name: str
    search: MixSearch

    @property
    def rows(self) -> list[Row]:
        """One per file that was tried, in order."""
        return [Row(trial, number == self.search.chosen) for number, trial in enumerate(self.search.trials)]

    @property
    def timed(self) -> bool:
        """Whether files were timed."""
        return self.search.prefer == "latency"

    @property
    def outcome(self) -> str:
        """In one or two sentences."""
        search, count = self.search, len(self.search.trials)
        wanted = f"the {'fastest' if self.timed else 'smallest'} mix that is at most {search.max_drop:g} worse"
        ending = " All allowed files were tried, so there may be a better one." if search.exhausted else ""
        if search.blocked is not None:
            return f"{self.name}: {search.blocked}. The closest was published; it is never chosen.{ending}"
        return f"{self.name}: {wanted}, of {count} tried.{ending}"


def searched_files(results: Results) -> list[SearchedFile]:
    """One entry per model and mix, whatever the runtimes and settings it was measured with."""
    found = {
        f"{candidate.model}/{candidate.target}/{candidate.precision}": candidate.search
        for candidate in results.measured
    }
    return [SearchedFile(name, search) for name, search in found.items() if search is not None]


def mix_search_note(results: Results) -> str:
    """What the columns mean."""
    measure = "" if results.divergence == "divergence" else f" ({results.divergence})"
    return (
        f"Every file that a search tried: drop of {results.metric_in_words} and mean divergence{measure} "
        "on validation, both against the model's fp32 file; parts that are not named are fp32. p50 in ms, in turns "
        "with the fp32 file, only where the search is for latency."
    )


def mix_searches(results: Results) -> list[str]:
    """The section of `report.md`."""
    found = searched_files(results)
    if not found:
        return []
    parts = [f"### Search\n\n{escape(mix_search_note(results))}"]
    for searched in found:
        names = ["mix", "MB", "drop", "divergence", *(["p50", "p50 of fp32"] if searched.timed else []), "fits"]
        rows = [
            [
                row.mix,
                f.megabytes(row.trial.seen.bytes),
                row.drop,
                row.divergence,
                *(row.times if searched.timed else ()),
                row.verdict,
            ]
            for row in searched.rows
        ]
        parts.append(f"{escape(searched.outcome)}\n\n{table(names, rows, text_columns=(0, len(names) - 1))}")
    return parts
