"""A results object made by hand: every section of the reports has something to show."""

from __future__ import annotations

import pytest

from edgedistill.results import RESULTS_SCHEMA, Results
from edgedistill.store.records.models import EpochRecord

NASTY = "<script>alert(1)</script> a|b & c"


def candidate(round_: str, precision: str, p50: float, accuracy: float, **changed: object) -> dict[str, object]:
    facts = {
        "id": f"{round_}/onnx/{precision}/onnxruntime",
        "round": round_,
        "target": "onnx",
        "precision": precision,
        "runtime": "onnxruntime",
        "threads": 1,
        "batch": 1,
        "file": f"models/{round_}/onnx/model.onnx",
        "file_bytes": 4_000_000,
        "accuracy": accuracy,
        "accuracy_ci": [accuracy - 0.02, accuracy + 0.02],
        "validation_accuracy": accuracy,
        "accuracy_drop": 0.95 - accuracy,
        "agreement_with_student": 0.99,
        "max_abs_diff": 3e-6,
        "mean_abs_diff": 1e-6,
        "mean_kl": 2e-7,
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
    model = {"parameters": 4_400_000, "accuracy": 0.95, "accuracy_ci": [0.94, 0.96], "validation_accuracy": 0.95}
    return {
        "schema": RESULTS_SCHEMA,
        "recipe": NASTY,
        "edgedistill": "0.1.0",
        "metric": "accuracy",
        "teacher": {**model, "train_seconds": 60.0},
        "rounds": [
            {
                **model,
                "id": "r1",
                "teacher": "teacher",
                "student": "keep_layers",
                "accuracy": 0.93,
                "drop_from_teacher": 0.02,
                "drop_from_teacher_ci": [0.01, 0.03],
                "control_accuracy": 0.91,
                "gain_over_control": 0.02,
                "gain_over_control_ci": [0.005, 0.035],
                "gain_over_control_p": 0.0002,
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
        "why": "It has the highest accuracy within the limits.",
        "warnings": ["12 texts of test are also in train: accuracy there may be flattered."],
        "flips": {
            "r1/onnx/int8-dynamic/onnxruntime": [
                {"text": NASTY, "reference": "weather", "model": "weather", "device": "play_music"}
            ],
            "r1/onnx/fp32/onnxruntime": [],
        },
        "data": {"task": "text-classification", "labels": 3},
        "environment": {"cpu": "a processor"},
    }


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
