from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
from filelock import FileLock

from edgedistill.engine import local
from edgedistill.errors import RefusedError, StepError, UserError
from edgedistill.planning import Plan
from edgedistill.spec import Spec
from edgedistill.store.artifacts import Failure, Published
from edgedistill.store.handle import Artifact
from edgedistill.store.listing import store_of
from edgedistill.store.progress import Progress
from edgedistill.store.records.base import FileName, Record
from edgedistill.store.step import Step, StepKind, key_of
from edgedistill.store.store import Store
from edgedistill.system.interruption import Interrupted

SILENT = Progress()


def find_done(plan: Plan, run: Path) -> dict[str, Published]:
    return local.find_done(plan, run, store_of(run))


def made(run: Path) -> list[str]:
    """The steps whose artifacts are in the run's own store, finished or not."""
    manifests = [folder / "manifest.json" for folder in (run / "artifacts").glob("*-*")]
    return sorted(json.loads(file.read_text())["step"] for file in manifests)


class Words(Spec):
    text: str = "x"


class Word(Record):
    """What every toy step leaves."""

    SCHEMA = "word/1"
    file: FileName = FileName("word.txt")


@dataclass(frozen=True)
class Nothing:
    pass


@dataclass(frozen=True)
class Inputs:
    word: Artifact[Word]


