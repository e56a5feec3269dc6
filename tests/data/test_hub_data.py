"""Data sets of the hub: a revision is resolved to a commit, which is in the key and is what is read."""

from __future__ import annotations

import huggingface_hub
import pytest
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from edgedistill.errors import UserError
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading

OLD, NEW = "a" * 40, "b" * 40


@pytest.fixture
def recipe(recipe_tree):
    source = {"hub": "someone/sentences", "split": "train"}
    recipe_tree["data"]["train"] = source
    recipe_tree["evaluate"] = {"ood": {"other": {"hub": "someone/others", "split": "test", "revision": "v2"}}}
    return reading.validate(recipe_tree, "recipe")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub in which `main` of every data set is at a commit that tests move; returns what was asked of it."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    asked: dict[str, str] = {"at": OLD}

    def download(repository, file, *, repo_type, revision):
        asked[repository] = f"{repo_type}@{revision}"
        reference = tmp_path / "hub" / f"datasets--{repository.replace('/', '--')}" / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(asked["at"])
        raise EntryNotFoundError("no README.md")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return asked


def test_a_moved_branch_is_another_key_and_the_commit_is_read(recipe, hub):
    before = make_plan(recipe, fingerprints.look_up(recipe, download=True))
    assert (hub["someone/sentences"], hub["someone/others"]) == ("dataset@main", "dataset@v2")
    assert dict(before.step("data").settings)["train"].revision == OLD
    assert dict(before.step("ood").settings)["ood"]["other"].revision == OLD
    assert make_plan(recipe, fingerprints.look_up(recipe)).step("data").key == before.step("data").key
    hub["at"] = NEW
    after = make_plan(recipe, fingerprints.look_up(recipe, download=True))
    assert dict(after.step("data").settings)["train"].revision == NEW
    assert after.step("data").key != before.step("data").key
    assert after.step("ood").key != before.step("ood").key


def test_offline_the_last_known_commit_is_taken(recipe, hub, monkeypatch):
    known = fingerprints.look_up(recipe, download=True)

    def refuse(*given, **named):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    assert fingerprints.look_up(recipe, download=True).fingerprints == known.fingerprints


def test_a_local_file_has_no_revision_to_resolve(recipe, hub):
    settings = make_plan(recipe, fingerprints.look_up(recipe, download=True)).step("data-validation").settings
    assert dict(settings)["source"] == recipe.data.validation


def test_a_hub_that_does_not_answer_is_one_sentence(recipe, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))

    def refuse(*given, **named):
        raise LocalEntryNotFoundError("no route to host")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(
        UserError, match=r"data.train.hub: 'someone/sentences' \(revision main\) could not be downloaded"
    ):
        fingerprints.look_up(recipe, download=True)
