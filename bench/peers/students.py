"""Three classifiers of CLINC150, trained by edgedistill within minutes: a fine-tuned MiniLM of 22.7M parameters, three
of its layers (17.4M) and a small BERT (4.4M), both distilled from it."""

from __future__ import annotations

from pathlib import Path

from bench.trees import Tree

STUDENTS = {"22.7M": "teacher", "17.4M": "kept", "4.4M": "tiny"}
"""Size -> the model's name in the recipe."""
LONGEST = 128
"""Tokens; the longest inputs that are timed."""


def recipe(data: Path, minilm: Path, tiny: Path) -> Tree:
    """One recipe for all three. `data` holds train, validation and test.jsonl."""
    return {
        "schema": "edgedistill/1",
        "name": "quantize-peers",
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": str((data / f"{name}.jsonl").resolve())} for name in ("train", "validation", "test")},
            "max_length": LONGEST,
        },
        "teacher": {
            "model": str(minilm.resolve()),
            "fine_tune": {"epochs": 2, "learning_rate": 3.0e-4, "batch_size": 32},
        },
        "rounds": [
            {"id": "kept", "student": {"init": "keep_layers", "layers": 3}, "stages": [_plain()]},
            {
                "id": "tiny",
                "student": {"init": "checkpoint", "model": str(tiny.resolve())},
                "stages": [_views()],
            },
        ],
        "control": False,
    }


def _plain() -> Tree:
    return {
        "name": "soft-targets",
        "epochs": 2,
        "learning_rate": 2.0e-4,
        "batch_size": 64,
        "losses": [{"kind": "kl", "temperature": 2.0, "weight": 0.9}, {"kind": "hard_label", "weight": 0.1}],
    }


def _views() -> Tree:
    """As in `bench.rounds`: a student this small learns too little from the texts alone."""
    return {
        "name": "soft-targets",
        "epochs": 3,
        "learning_rate": 3.0e-3,
        "batch_size": 128,
        "dropout": 0.0,
        "augment": {"copies": 2, "delete": 0.1, "mask": 0.1, "swap": 0.02, "typo": 0.03, "join": 0.3},
        "losses": [{"kind": "kl", "temperature": 2.0}],
    }
