"""The two plots, and the placing of labels."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from edgedistill.evaluation.results import Results
from edgedistill.recipe.deployment_spec import Limits
from edgedistill.report.labels import Box, Mark, place
from edgedistill.report.metric_plot import drawable, front_of, metric_against_latency
from edgedistill.report.rounds_plot import metric_over_rounds
from edgedistill.report.runtimes_plot import latency_by_runtime
from edgedistill.report.training_plot import training_curves


def curves(training, direction="higher"):
    return training_curves(training, "accuracy", direction)


def words(svg: str) -> list[str]:
    root = ElementTree.fromstring(svg)
    return ["".join(element.itertext()) for element in root.iter() if element.tag.endswith(("text", "title"))]


def test_every_candidate_is_named_and_has_its_figures(results):
    found = words(metric_against_latency(results, Limits()))
    assert {"teacher fp32", "r1 fp32 (chosen)", "r1 int8"} <= set(found)
    assert any("r1/onnx/fp32/onnxruntime: 0.9300 [0.9100, 0.9500], p50 4.00 ms, 4.00 MB" in text for text in found)


def test_of_many_candidates_the_front_and_the_chosen_one_are_named(facts):
    slow = [{**facts["candidates"][0], "model": f"x{i}", "id": f"x{i}"} for i in range(20)]
    for i, candidate in enumerate(slow):
        candidate["latency_ms"] = {**candidate["latency_ms"], "p50": 9.0 + i}
        candidate["figures"] = [{**figure, "value": 0.7} for figure in candidate["figures"]]
    facts["candidates"] += slow
    found = words(metric_against_latency(Results.model_validate(facts), Limits()))
    assert {"teacher fp32", "r1 fp32 (chosen)", "r1 int8"} <= set(found)
    assert not any(text.startswith("x3 ") for text in found)
    assert any(text.startswith("x3: 0.7000") for text in found)  # shown when pointed at


def test_a_limit_within_the_plot_is_drawn(results):
    assert "over the p95 limit, 6 ms" in words(metric_against_latency(results, Limits(p95_ms=6)))
    assert not any("p95 limit" in text for text in words(metric_against_latency(results, Limits(p95_ms=600))))


def test_candidates_without_a_median_are_left_out(facts):
    for candidate in facts["candidates"]:
        candidate["latency_ms"] = {"p50": None, "p90": None, "p95": None, "p99": None, "runs": 0}
    assert metric_against_latency(Results.model_validate(facts), Limits()) == ""


def test_one_candidate_is_drawn(facts):
    facts["candidates"] = facts["candidates"][1:2]
    assert "r1 fp32 (chosen)" in words(metric_against_latency(Results.model_validate(facts), Limits()))


def test_curves_have_the_control_and_the_kept_epoch(training):
    found = words(curves(training))
    assert {"teacher", "r1", "teacher 0.9500", "r1 0.9300", "control 0.9100"} <= set(found)
    assert "r1-control" not in found


def test_repetitions_are_lines_in_their_rounds_panel(training):
    before = curves(training).count("<path")
    training["r1-seed7"] = training["r1"]
    training["r1-control-seed7"] = training["r1-control"]
    found = curves(training)
    assert "r1-seed7" not in " ".join(words(found))
    assert found.count("<path") == before + 1


def test_the_curve_over_rounds_has_every_model_and_its_control(results):
    found = words(metric_over_rounds(results))
    assert {"0.9500", "0.9300", "control"} <= set(found)
    assert any("r1" in text for text in found)


def test_runtimes_are_rows_and_models_panels_where_there_are_several(facts):
    assert latency_by_runtime(Results.model_validate(facts)) == ""
    other = {"target": "openvino", "runtime": "openvino"}
    facts["candidates"] += [{**facts["candidates"][1], **other, "id": "r1/openvino/fp32/openvino"}]
    found = words(latency_by_runtime(Results.model_validate(facts)))
    assert {"onnx", "openvino", "fp32", "int8-dynamic", "blocked"} <= set(found)
    assert [text.split(",")[0] for text in found if "files up to" in text] == ["teacher", "r1"]


def test_a_row_says_the_runtime_of_a_target_that_has_several(facts):
    facts["candidates"] += [{**facts["candidates"][1], "runtime": "browser", "id": "r1/onnx/fp32/browser"}]
    facts["candidates"] += [{**facts["candidates"][1], "threads": 2, "id": "r1/onnx/fp32/onnxruntime@threads=2"}]
    found = words(latency_by_runtime(Results.model_validate(facts)))
    assert {"onnx, onnxruntime 1t b1", "onnx, browser 1t b1", "onnx, onnxruntime 2t b1"} <= set(found)


def test_no_curves_of_a_teacher_used_as_it_is():
    assert curves({"teacher": ()}) == ""


def test_same_bytes_twice(results, training):
    assert metric_against_latency(results, Limits()) == metric_against_latency(results, Limits())
    assert curves(training) == curves(training)


@given(
    st.lists(st.tuples(st.floats(20, 380), st.floats(20, 280), st.floats(2, 12)), min_size=1, max_size=6),
)
def test_labels_touch_no_mark_when_there_is_room(places):
    marks = [Mark(x, y, radius, 30, 10) for x, y, radius in places]
    [(x, y), *_] = place(marks[:1], [], Box(0, 0, 400, 300))
    label = Box(x - 15, y - 5, x + 15, y + 5)
    only = marks[0]
    drawn = Box(only.x - only.radius, only.y - only.radius, only.x + only.radius, only.y + only.radius)
    assert label.overlap(drawn) < 1e-6
    assert len(place(marks, [], Box(0, 0, 400, 300))) == len(marks)


def heights(svg: str, *texts: str) -> list[float]:
    """Where these texts are written, from the top."""
    found = {}
    for element in ElementTree.fromstring(svg).iter():
        if element.tag.endswith("text"):
            at = re.search(r"translate\([-\d.]+ ([-\d.]+)", element.get("transform") or "")
            found["".join(element.itertext())] = float(at[1]) if at else float(element.get("y"))
    return [found[text] for text in texts]


def test_better_is_up_whatever_the_direction(facts, lower):
    higher = metric_over_rounds(Results.model_validate(facts))
    teacher, student = heights(higher, "0.9500", "0.9300")
    assert teacher < student
    turned = metric_over_rounds(Results.model_validate(lower))
    assert heights(turned, "5.0000", "7.0000") == [teacher, student]
    assert "accuracy on test (higher is better ↑)" in words(higher)
    assert "perplexity on test (lower is better ↑)" in words(turned)


def test_the_front_is_of_the_better_ones_whatever_the_direction(lower):
    results = Results.model_validate(lower)
    slower_and_worse = {**lower["candidates"][0], "id": "worse", "latency_ms": {"p50": 9.0, "runs": 1}}
    slower_and_worse["latency_ms"] |= {"p90": None, "p95": None, "p99": None}
    slower_and_worse["figures"] = [{**figure, "value": 50.0} for figure in lower["candidates"][0]["figures"]]
    more = Results.model_validate({**lower, "candidates": [*lower["candidates"], slower_and_worse]})
    assert [point.candidate.id for point in front_of(drawable(more))] == [
        point.candidate.id for point in front_of(drawable(results))
    ]
    assert len(front_of(drawable(results))) == 3


def test_the_kept_epoch_is_the_best_one_of_a_metric_that_falls(training):
    assert {"r1 0.7000", "control 0.6000"} <= set(words(curves(training, "lower")))
