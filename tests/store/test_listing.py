from __future__ import annotations

import json
import shutil

import pytest
from store.test_store import PLACE, made

from edgedistill.errors import UserError
from edgedistill.store.listing import Listing, is_own, remember, store_of
from edgedistill.store.store import Store


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run" / "steps").mkdir(parents=True)
    return tmp_path / "run"


def test_a_run_has_a_store_of_its_own_unless_it_is_told_another_which_it_remembers(run, tmp_path):
    assert store_of(run).folder == run / "artifacts"
    shared = store_of(run, tmp_path / "shared")
    remember(run, shared)
    assert store_of(run).folder == tmp_path / "shared"
    assert not is_own(run, shared)
    remember(run, store_of(run, run / "artifacts"))
    assert store_of(run).folder == run / "artifacts"
    assert not (run / "store.json").exists()


def test_a_relative_store_is_remembered_from_wherever_one_stands(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remember(run, store_of(run, "shared"))
    monkeypatch.chdir("/")
    assert store_of(run).folder == tmp_path / "shared"


def test_a_remembered_store_that_is_gone_is_not_begun_anew_without_a_word(run, tmp_path):
    remember(run, store_of(run, tmp_path / "shared"))
    (tmp_path / "shared").rmdir()
    with pytest.raises(
        UserError, match=r"store\.json: the store '.*shared' does not exist; give its location with --store"
    ):
        store_of(run)
    assert store_of(run, tmp_path / "other").folder == tmp_path / "other"


@pytest.mark.parametrize("content", ["", "[]", '{"store": 3}', "[" * 50_000])
def test_a_memory_that_is_none_is_a_sentence(run, content):
    (run / "store.json").write_text(content)
    with pytest.raises(UserError, match=r"store\.json: it does not name a store"):
        store_of(run)


@pytest.mark.parametrize("name", ["file", "file/below", "x\0y"])
def test_a_store_that_cannot_be_made_is_a_sentence(run, tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="--store"):
        remember(run, Store(tmp_path / name))


@pytest.fixture(params=["own", "elsewhere"])
def listing(run, tmp_path, request):
    store = store_of(run, None if request.param == "own" else tmp_path / "shared")
    return Listing(run, store), made(store)


def test_an_entry_leads_to_the_artifact(run, listing):
    entries, artifact = listing
    entries.add(7, "r1", artifact)
    assert (run / "steps" / "07-r1" / "file.txt").read_text() == "hello"
    assert entries.artifacts() == {"r1": artifact}
    shutil.rmtree(artifact.folder)
    assert entries.artifacts() == {}
    assert entries.folders() == {"r1": PLACE.name}
    entries.clear()
    assert not list((run / "steps").iterdir())


def test_where_there_are_no_links_an_entry_is_a_file(run, listing, monkeypatch):
    def refused(*_, **__):
        raise OSError("A required privilege is not held by the client")

    entries, artifact = listing
    monkeypatch.setattr("pathlib.Path.symlink_to", refused)
    entries.add(7, "r1", artifact)
    assert (run / "steps" / "07-r1").read_text().strip().endswith(artifact.folder.name)
    assert entries.artifacts() == {"r1": artifact}
    entries.clear()
    assert not list((run / "steps").iterdir())


def test_a_copy_that_followed_the_links_is_as_good(run, listing, tmp_path):
    entries, artifact = listing
    entries.add(0, "r1", artifact)
    own = is_own(run, Store(artifact.folder.parent))
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    store = store_of(copy, None if own else artifact.folder.parent)
    copied = Listing(copy, store)
    assert copied.artifacts()["r1"].manifest == artifact.manifest
    copied.clear()
    assert not list((copy / "steps").iterdir())
    assert store.find(PLACE) is not None


def test_a_run_folder_of_a_former_version_is_refused_and_stays_as_it_is(run, tmp_path):
    made(Store(tmp_path / "former")).folder.rename(run / "steps" / "03-r1-0123456789ab")
    before = sorted(tmp_path.rglob("*"))
    for given in (None, tmp_path / "shared"):
        with pytest.raises(UserError, match=r"was written by an earlier version.* another folder with --out, or rem"):
            store_of(run, given)
    Listing(run, Store(run / "artifacts")).clear()
    assert sorted(tmp_path.rglob("*")) == before


def test_what_a_user_put_among_the_entries_stays(run):
    for name, text in (("01-notes.txt", "mine"), ("02-long", "x" * 100_000), ("readme", f"../artifacts/{PLACE.name}")):
        (run / "steps" / name).write_text(text)
    (run / "steps" / "03-folder").mkdir()
    (run / "steps" / "04-data.json").write_text(json.dumps({"a": 1}))
    (run / "steps" / "05-link").symlink_to("/etc/hostname")
    before = sorted((run / "steps").iterdir())
    Listing(run, Store(run / "artifacts")).clear()
    assert sorted((run / "steps").iterdir()) == before
