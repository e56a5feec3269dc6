"""A results object made by hand: every section of the reports has something to show."""

from __future__ import annotations

import pytest

from edgedistill.evaluation.results import RESULTS_SCHEMA, Results
from edgedistill.store.records.models import EpochRecord

NASTY = "<script>alert(1)</script> a|b & c"


def figure(value: float, split: str = "test", metric: str = "accuracy", **changed: object) -> dict[str, object]:
    ends = {"low": value - 0.02, "high": value + 0.02}
    facts = {"metric": metric, "direction": "higher", "value": value, **ends, "examples": 500, "split": split}
    return {**facts, **changed}


def figures(value: float, other: float | None = None) -> list[dict[str, object]]:
    """The primary metric on test and validation, and F1 beside it where that is given."""
    beside = [] if other is None else [figure(other, metric="f1_macro")]
    return [figure(value), *beside, figure(value, "validation")]


def candidate(model: str, precision: str, p50: float, accuracy: float, **changed: object) -> dict[str, object]:
    drop = 0.95 - accuracy
    facts = {
        "id": f"{model}/onnx/{precision}/onnxruntime",
        "model": model,
        "target": "onnx",
        "precision": precision,
        "runtime": "onnxruntime",
        "threads": 1,
        "batch": 1,
        "file": f"models/{model}/onnx/model.onnx",
        "file_bytes": 4_000_000,
        "figures": figures(accuracy, accuracy - 0.01),
        "drop": {"value": drop, "low": drop - 0.01, "high": drop + 0.01, "p": 0.04, "split": "validation"},
        "agreement_with_student": 0.99,
        "max_abs_diff": 3e-6,
        "mean_abs_diff": 1e-6,
        "mean_divergence": 2e-7,
        "host": "h1",
        "latency_ms": {"p50": p50, "p90": p50 * 1.1, "p95": p50 * 1.2, "p99": None, "runs": 250},
        "throughput_per_s": 1000 / p50,
        "peak_rss_mb": 31.5,
        "load_ms": 12.0,
        "within_limits": True,
        "blocked_by": [],
        "on_pareto_front": True,
    }
    return {**facts, **changed}


@pytest.fixture
def facts() -> dict[str, object]:
    """`results.json` as plain data; tests change a copy of it."""
    return {
        "schema": RESULTS_SCHEMA,
        "recipe": NASTY,
        "edgedistill": "0.1.0",
        "metric": "accuracy",
        "direction": "higher",
        "teacher": {"parameters": 4_400_000, "figures": figures(0.95, 0.94), "train_seconds": 60.0},
        "rounds": [
            {
                "id": "r1",
                "teacher": "teacher",
                "student": "keep_layers",
                "parameters": 4_400_000,
                "figures": figures(0.93, 0.92),
                "drop": {"value": 0.02, "low": 0.01, "high": 0.03, "p": 0.01, "split": "test"},
                "control": figure(0.91),
                "gain": {"value": 0.02, "low": 0.005, "high": 0.035, "p": 0.0002, "split": "test"},
                "agreement_with_teacher": 0.96,
                "train_seconds": 130.0,
                "samples_per_second": 412.0,
            }
        ],
        "candidates": [
            candidate("teacher", "fp32", 8.0, 0.95, file_bytes=90_000_000),
            candidate("r1", "fp32", 4.0, 0.93),
            candidate(
                "r1",
                "int8-dynamic",
                1.0,
                0.90,
                file_bytes=1_500_000,
                within_limits=False,
                blocked_by=["accuracy drop 0.0500 > 0.02"],
            ),
        ],
        "chosen": "r1/onnx/fp32/onnxruntime",
        "why": "It has the best accuracy within the limits.",
        "warnings": ["12 texts of test are also in train: accuracy on test may be overestimated."],
        "flips": {
            "r1/onnx/int8-dynamic/onnxruntime": [
                {"text": NASTY, "reference": "weather", "model": "weather", "device": "play_music"}
            ],
            "r1/onnx/fp32/onnxruntime": [],
        },
        "data": {"task": "text-classification", "labels": 3},
        "hosts": {"h1": {"cpu": "a processor"}},
    }


@pytest.fixture
def lower(facts) -> dict[str, object]:
    """The same run judged by a metric that is lower-is-better and no share: an accuracy a is a perplexity 100(1-a)."""

    def turned(content: object) -> object:
        if isinstance(content, list):
            return [turned(item) for item in content]
        if not isinstance(content, dict):
            return content
        if content.get("metric") == "accuracy" and "value" in content:
            low, high = 100 * (1 - content["high"]), 100 * (1 - content["low"])
            ends = {"value": 100 * (1 - content["value"]), "low": low, "high": high}
            return {**content, **ends, "metric": "perplexity", "direction": "lower"}
        return {key: turned(value) for key, value in content.items()}

    figures = turned(facts)
    assert isinstance(figures, dict)
    return {**figures, "metric": "perplexity", "direction": "lower", "why": "It has the best perplexity."}


@pytest.fixture
def results(facts) -> Results:
    return Results.model_validate(facts)


@pytest.fixture
def training() -> dict[str, tuple[EpochRecord, ...]]:
    def curve(*metrics: float) -> tuple[EpochRecord, ...]:
        return tuple(
            EpochRecord("soft-targets", epoch, 1.0, {"kl": 1.0}, metric, 1.0, 100.0, "cpu")
            for epoch, metric in enumerate(metrics, start=1)
        )

    return {"teacher": curve(0.8, 0.95), "r1": curve(0.7, 0.93, 0.92), "r1-control": curve(0.6, 0.85, 0.91)}
