"""What `docs/architectures.md` says of an architecture is what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from architectures import STUDENTS, tried

DOCUMENT = Path(__file__).parents[1] / "docs" / "architectures.md"
ROWS = {
    cells[0]: cells[1 : len(STUDENTS) + 1]
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
    if line.startswith("| ") and len(cells := [cell.strip() for cell in line.strip("|").split("|")]) > len(STUDENTS)
}


TRIED = (
    "albert", "bart", "bert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "esm", "falcon", "fnet",
    "gpt2", "gte", "llama", "mobilebert", "modernbert", "mpnet", "nomic_bert", "qwen3", "roberta", "squeezebert", "t5",
    "xlm",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("architecture", TRIED)
def test_it_works_or_is_refused_before_training_as_the_table_says(architecture, tmp_path):
    assert [answer.state for _, answer in tried(architecture, tmp_path)] == ROWS[architecture]
