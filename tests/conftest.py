"""Shared fixtures: real sentences from the shipped quickstart data, a tiny random BERT, and one small finished run."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import edgedistill
from edgedistill.loading import shipped
from edgedistill.results import Results

# Timings live in bench/: a loaded machine must not fail a property.
settings.register_profile("edgedistill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgedistill")

LABELS = ["set_alarm", "weather", "play_music"]


def quickstart_rows(split: str) -> list[dict[str, str]]:
    file = shipped()["quickstart"].parent / "quickstart" / f"{split}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_jsonl(file: Path, rows: list[dict[str, object]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """train/validation/test of three intents, 40/12/15 sentences each; unlabeled: other intents' sentences."""
    folder = tmp_path_factory.mktemp("data")
    for split, count in (("train", 40), ("validation", 12), ("test", 15)):
        rows = quickstart_rows(split)
        chosen = [row for label in LABELS for row in [r for r in rows if r["label"] == label][:count]]
        write_jsonl(folder / f"{split}.jsonl", chosen)
    others = [{"text": row["text"]} for row in quickstart_rows("train") if row["label"] not in LABELS]
    write_jsonl(folder / "unlabeled.jsonl", others[:60])
    return folder


def tiny_recipe(data_folder: Path) -> dict[str, object]:
    """A recipe that runs in seconds; tests change a copy of it."""
    return {
        "schema": "edgedistill/1",
        "name": "tiny",
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": str(data_folder / f"{name}.jsonl")} for name in ("train", "validation", "test")},
            "unlabeled": {"path": str(data_folder / "unlabeled.jsonl")},
            "max_length": 32,
        },
        "teacher": {
            "scratch": {
                "layers": 2,
                "hidden_size": 32,
                "heads": 4,
                "intermediate_size": 64,
                "vocabulary": 300,
            },
            "fine_tune": {"epochs": 6, "learning_rate": 2e-3, "batch_size": 16},
        },
        "rounds": [
            {
                "id": "r1",
                "student": {"init": "keep_layers", "layers": 1},
                "stages": [
                    {
                        "name": "soft-targets",
                        "data": ["train", "unlabeled"],
                        "epochs": 2,
                        "learning_rate": 1e-3,
                        "batch_size": 16,
                        "losses": [
                            {"kind": "kl", "weight": 0.9},
                            {"kind": "hard_label", "weight": 0.1},
                            {"kind": "hidden_mse", "weight": 0.1},
                        ],
                    }
                ],
            },
            {
                "id": "r2",
                "teacher": ["teacher", "r1"],
                "student": {"init": "narrow", "from": "r1", "hidden_size": 16},
                "stages": [
                    {
                        "name": "soft-targets",
                        "epochs": 2,
                        "learning_rate": 1e-3,
                        "batch_size": 16,
                        "losses": [{"kind": "kl"}],
                    }
                ],
            },
        ],
        "compute": {"device": "cpu", "precision": "fp32"},
        "export": {"targets": ["onnx"], "teacher": False},
        "quantize": [{"precision": "fp32"}, {"precision": "int8-dynamic"}],
        "verify": {"min_agreement": 0.8},
        "measure": {"min_seconds": 0.1},
        "select": {"limits": {"file_mb": 5}},
    }


@pytest.fixture
def recipe_tree(data_folder):
    return tiny_recipe(data_folder)


def write_recipe(tree: dict[str, object], folder: Path) -> str:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree))
    return str(file)


@pytest.fixture
def recipe_file(recipe_tree, tmp_path):
    return write_recipe(recipe_tree, tmp_path)


class FinishedRun:
    """One finished run that tests read and never change."""

    def __init__(self, folder: Path, recipe: str, results: Results) -> None:
        self.folder, self.recipe, self.results = folder, recipe, results

    def artifact(self, name: str) -> Path:
        return next(self.folder.glob(f"steps/[0-9]*-{name}-????????????"))


@pytest.fixture(scope="session")
def finished_run(data_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    recipe = write_recipe(tiny_recipe(data_folder), folder)
    results = edgedistill.run(recipe, out=folder / "run", stream=None)
    return FinishedRun(folder / "run", recipe, results)


@pytest.fixture(scope="session")
def teacher_folder(finished_run):
    """A trained two-layer BERT with its tokenizer, as a transformers folder."""
    return finished_run.artifact("teacher") / "model"
