"""What the choice is told of each candidate."""

from __future__ import annotations

from types import SimpleNamespace

from edgedistill.evaluation import selection
from edgedistill.exporting.candidates import Candidate
from edgedistill.recipe.schema import SelectSpec
from edgedistill.steps import choose
from edgedistill.store.records.files import Latency, Measurement, VerifyId

LATENCY = Latency(p50=2.0, p95=3.0, p90=9.0, p99=9.0, p50_ci=None, p95_ci=None, runs=5)


def measured(file_bytes):
    return Measurement(
        latency_ms=LATENCY, throughput_per_s=1.0, load_ms=7.0, peak_rss_mb=40.0, empty_mb=None, runtime_version="",
        file_bytes=file_bytes, samples_ms=(), phases_ms={},
    )  # fmt: skip


def verified(value, agreement):
    return given(value=value, fidelity=SimpleNamespace(agreement=agreement))


def given(**facts):
    return SimpleNamespace(record=SimpleNamespace(**facts))


def test_every_figure_is_the_candidates_own_on_validation(tmp_path, monkeypatch):
    seen = []
    decide = selection.choose
    monkeypatch.setattr(choose, "choose", lambda figures, *rest: seen.extend(figures) or decide(figures, *rest))
    rows = [
        Candidate(id=f"r1/{name}", model="r1", target=name, precision="fp32", runtime="r", threads=1, batch=1)
        for name in ("a", "b", "unmeasured")
    ]
    inputs = choose.Inputs(
        measured=given(candidates={"r1/a": measured(3_000_000), "r1/b": measured(1)}),
        teacher=given(value=0.9),
        verified={
            VerifyId("r1", "a", "fp32", "r"): verified(0.75, 0.99),
            VerifyId("r1", "b", "fp32", "r"): verified(0.95, 0.5),
        },
    )
    settings = choose.Settings(
        task={"type": "text-classification", "metric": "accuracy"},
        select=SelectSpec(),
        min_agreement=0.9,
        candidates=tuple(rows),
    )
    choice = choose.run(settings, inputs, tmp_path, SimpleNamespace()).choice
    first, second = seen
    assert (first.id, first.value, round(first.drop, 9), first.agreement) == ("r1/a", 0.75, 0.15, 0.99)
    assert (first.file_mb, first.p50_ms, first.p95_ms, first.peak_rss_mb, first.load_ms) == (3.0, 2.0, 3.0, 40.0, 7.0)
    assert (second.id, second.value, round(second.drop, 9), second.agreement) == ("r1/b", 0.95, -0.05, 0.5)
    assert choice.chosen == "r1/a"
    assert [verdict.id for verdict in choice.verdicts] == ["r1/a", "r1/b"]
