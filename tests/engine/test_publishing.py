from __future__ import annotations

import json
import os

import pytest

from edgedistill.engine import publishing


@pytest.fixture
def made(tmp_path):
    """Two files of a step's."""
    (tmp_path / "step").mkdir()
    for name in ("one", "two"):
        (tmp_path / "step" / name).write_text(name)
    return {"models/r1/one": tmp_path / "step" / "one", "models/r2/two": tmp_path / "step" / "two"}


def test_a_published_file_that_was_edited_harms_no_step_and_is_put_right(made, tmp_path):
    publishing.publish(made, tmp_path / "run")
    with (tmp_path / "run" / "models" / "r1" / "one").open("r+") as file:
        file.write("xxx")
    assert (tmp_path / "step" / "one").read_text() == "one"
    publishing.publish(made, tmp_path / "run")
    assert (tmp_path / "run" / "models" / "r1" / "one").read_text() == "one"


def test_nothing_is_written_where_nothing_changed(made, tmp_path):
    publishing.publish(made, tmp_path / "run")
    before = {file: file.stat().st_ino for file in (tmp_path / "run").rglob("*")}
    publishing.publish(made, tmp_path / "run")
    assert {file: file.stat().st_ino for file in (tmp_path / "run").rglob("*")} == before


def test_what_is_published_no_more_goes_and_what_is_the_users_own_stays(made, tmp_path):
    run = tmp_path / "run"
    publishing.publish(made, run)
    (run / "models" / "r1" / "notes.txt").write_text("mine")
    publishing.publish({"models/r1/other": made["models/r1/one"]}, run)
    files = sorted(file.relative_to(run).as_posix() for file in run.rglob("*") if file.is_file())
    assert files == [".published.json", "models/r1/notes.txt", "models/r1/other"]
    assert not (run / "models" / "r2").exists()


def test_what_a_killed_process_was_copying_goes(made, tmp_path):
    publishing.publish(made, tmp_path / "run")
    (tmp_path / "run" / "models" / "r1" / "one.partial").write_text("on")
    (tmp_path / "run" / "models" / "r1" / "mine.partial").write_text("mine")
    publishing.publish(made, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").rglob("*.partial")] == ["mine.partial"]


def test_what_was_copied_with_its_folder_is_still_known_as_published(made, tmp_path):
    publishing.publish(made, tmp_path / "run")
    os.utime(tmp_path / "run" / "models" / "r2" / "two", (1, 1))  # as cp -r does
    publishing.publish({}, tmp_path / "run")
    assert not (tmp_path / "run" / "models").exists()


def test_a_published_file_that_the_user_changed_is_his(made, tmp_path):
    publishing.publish(made, tmp_path / "run")
    (tmp_path / "run" / "models" / "r2" / "two").write_text("tuned by hand")
    publishing.publish({}, tmp_path / "run")
    assert (tmp_path / "run" / "models" / "r2" / "two").read_text() == "tuned by hand"


@pytest.mark.parametrize(
    "record", ["", "[]", "null", '{"../x": [1, 1], "/x": [1, 1], "a": 3, "b": [1, "2"]}', "[" * 50_000]
)
def test_a_record_that_is_none_takes_nothing_away(made, tmp_path, record):
    (tmp_path / "run").mkdir()
    (tmp_path / "x").write_text("x")
    (tmp_path / "run" / publishing.RECORD).write_text(record)
    publishing.publish(made, tmp_path / "run")
    assert (tmp_path / "x").is_file()
    assert set(json.loads((tmp_path / "run" / publishing.RECORD).read_text())) == set(made)


def test_a_process_killed_while_it_copies_loses_no_name(made, tmp_path, monkeypatch):
    from edgedistill.store import artifacts

    def killed(source, destination):
        copy(source, destination)
        raise KeyboardInterrupt

    copy = artifacts.copy
    monkeypatch.setattr(artifacts, "copy", killed)
    with pytest.raises(KeyboardInterrupt):
        publishing.publish(made, tmp_path / "run")
    monkeypatch.undo()
    publishing.publish({}, tmp_path / "run")
    assert [file.name for file in (tmp_path / "run").iterdir()] == [publishing.RECORD]


def test_a_link_of_the_users_in_the_place_of_a_file_is_replaced_not_written_through(made, tmp_path):
    run = tmp_path / "run"
    (run / "models" / "r1").mkdir(parents=True)
    (tmp_path / "precious").write_text("precious")
    os.symlink(tmp_path / "precious", run / "models" / "r1" / "one")
    publishing.publish(made, run)
    assert (tmp_path / "precious").read_text() == "precious"
    assert (run / "models" / "r1" / "one").read_text() == "one"
