"""The schema is what recipes are read by, and what is written of it is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from edgedistill.recipe import reading
from edgedistill.recipe.json_schema import json_schema
from edgedistill.recipe.reference import markdown

ROOT = Path(__file__).parents[2]


def test_every_key_says_what_it_means():
    """But those that tell plug-ins apart: their part says it."""
    found = json_schema()
    parts = {"Recipe": found, **found["$defs"]}
    without = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, entry in part["properties"].items()
        if "description" not in entry and key not in ("kind", "init", "type")
    ]
    assert without == []


def test_descriptions_are_the_docstrings_of_fields_and_of_base_classes():
    parts = json_schema()["$defs"]
    assert parts["Limits"]["properties"]["file_mb"]["description"].startswith("Size of the model's files")
    assert parts["Stage"]["properties"]["warmup"]["description"] == "Fraction of the steps used for warm-up."
    assert parts["NarrowSpec"]["properties"]["from"]["description"] == "The source model."


def test_the_shipped_schema_and_the_reference_are_of_this_version():
    """Write them again with `edgedistill schema > recipes/schema.json`; `--markdown` gives the reference."""
    found = json_schema()
    assert json.loads((ROOT / "recipes" / "schema.json").read_text(encoding="utf-8")) == found
    page = (ROOT / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert page.split("<!-- reference -->\n", 1)[1] == markdown(found)


@pytest.mark.parametrize("name", sorted(reading.shipped()))
def test_shipped_recipes_say_where_editors_find_it(name):
    file = reading.shipped()[name]
    assert file.read_text(encoding="utf-8").splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    assert set(yaml.safe_load(file.read_text(encoding="utf-8"))) - {"extends"} <= set(json_schema()["properties"])


def test_the_reference_links_to_every_part_that_it_names():
    page = markdown(json_schema())
    headings = {line.lstrip("# ").lower().replace(" ", "-") for line in page.splitlines() if line.startswith("#")}
    links = {piece.split(")", 1)[0] for piece in page.split("](#")[1:]}
    assert links <= headings
    assert "| `epochs` | whole number, ≥ 1 | `3` | Passes over the data. |" in page
    assert "At `rounds[].stages[]`." in page
    assert "| `ood` | mapping of name to [Data Source](#data-source) |" in page
    assert "`evaluate.ood.NAME`" in page
