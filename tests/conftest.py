"""Shared fixtures: real sentences from the shipped quickstart data, a tiny random BERT, and one small finished run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from helpers import LABELS, quickstart_rows, tiny_recipe, write_jsonl, write_recipe
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one on each core

import torch  # noqa: F401 - a plan asks no other process for what models will be once it is loaded

import edgedistill
from edgedistill.data.prepared import PreparedData
from edgedistill.evaluation.results import Results, load_results

# Timings live in bench/: a loaded machine must not fail a property.
settings.register_profile("edgedistill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgedistill")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder of that name, or waits for the process beside this one that makes it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        done = root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                (root / name).mkdir()
                fill(root / name)
                done.touch()
        return root / name

    return make


@pytest.fixture(scope="session")
def data_folder(made_once):
    """train/validation/test of three intents, 40/12/15 sentences each; unlabeled: other intents' sentences."""
    return made_once("shared-data", write_data)


def write_data(folder: Path) -> None:
    for split, count in (("train", 40), ("validation", 12), ("test", 15)):
        rows = quickstart_rows(split)
        chosen = [row for label in LABELS for row in [r for r in rows if r["label"] == label][:count]]
        write_jsonl(folder / f"{split}.jsonl", chosen)
    others = [{"text": row["text"]} for row in quickstart_rows("train") if row["label"] not in LABELS]
    write_jsonl(folder / "unlabeled.jsonl", others[:60])
    known = [row for row in quickstart_rows("test") if row["label"] == LABELS[0]][:15]
    write_jsonl(folder / "mixed.jsonl", [*known, *({**row, "label": "elsewhere"} for row in others[60:75])])


@pytest.fixture
def recipe_tree(data_folder):
    return tiny_recipe(data_folder)


@pytest.fixture
def recipe_file(recipe_tree, tmp_path):
    return write_recipe(recipe_tree, tmp_path)


class FinishedRun:
    """One finished run that tests read and never change."""

    def __init__(self, folder: Path, recipe: str, results: Results) -> None:
        self.folder, self.recipe, self.results = folder, recipe, results

    def steps(self) -> list[Path]:
        return list(self.folder.glob("steps/[0-9]*"))

    def data(self, *splits: str) -> PreparedData:
        """The training data, and these further splits."""
        return PreparedData.at(self.artifact("data"), {split: self.artifact(f"data-{split}") for split in splits})

    def artifact(self, name: str) -> Path:
        return next(self.folder.glob(f"steps/[0-9][0-9]-{name}"))


@pytest.fixture(scope="session")
def finished_run(data_folder, made_once, tmp_path_factory):
    """Each process of the tests has a copy of its own."""

    def fill(folder: Path) -> None:
        edgedistill.run(write_recipe(tiny_recipe(data_folder), folder), out=folder / "run")

    folder = tmp_path_factory.mktemp("finished") / "copy"
    shutil.copytree(made_once("shared-run", fill), folder, symlinks=True)
    return FinishedRun(folder / "run", str(folder / "recipe.yaml"), load_results(folder / "run"))


@pytest.fixture(scope="session")
def teacher_folder(finished_run):
    """A trained two-layer BERT with its tokenizer, as a transformers folder."""
    return finished_run.artifact("teacher") / "model"


@pytest.fixture(scope="session")
def stories_file(made_once):
    """The shipped recipe's teacher of stories as `onnx/model.onnx` below its tokenizer; nobody changes it."""
    from language_models import write_stories

    return made_once("stories-file", write_stories) / "onnx" / "model.onnx"
