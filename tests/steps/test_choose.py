"""What the choice is told of each candidate."""

from __future__ import annotations

import json
from types import SimpleNamespace

from edgedistill import select
from edgedistill.candidates import Candidate
from edgedistill.recipe import SelectSpec
from edgedistill.steps import choose

TIMES = {"latency_ms": {"p50": 2.0, "p95": 3.0, "p90": 9.0, "p99": 9.0}, "peak_rss_mb": 40.0, "load_ms": 7.0}


def given(content):
    return SimpleNamespace(read_json=lambda name: content[name])


def test_every_figure_is_the_candidates_own_on_validation(tmp_path, monkeypatch):
    seen = []
    decide = select.choose
    monkeypatch.setattr(select, "choose", lambda figures, *rest: seen.extend(figures) or decide(figures, *rest))
    rows = [
        Candidate(id=f"r1/{name}", model="r1", target=name, precision="fp32", runtime="r", threads=1, batch=1)
        for name in ("a", "b", "unmeasured")
    ]
    inputs = {
        "measure": given(
            {"measurements.json": {"r1/a": {**TIMES, "file_bytes": 3_000_000}, "r1/b": {**TIMES, "file_bytes": 1}}}
        ),
        "evaluate:teacher": given({"accuracy.json": {"validation": 0.9}}),
        "verify:r1-a-fp32-r": given({"fidelity.json": {"accuracy": 0.75, "agreement": 0.99}}),
        "verify:r1-b-fp32-r": given({"fidelity.json": {"accuracy": 0.95, "agreement": 0.5}}),
    }
    settings = choose.Settings(
        task={"type": "text-classification", "metric": "accuracy"},
        select=SelectSpec(),
        min_agreement=0.9,
        candidates=tuple(rows),
    )
    choose.run(settings, inputs, tmp_path, SimpleNamespace())
    first, second = seen
    assert (first.id, first.value, round(first.drop, 9), first.agreement) == ("r1/a", 0.75, 0.15, 0.99)
    assert (first.file_mb, first.p50_ms, first.p95_ms, first.peak_rss_mb, first.load_ms) == (3.0, 2.0, 3.0, 40.0, 7.0)
    assert (second.id, second.value, round(second.drop, 9), second.agreement) == ("r1/b", 0.95, -0.05, 0.5)
    choice = json.loads((tmp_path / "choice.json").read_text())
    assert choice["chosen"] == "r1/a"
    assert [each["id"] for each in choice["verdicts"]] == ["r1/a", "r1/b"]
