"""Where the bytes of what ships are: by part of the model, and the tokenizer."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import table

COLUMNS = ("embeddings", "attention", "feed-forward", "head", "graph", "file", "tokenizer", "file + tokenizer")
WHERE = (
    "MB of each part's matrices with their scales and zero points; graph: everything else in the file, such as "
    "operators, biases and norms."
)


def bytes_by_file(found: Sequence[CandidateResult]) -> list[tuple[str, list[int | None]]]:
    """(file, bytes in the order of `COLUMNS`) of files whose parts are known; None for a task without a tokenizer."""
    rows: dict[str, list[int | None]] = {}
    for candidate in found:
        if candidate.bytes_by_part:
            parts = [candidate.bytes_by_part.get(name.replace("-", "_"), 0) for name in COLUMNS[:5]]
            tokenizer = candidate.tokenizer_bytes
            shipped = candidate.file_bytes + (tokenizer or 0)
            name = f"{candidate.model}/{candidate.target}/{candidate.precision}"
            rows[name] = [*parts, candidate.file_bytes, tokenizer, shipped]
    return list(rows.items())


def where_bytes_are(found: Sequence[CandidateResult]) -> list[str]:
    """The section of `report.md`, if any file's parts are known."""
    rows = [[name, *(f.megabytes(size) for size in sizes)] for name, sizes in bytes_by_file(found)]
    listed = table(("file", *COLUMNS), rows, text_columns=(0,))
    return [f"### Where the bytes are\n\n{listed}\n\n{WHERE}"] if rows else []
