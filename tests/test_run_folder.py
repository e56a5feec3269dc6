from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from edgedistill import run_folder
from edgedistill.errors import DiskFullError, EdgedistillError, UserError


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
        assert "cannot be made for a run" in str(caught.value) or "is no path here" in str(caught.value)


def test_a_pipe_is_no_record_of_events(tmp_path):
    os.mkfifo(tmp_path / "events.jsonl")
    with pytest.raises(UserError, match=r"events\.jsonl: is no file"):
        entered(tmp_path)


@pytest.mark.parametrize("name", ["steps", "events.jsonl", ".lock"])
def test_what_stands_in_the_way_inside_is_named(tmp_path, name):
    (tmp_path / name).write_text("x") if name == "steps" else (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=name):
        entered(tmp_path)


def test_what_the_system_refuses_later_is_a_sentence_too(tmp_path):
    (tmp_path / "models").write_text("x")
    refused: list[tuple[Callable[[], object], type[EdgedistillError], str]] = [
        ((tmp_path / "models" / "r1").mkdir, UserError, "cannot be read or written here: Not a directory"),
        (lambda: (tmp_path / "vanished").read_text(), EdgedistillError, "No such file"),
        (full, DiskFullError, "free some space and run the same command again"),
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
    for name in ("steps/00-data-abc.partial", "steps/01-r1-def", "scratch/r1-def", "scratch/old-123"):
        (tmp_path / name / "inside").mkdir(parents=True)
    (tmp_path / "recipe.yaml.partial").write_text("x")
    run_folder.tidy(tmp_path, SimpleNamespace(steps=[SimpleNamespace(name="r1", short_key="def")]))
    left = sorted(str(folder.relative_to(tmp_path)) for folder in tmp_path.glob("*/*"))
    assert left == ["scratch/r1-def", "steps/01-r1-def"]
    assert not (tmp_path / "recipe.yaml.partial").exists()
    run_folder.tidy(tmp_path, SimpleNamespace(steps=[]))
    assert not (tmp_path / "scratch").exists()


def test_an_interrupted_steps_scratch_keeps_its_checkpoints_only(tmp_path):
    for name in ("r1/stage", "r1/stage.partial", "r2/cache", "r3"):
        (tmp_path / "scratch" / name).mkdir(parents=True)
    (tmp_path / "scratch" / "r1" / "stage" / run_folder.CHECKPOINT).write_text("{}")
    (tmp_path / "scratch" / "r2" / "worker.log").write_text("x")
    for name in ("r1", "r2", "r3"):
        run_folder.keep_checkpoints(tmp_path / "scratch" / name)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert left == ["scratch", "scratch/r1", "scratch/r1/stage", "scratch/r1/stage/state.json"]
