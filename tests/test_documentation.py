"""The pages name what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from edgedistill.recipe import reading

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_rooms_are_those_there_are():
    drawing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").split("```")[1]
    named = {name for line in drawing.splitlines() for name in re.findall(r"\w+", re.split(r" {2,}", line)[0])}
    there = {place.stem for place in (ROOT / "edgedistill").iterdir() if place.name[0] not in "_."}
    assert named == there - {"version", "py"}


def test_paths_of_the_guide_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:edgedistill|tests|docs|exporters|recipes|steps)/[\w./]*)`", text):
        inside = ROOT / "edgedistill" / path
        assert (ROOT / path).exists() or inside.exists() or inside.with_suffix(".py").exists(), path


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "recipe.md"], ids=lambda page: page.name)
def test_the_recipes_shown_are_recipes(page, tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.S)
    for name in ("train", "validation", "test", "more"):
        (tmp_path / f"{name}.jsonl").write_text('{"utterance": "a", "intent": "b"}\n', encoding="utf-8")
    file = tmp_path / "recipe.yaml"
    file.write_text(block, encoding="utf-8")
    assert [round_.id for round_ in reading.load(str(file)).rounds] == [
        round_["id"] for round_ in yaml.safe_load(block)["rounds"]
    ]
