from __future__ import annotations

import copy

from edgedistill.evaluation.results import Results
from edgedistill.report.markdown import render_markdown
from edgedistill.report.mix_search import searched_files


def trial(parts, drop, fits, **times):
    return {"parts": parts, "seen": {"bytes": 1_500_000, "drop": drop, "divergence": 0.0123, **times}, "fits": fits}


def searched(facts, **search) -> Results:
    found = copy.deepcopy(facts)
    found["candidates"][0]["search"] = {
        "prefer": "size",
        "max_drop": 0.01,
        "trials": [trial({"head": "int4"}, 0.02, fits=False), trial({"attention.0": "int8-dynamic"}, 0.001, fits=True)],
        "chosen": 1,
        "blocked": None,
        "exhausted": False,
        **search,
    }
    return Results.model_validate(found)


def test_a_report_without_a_search_says_nothing_of_one(facts):
    assert "Search" not in render_markdown(Results.model_validate(facts))


def test_every_trial_is_a_row(facts):
    text = render_markdown(searched(facts))
    assert "| int4: head | 1.50 | 0.0200 | 0.012 | – |" in text
    assert "| int8-dynamic: attention 0 | 1.50 | 0.0010 | 0.012 | ✓ published |" in text
    assert "the smallest mix that is at most 0.01 worse, of 2 tried." in text
    assert "p50 of fp32" not in text


def test_a_search_for_latency_shows_times(facts):
    times = trial({"head": "int8-dynamic"}, 0.0, fits=True, p50_ms=1.5, fp32_p50_ms=2.25)
    text = render_markdown(searched(facts, prefer="latency", trials=[times], chosen=0))
    assert "| int8-dynamic: head | 1.50 | 0.0000 | 0.012 | 1.500 | 2.250 | ✓ published |" in text


def test_a_miss_and_a_used_up_budget_are_told(facts):
    (found,) = searched_files(searched(facts, blocked="none meets it", exhausted=True))
    assert "none meets it. The closest was published; it is never chosen." in found.outcome
    assert "there may be a better one" in found.outcome