class ToySteps:
    """Toy steps: `first` writes a word, `second` doubles it, and `last` reads what there is. A call gives a plan."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        """What ran."""
        self.fault: dict[str, BaseException] = {}
        """What a step raises."""
        self.words: dict[str, str] = {}
        """What `first` writes in place of its setting, and of how it `took`, if anything."""
        self.partly: dict[str, Failure] = {}
        """What `last` says failed."""

    def first(self, settings, inputs, folder, context):
        self.ran.append("first")
        (folder / "word.txt").write_text(self.words.get("first", settings.text))
        if "took" in self.words:
            (folder / "took.txt").write_text(self.words["took"])
        return Word()

    def second(self, settings, inputs, folder, context):
        self.ran.append("second")
        if "second" in self.fault:
            (folder / "half.txt").write_text("half")
            raise self.fault["second"]
        word = inputs.word.path(inputs.word.record.file).read_text()
        (folder / "word.txt").write_text(word * 2)
        return Word()

    def last(self, settings, inputs, folder, context):
        self.ran.append("last")
        failure = inputs.word.failure
        (folder / "word.txt").write_text(failure.reason if failure else inputs.word.path("word.txt").read_text())
        context.failures.update(self.partly)
        return Word()

    def __call__(self, text: str = "x", optional: bool = False) -> Plan:
        """With `optional`, the second step may fail, and a last one reads what there is."""
        kinds = toy_kind("first", Nothing), toy_kind("second", Inputs), toy_kind("last", Inputs)
        one = key_of(kinds[0], text, {})
        two = key_of(kinds[1], None, {"word": one})
        three = key_of(kinds[2], None, {"word": two})
        first, second = Artifact("first", one, Word), Artifact("second", two, Word)
        all_ = (
            Step("first", kinds[0], Words(text=text), Nothing(), one),
            Step("second", kinds[1], Words(), Inputs(first), two, optional=optional),
            Step("last", kinds[2], Words(), Inputs(second), three),
        )
        return Plan(None, all_ if optional else all_[:2], (), (), None)


def toy_kind(name: str, inputs: type) -> StepKind:
    return StepKind(f"edgedistill.steps.{name}:run", 1, Words, inputs, Word, volatile=("took.txt",))


@pytest.fixture
def steps(monkeypatch):
    """Toy steps, where the engine finds them."""
    toys = ToySteps()
    for name in ("first", "second", "last"):
        module = ModuleType(f"edgedistill.steps.{name}")
        vars(module)["run"] = getattr(toys, name)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return toys


def test_steps_run_once_and_are_skipped_then(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    assert done["second"].path("word.txt").read_text() == "xx"
    again = local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second"]
    assert again == done


def test_an_application_hears_of_every_step_and_nothing_is_printed(steps, tmp_path, caplog, capfd):
    caplog.set_level(logging.INFO, "edgedistill")
    local.execute(steps(), tmp_path, SILENT)
    assert [message.split(":")[0] for message in caplog.messages] == ["[1/2] first", "first", "[2/2] second", "second"]
    assert capfd.readouterr() == ("", "")


def test_a_changed_setting_reruns_what_reads_it_and_keeps_the_old(steps, tmp_path):
    local.execute(steps("x"), tmp_path, SILENT)
    assert local.execute(steps("y"), tmp_path, SILENT)["second"].path("word.txt").read_text() == "yy"
    assert local.execute(steps("x"), tmp_path, SILENT)["second"].path("word.txt").read_text() == "xx"
    assert steps.ran == ["first", "second"] * 2


def test_a_damaged_artifact_is_made_again(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    done["first"].path("word.txt").write_text("damaged")
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second", "first"]
    assert done["first"].path("word.txt").read_text() == "x"


def test_verify_hashes_finds_a_changed_byte(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    done["first"].path("word.txt").write_text("z")
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second"]
    local.execute(steps(), tmp_path, SILENT, verify_hashes=True)
    assert steps.ran == ["first", "second", "first"]


def test_a_failing_step_names_itself_its_inputs_and_the_cause(steps, tmp_path):
    steps.fault["second"] = ZeroDivisionError("no")
    with pytest.raises(StepError) as caught:
        local.execute(steps(), tmp_path, SILENT)
    key = steps().steps[0].short_key
    assert str(caught.value) == f"step 'second' (reading first {key}) failed: ZeroDivisionError: no"
    assert caught.value.exit_code == 1
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_users_error_keeps_its_exit_code(steps, tmp_path):
    steps.fault["second"] = UserError("the data is wrong")
    with pytest.raises(StepError, match="failed: the data is wrong") as caught:
        local.execute(steps(), tmp_path, SILENT)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("x")])
def test_nothing_half_written_stays_and_what_was_done_is_kept(steps, tmp_path, error):
    steps.fault["second"] = error
    with pytest.raises((KeyboardInterrupt, StepError)):
        local.execute(steps(), tmp_path, SILENT)
    assert made(tmp_path) == ["first"]
    assert [entry.name for entry in (tmp_path / "steps").iterdir()] == ["00-first"]
    steps.fault.clear()
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second", "second"]


def test_what_an_optional_step_costs_is_told_to_those_that_read_it(steps, tmp_path):
    steps.fault["second"] = RefusedError("this cannot be done")
    done = local.execute(steps(optional=True), tmp_path, SILENT)
    assert done["second"].failure == Failure("this cannot be done", "refused")
    assert not done["second"].manifest.files
    assert done["last"].path("word.txt").read_text() == "this cannot be done"
    assert set(find_done(steps(optional=True), tmp_path)) == {"first", "last"}


def test_an_optional_step_does_not_run_on_what_is_not_there(steps, tmp_path):
    plan = steps(optional=True)
    after = replace(plan.steps[2], name="after", kind=plan.steps[1].kind, optional=True, key="after")
    steps.fault["second"] = ValueError("x")
    done = local.execute(Plan(None, (*plan.steps[:2], after), (), (), None), tmp_path, SILENT)
    assert steps.ran == ["first", "second"]
    assert done["after"].failure == Failure("a library failed without an explanation [ValueError: x]")


def test_a_failed_step_is_tried_again_by_the_next_run_and_its_readers_only_when_something_changed(steps, tmp_path):
    plan = steps(optional=True)
    steps.fault["second"] = ValueError("x")
    for _ in range(2):
        local.execute(plan, tmp_path, SILENT)
    assert steps.ran == ["first", "second", "last", "second"]
    steps.fault["second"] = ValueError("y")
    assert (
        local.execute(plan, tmp_path, SILENT)["last"].path("word.txt").read_text()
        == "a library failed without an explanation [ValueError: y]"
    )
    steps.fault.clear()
    assert local.execute(plan, tmp_path, SILENT)["last"].path("word.txt").read_text() == "xx"
    assert set(find_done(plan, tmp_path)) == {"first", "second", "last"}


def test_one_run_tries_a_failing_step_once(steps, tmp_path):
    steps.fault["second"] = ValueError("x")
    tried: dict[str, Published] = {}
    for _ in range(2):
        local.execute(steps(optional=True), tmp_path, SILENT, tried=tried)
    assert steps.ran == ["first", "second", "last"]


def test_a_reader_that_was_interrupted_before_a_repaired_input_was_read_runs_in_the_end(steps, tmp_path):
    steps.fault["second"] = ValueError("x")
    plan = steps(optional=True)
    local.execute(plan, tmp_path, SILENT)
    steps.fault.clear()
    local.execute(plan.until("second"), tmp_path, SILENT)  # and no further
    assert local.execute(plan, tmp_path, SILENT)["last"].path("word.txt").read_text() == "xx"


def test_a_step_that_did_some_of_its_candidates_is_tried_again_too(steps, tmp_path):
    steps.partly["r1"] = Failure("it died")
    done = local.execute(steps(optional=True), tmp_path, SILENT)
    assert done["last"].failure is None
    assert done["last"].manifest.failures == {"r1": Failure("it died")}
    steps.partly.clear()
    assert not local.execute(steps(optional=True), tmp_path, SILENT)["last"].manifest.failures
    assert steps.ran == ["first", "second", "last", "last"]


def test_a_folder_in_use_is_refused_with_who_uses_it(steps, tmp_path):
    with FileLock(tmp_path / ".lock"):
        (tmp_path / ".lock.holder").write_text("process 7 on host since noon")
        with pytest.raises(UserError, match="in use by process 7 on host since noon"):
            local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == []


def test_a_record_of_another_type_than_the_kind_declares_is_the_steps_mistake(steps, tmp_path, monkeypatch):
    class Other(Word):
        pass

    def wrong(settings, inputs, folder, context):
        (folder / "word.txt").write_text("x")
        return Other()

    monkeypatch.setattr(sys.modules["edgedistill.steps.first"], "run", wrong)
    with pytest.raises(StepError, match="the step returned a Other, expected the Word"):
        local.execute(steps(), tmp_path, SILENT)


def test_a_record_that_names_a_file_that_is_not_there_is_the_steps_mistake(steps, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["edgedistill.steps.first"], "run", lambda *_: Word(file=FileName("gone.txt")))
    with pytest.raises(StepError, match="the step's record names 'gone.txt', which it did not write"):
        local.execute(steps(), tmp_path, SILENT)
    assert not list((tmp_path / "steps").iterdir())


@pytest.mark.parametrize("content", ['{"record": "word/2", "file": "word.txt"}', '{"record": "word/1"', "[]", "{}"])
def test_a_record_of_another_version_is_not_there(steps, tmp_path, content):
    done = local.execute(steps(), tmp_path, SILENT)
    file = done["first"].path("record.json")
    content = content.ljust(file.stat().st_size)
    file.write_text(content)
    assert "first" not in find_done(steps(), tmp_path)
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second", "first"]


def test_events_tell_what_happened(steps, tmp_path):
    local.execute(steps(), tmp_path, Progress(tmp_path / "events.jsonl"))
    local.execute(steps(), tmp_path, Progress(tmp_path / "events.jsonl"))
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(e["event"], e["step"]) for e in events] == [
        ("started", "first"),
        ("finished", "first"),
        ("started", "second"),
        ("finished", "second"),
        ("skipped", "first"),
        ("skipped", "second"),
    ]
    assert {"seconds", "peak_rss_mb"} <= events[1].keys()


def test_what_reads_an_input_that_was_made_again_with_other_bytes_runs_again_and_a_plan_says_so(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    steps.words["first"] = "other"
    done["first"].path("word.txt").unlink()
    one = Plan(None, steps().steps[:1], (), (), None)
    local.execute(one, tmp_path, SILENT)
    assert set(find_done(steps(), tmp_path)) == {"first"}
    assert local.execute(steps(), tmp_path, SILENT)["second"].path("word.txt").read_text() == "otherother"
    assert steps.ran == ["first", "second", "first", "second"]
    assert set(find_done(steps(), tmp_path)) == {"first", "second"}


def test_an_input_that_was_made_again_with_the_same_bytes_makes_nothing_run_again(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    done["first"].path("word.txt").unlink()
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second", "first"]


def test_how_long_an_input_took_makes_nothing_run_again(steps, tmp_path):
    steps.words["took"] = "5"
    done = local.execute(steps(), tmp_path, SILENT)
    done["first"].path("word.txt").unlink()
    steps.words["took"] = "6"
    local.execute(steps(), tmp_path, SILENT)
    assert steps.ran == ["first", "second", "first"]


def test_a_plan_shows_all_that_follows_from_an_input_with_other_bytes(steps, tmp_path):
    plan = steps(optional=True)
    done = local.execute(plan, tmp_path, SILENT)
    done["first"].path("word.txt").unlink()
    steps.words["first"] = "other"
    local.execute(Plan(None, plan.steps[:1], (), (), None), tmp_path, SILENT)
    assert set(find_done(plan, tmp_path)) == {"first"}


def test_what_was_made_of_other_bytes_stays_for_who_reads_it_and_is_found_again_with_them(steps, tmp_path):
    done = local.execute(steps(), tmp_path, SILENT)
    former, word = done["second"].path("word.txt"), done["first"].path("word.txt")
    word.unlink()
    steps.words["first"] = "other"
    again = local.execute(steps(), tmp_path, SILENT)
    assert (former.read_text(), again["second"].path("word.txt").read_text()) == ("xx", "otherother")
    assert again["second"].folder != done["second"].folder
    word.unlink()
    del steps.words["first"]
    assert local.execute(steps(), tmp_path, SILENT)["second"].folder == done["second"].folder
    assert steps.ran == ["first", "second", "first", "second", "first"]


def test_the_entries_are_those_of_this_run_and_lead_to_its_artifacts(steps, tmp_path):
    local.execute(steps("x"), tmp_path, SILENT)
    (tmp_path / "steps" / "notes.txt").write_text("mine")
    done = local.execute(Plan(None, steps("y").steps[:1], (), (), None), tmp_path, SILENT)
    assert sorted(entry.name for entry in (tmp_path / "steps").iterdir()) == ["00-first", "notes.txt"]
    assert (tmp_path / "steps" / "00-first").resolve() == done["first"].folder
    tmp_path.rename(tmp_path.with_name("moved"))
    assert (tmp_path.with_name("moved") / "steps" / "00-first" / "word.txt").read_text() == "y"


def test_two_runs_with_one_store_make_nothing_twice_and_one_may_call_a_step_otherwise(steps, tmp_path):
    store = Store(tmp_path / "store")
    done = local.execute(steps(), tmp_path / "one", SILENT, store=store)
    other = Plan(None, tuple(replace(step, name=f"{step.name}-too") for step in steps().steps[:1]), (), (), None)
    again = local.execute(other, tmp_path / "two", SILENT, store=store)
    assert again["first-too"] == done["first"]
    assert steps.ran == ["first", "second"]
    assert (tmp_path / "two" / "steps" / "00-first-too").resolve() == done["first"].folder


def test_what_failed_in_one_run_is_tried_by_another_and_keeps_its_place(steps, tmp_path):
    store = Store(tmp_path / "store")
    steps.fault["second"] = ValueError("x")
    failed = local.execute(steps(optional=True), tmp_path / "one", SILENT, store=store)
    steps.fault.clear()
    worked = local.execute(steps(optional=True), tmp_path / "two", SILENT, store=store)
    assert worked["last"].path("word.txt").read_text() == "xx"
    assert store.read(failed["second"].folder.name) == failed["second"]
    assert local.execute(steps(optional=True), tmp_path / "one", SILENT, store=store) == worked
    assert steps.ran == ["first", "second", "last", "second", "last"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_ends_the_run_even_in_a_step_that_may_fail_and_is_no_candidates_failure(steps, tmp_path, error):
    steps.fault["second"] = error
    with pytest.raises(
        StepError, match="no space left on the disk; free some space and run the same command"
    ) as caught:
        local.execute(steps(optional=True), tmp_path, SILENT)
    assert caught.value.exit_code == 1
    steps.fault.clear()
    assert local.execute(steps(optional=True), tmp_path, SILENT)["last"].path("word.txt").read_text() == "xx"


def test_a_signal_leaves_nothing_half_written(steps, tmp_path):
    steps.fault["second"] = Interrupted(signal.SIGTERM)
    with pytest.raises(Interrupted):
        local.execute(steps(optional=True), tmp_path, SILENT)
    assert made(tmp_path) == ["first"]
    assert not (tmp_path / ".lock.holder").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting needs the superuser")
def test_a_run_on_a_full_disk_says_so_and_finishes_with_the_same_bytes_when_there_is_room(steps, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("this machine mounts no tmpfs")
    steps.words["first"] = "x" * 400_000  # the second step writes twice as much
    try:
        with pytest.raises(StepError, match=r"step 'second' .*no space left on the disk.*; free some space and run"):
            local.execute(steps(), disk / "run", Progress(disk / "events.jsonl"))
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        done = local.execute(steps(), disk / "run", Progress(disk / "events.jsonl"))
        assert done["second"].path("word.txt").read_text() == "x" * 800_000
        assert steps.ran == ["first", "second", "second"]
        lines = (disk / "events.jsonl").read_text().splitlines()
        assert [json.loads(line)["event"] for line in lines if line.startswith("{")][-1] == "finished"
    finally:
        subprocess.run(["umount", disk], check=True)
