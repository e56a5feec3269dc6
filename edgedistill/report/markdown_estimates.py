"""The plan's estimates in `report.md`, and the cells that `report.html` shows too."""

from __future__ import annotations

from edgedistill.evaluation.estimate_error import Estimated, EstimatedCandidate
from edgedistill.evaluation.results import Results
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table

COLUMNS = (
    *("candidate", "p50 ms, estimated", "measured", "ratio"),
    *("p95 ms, estimated", "measured", "ratio"),
    *("MB, estimated", "measured", "ratio"),
)
EXPLAINED = (
    "Before anything was trained, the plan estimated the size of each file from the student's shape, and its latency "
    "from the times of single layers on the machine that planned. Ratio: measured over estimated."
)


def estimate_cells(candidate: EstimatedCandidate) -> list[str]:
    """A row below `COLUMNS`."""
    figures = ((candidate.p50_ms, 1.0), (candidate.p95_ms, 1.0), (candidate.file_bytes, 1e6))
    return [candidate.id, *(cell for figure, scale in figures for cell in _three(figure, scale))]


def estimates(results: Results) -> list[str]:
    """The section, if the plan had estimates."""
    found = results.estimates
    if found is None:
        return []
    rows = [estimate_cells(candidate) for candidate in found.candidates]
    shown = table(COLUMNS, rows, text_columns=(0,))
    return [f"## Estimates\n\n{escape(found.in_words)}\n\n{shown}\n\n{EXPLAINED}"]


def _three(figure: Estimated | None, scale: float) -> tuple[str, str, str]:
    if figure is None:
        return f.DASH, f.DASH, f.DASH
    return f.fixed(figure.estimated / scale, 3), f.fixed(figure.measured / scale, 3), f.fixed(figure.ratio, 2)
