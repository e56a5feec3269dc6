from __future__ import annotations

import pytest
from helpers import tiny_recipe

from edgedistill.planning import fingerprints
from edgedistill.recipe import reading
from edgedistill.store.provenance import of_folder

TEXTS = {
    "Apache License\n                           Version 2.0, January 2004": "Apache-2.0",
    "MIT License\n\nCopyright": "MIT",
    "Creative Commons Legal Code\n\nAttribution 3.0 Unported": "CC BY 3.0",
    "Creative Commons\nAttribution-ShareAlike 4.0 International": "CC BY-SA 4.0",
    "Attribution-NonCommercial 4.0 International": "CC BY-NC 4.0",
    "GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007": "GPL-3.0",
    "\n  Our own terms, ask us \n more": "Our own terms, ask us",
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.items())
def test_a_licence_file_is_known_by_its_words(tmp_path, text, expected):
    (tmp_path / "LICENSE").write_text(text)
    found = of_folder("teacher", "m", tmp_path)
    assert (found.licence, found.found_in) == (expected, "LICENSE")


def test_the_source_file_comes_first_then_the_card(tmp_path):
    (tmp_path / "LICENSE").write_text("MIT License")
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: cc-by-4.0\n---\n# Model\nlicense: not this\n")
    assert of_folder("teacher", "m", tmp_path).licence == "cc-by-4.0"
    (tmp_path / "SOURCE.txt").write_text("repo: github.com/a/b\nlicence: CC0 (stated there)\n")
    found = of_folder("train", None, tmp_path)
    assert (found.licence, found.found_in, found.origin) == ("CC0 (stated there)", "SOURCE.txt", "repo: github.com/a/b")


def test_a_card_without_front_matter_and_no_file_at_all_are_unknown(tmp_path):
    (tmp_path / "README.md").write_text("# Model\nlicense: maybe\n")
    assert of_folder("teacher", "m", tmp_path).licence is None
    assert of_folder("teacher", "m", tmp_path / "absent").licence is None
    assert of_folder("teacher", "m", None).found_in is None


def test_a_recipes_models_and_data_are_looked_up(tmp_path, data_folder, monkeypatch):
    tree = tiny_recipe(data_folder)
    hub = tmp_path / "hub" / "models--someone--big"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("abc")
    (hub / "snapshots" / "abc").mkdir(parents=True)
    (hub / "snapshots" / "abc" / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    tree["teacher"] = {"model": "someone/big", "fine_tune": {"epochs": 1}}
    tree["rounds"][1]["student"] = {"init": "checkpoint", "model": "someone/absent"}
    found = {entry.role: entry for entry in fingerprints.look_up(reading.validate(tree, "here")).provenance}
    assert found["teacher"].licence == "mit"
    assert found["teacher"].name == "someone/big (revision main)"
    assert found["student r2"].licence is None
    assert found["train"].licence is None
    assert list(found) == ["teacher", "student r2", "train", "validation", "test", "unlabeled"]


def test_a_licence_that_appears_makes_the_bundle_anew_and_nothing_else(finished_run, data_folder):
    from edgedistill import api

    file = data_folder / "SOURCE.txt"
    file.write_text("licence: CC0\n")
    try:
        planned = api.plan(finished_run.recipe, out=finished_run.folder)
        assert {step.name for step in planned.plan.steps} - planned.done == {"bundle"}
    finally:
        file.unlink()
