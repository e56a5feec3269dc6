from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from edgedistill.errors import DiskFullError, EdgedistillError, UserError
from edgedistill.store import run_folder
from edgedistill.store.listing import store_of
from edgedistill.store.store import Place


def full() -> None:
    raise OSError(28, "No space left on device")


def entered(folder) -> None:
    with run_folder.opened(folder):
        pass


def test_a_folder_that_cannot_be_one_is_a_sentence_and_the_users_turn(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("file", "file/below", "a/run", "x" * 300, "y\0z"):
        with pytest.raises(UserError) as caught:
            entered(tmp_path / name)
        assert "cannot be created" in str(caught.value) or "is not a valid path" in str(caught.value)


def test_a_pipe_is_no_record_of_events(tmp_path):
    os.mkfifo(tmp_path / "events.jsonl")
    with pytest.raises(UserError, match=r"events\.jsonl: is not a regular file"):
        entered(tmp_path)


@pytest.mark.parametrize("name", ["steps", "events.jsonl", ".lock"])
def test_what_stands_in_the_way_inside_is_named(tmp_path, name):
    (tmp_path / name).write_text("x") if name == "steps" else (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=name):
        entered(tmp_path)


def test_what_the_system_refuses_later_is_a_sentence_too(tmp_path):
    (tmp_path / "models").write_text("x")
    refused: list[tuple[Callable[[], object], type[EdgedistillError], str]] = [
        ((tmp_path / "models" / "r1").mkdir, UserError, "cannot be read or written: Not a directory"),
        (lambda: (tmp_path / "vanished").read_text(), EdgedistillError, "No such file"),
        (full, DiskFullError, "free some space and run the same command to resume"),
    ]
    for act, kind, words in refused:
        with pytest.raises(kind, match=words) as caught, run_folder.opened(tmp_path):
            act()
        assert caught.value.exit_code == (2 if kind is UserError else 1)


def test_who_holds_the_folder_may_hold_it_again_and_leaves_no_name_behind(tmp_path):
    with run_folder.opened(tmp_path), run_folder.only_writer(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / ".lock.holder").read_text()
    assert not (tmp_path / ".lock.holder").exists()
    with pytest.raises(ZeroDivisionError), run_folder.opened(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / ".lock.holder").exists()
    entered(tmp_path)


def test_what_killed_processes_left_goes_and_checkpoints_of_the_plan_stay(tmp_path):
    key, old = "a" * 64, "b" * 64
    store = store_of(tmp_path)
    kept, gone = store.scratch(Place(key, {})), store.scratch(Place(old, {}))
    left = store.begin(Place(old, {}))
    (tmp_path / "recipe.yaml.partial").write_text("x")
    run_folder.tidy(tmp_path, SimpleNamespace(steps=[SimpleNamespace(key=key)]), store)
    assert (kept.exists(), gone.exists(), left.exists()) == (True, False, False)
    assert not (tmp_path / "recipe.yaml.partial").exists()


def test_checkpoints_in_a_store_that_others_use_stay(tmp_path):
    store = store_of(tmp_path / "run", tmp_path / "store")
    scratch = store.scratch(Place("b" * 64, {}))
    run_folder.tidy(tmp_path / "run", SimpleNamespace(steps=[]), store)
    assert scratch.exists()
