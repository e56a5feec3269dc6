from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from datasets import Dataset

from edgedistill.contracts import registry
from edgedistill.data.reading import read_rows
from edgedistill.data.row_tables import Wanted
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading

SHIPPED = sorted(reading.shipped())


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_loads_and_plans(name, monkeypatch):
    recipe = reading.load(name)
    monkeypatch.setattr(fingerprints, "data_fingerprint", lambda split, source: f"{split}:{source.path or source.hub}")
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    assert plan.candidates
    assert plan.steps[-1].name == "bundle"


def advised(name: str) -> list[str]:
    """The settings that a recipe's comments advise, for splits only."""
    return re.findall(r'--set "(data\.\w+\.split=[^"]+)"', reading.shipped()[name].read_text())


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("with_advice", [False, True])
def test_the_data_of_every_shipped_recipe_is_read_from_files_that_a_user_brings(name, with_advice, tmp_path):
    recipe = reading.load(name, advised(name) if with_advice else [])
    task = registry.task(recipe.task.type)
    columns = task.data.columns.read(recipe.data.columns)
    content: dict[str, list[object]] = {column: ["a text"] * 100 for column in columns.values()}
    for split, source in recipe.data.splits().items():
        if source.path is None:
            continue
        file = tmp_path / f"{split}{Path(source.path).suffix}"
        if file.suffix == ".parquet":
            Dataset.from_dict(content).to_parquet(file)
        else:
            Dataset.from_dict(content).to_json(file)
        brought = source.model_copy(update={"path": str(file)})
        rows = read_rows(brought, f"data.{split}", tmp_path / "cache", Wanted.of(task, columns))
        assert 0 < len(rows) <= 100


def test_advice_on_splits_is_found():
    assert len(advised("books-smollm2")) == 3


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_recipe_pins_its_hub_revisions(name):
    recipe = reading.load(name)
    for source in recipe.data.splits().values():
        assert source.hub is None or re.fullmatch(r"[0-9a-f]{40}", source.revision)
    model = recipe.teacher.model
    shipped_too = model is not None and Path(model).is_dir()
    assert model is None or shipped_too or re.fullmatch(r"[0-9a-f]{40}", recipe.teacher.revision)


def rows(split: str) -> list[dict[str, str]]:
    file = reading.shipped()["quickstart"].parent / "quickstart" / f"{split}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_quickstart_data_has_enough_of_every_intent():
    counts = Counter(row["label"] for split in ("train", "validation", "test") for row in rows(split))
    assert len(counts) >= 12
    assert min(counts.values()) >= 60


def similarity(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b)


def trigrams(text: str) -> set[str]:
    return {text[i : i + 3] for i in range(len(text) - 2)}


def test_no_near_duplicate_crosses_the_quickstarts_splits():
    """Word or character-trigram sets with a Jaccard similarity of 0.6 and more count as near-duplicates."""
    for view in (lambda text: set(text.split()), trigrams):
        index = defaultdict(list)
        train = [(row["text"], view(row["text"])) for row in rows("train") + rows("validation")]
        for number, (_, parts) in enumerate(train):
            for part in parts:
                index[part].append(number)
        others = [*rows("test")]
        for row in others:
            own = view(row["text"])
            near = Counter(number for part in own for number in index[part])
            for number, shared in near.items():
                if shared >= 0.5 * len(own):
                    assert similarity(own, train[number][1]) < 0.6, (row["text"], train[number][0])


def test_the_stories_end_below_a_quarter_of_their_teacher():
    recipe = reading.load("stories")
    parameters = {model.id: model.parameters for model in make_plan(recipe, fingerprints.look_up(recipe)).models}
    assert len(recipe.rounds) == 3
    assert parameters["r3"] <= 0.25 * parameters["teacher"]
