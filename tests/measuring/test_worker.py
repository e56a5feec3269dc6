"""The measuring process's own side, in this process: which cores it may use, how often it runs what, what it writes."""

from __future__ import annotations

import os
import sys
from types import ModuleType

import numpy as np
import pytest
from helpers import text_items

from edgedistill.measuring import worker
from edgedistill.measuring.worker import Worker
from edgedistill.packages import Packages
from edgedistill.tasks._former import load_rows

LENGTHS = [1, 3, 2, 4, 2]


@pytest.fixture
def cores(monkeypatch):
    """The cores that this process may use, by what is asked of the system; nothing is really pinned."""
    state = {"cores": set(range(8))}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(state["cores"]), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: state.update(cores=set(cores)), raising=False)
    monkeypatch.setattr(worker, "reset_peak", lambda: False)  # this process's own memory is nobody's candidate
    return state


@pytest.fixture
def runtime(monkeypatch, cores):
    """A runtime whose answer to an item is its length and its first token; keeps what it is given."""
    module = ModuleType("a_runtime")
    module.PACKAGES = Packages(imports=("numpy",))
    module.version = lambda: "7"
    module.opened, module.ran = [], []

    class Session:
        input_names = ("input_ids", "attention_mask")

        def run(self, inputs):
            module.ran.append(inputs["input_ids"].tolist())
            ids = inputs["input_ids"]
            return [np.stack([np.full(len(ids), ids.shape[1]), ids[:, 0]], axis=1)]

        def backend(self):
            return {"ran": "here"}

    def opening(file, threads):
        module.opened.append((str(file), threads, set(cores["cores"])))
        return Session()

    module.open = opening
    monkeypatch.setitem(sys.modules, "a_runtime", module)
    return module


@pytest.fixture
def items(tmp_path):
    ids = [[10 + number] * length for number, length in enumerate(LENGTHS)]
    text_items(ids, list(range(len(LENGTHS)))).save(tmp_path / "items")
    return str(tmp_path / "items")


@pytest.mark.parametrize(("threads", "expected"), [(1, {0}), (3, {0, 1, 2}), (99, set(range(8)))])
def test_the_process_is_kept_on_as_many_cores_as_it_has_threads_before_the_file_is_opened(runtime, threads, expected):
    Worker().load([(None, "a.file")], "a_runtime", threads, 0)
    assert runtime.opened == [("a.file", threads, expected)]


def test_the_cores_are_of_those_that_it_may_use(runtime, cores):
    cores["cores"] = {3, 5, 6}
    Worker().load([(None, "a.file")], "a_runtime", 2, 0)
    assert runtime.opened[0][2] == {3, 5}


def test_the_warm_up_runs_the_first_inputs_and_the_turns_go_on_from_there(runtime, items):
    here = Worker()
    assert here.inputs(items, batch=1, length=None) == {"batches": 5}
    loaded = here.load([(None, "a.file")], "a_runtime", 1, 2)
    assert len(runtime.ran) == 2
    assert (loaded["version"], loaded["backend"]) == ("7", {"ran": "here"})
    assert loaded["load_ms"] >= 0
    found = here.time(0.0, 4)["samples_ms"]
    assert len(found) == 4
    assert [ran[0][0] for ran in runtime.ran] == [10, 11, 12, 13, 14, 10]
    assert [len(ran[0]) for ran in runtime.ran[:5]] == LENGTHS


def test_a_turn_lasts_until_both_the_time_and_the_runs_are_reached(runtime, items, monkeypatch):
    here = Worker()
    here.inputs(items, batch=1, length=None)
    here.load([(None, "a.file")], "a_runtime", 1, 0)
    clock = iter(np.arange(0.0, 100.0, 0.25))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: float(next(clock)))
    # Each run looks at the clock twice and the loop once: 0.75 s a round; a run by itself takes 0.25 s.
    samples = here.time(3.0, 1)["samples_ms"]
    assert samples == [250.0] * 4
    clock = iter(np.arange(0.0, 100.0, 0.25))
    assert len(here.time(3.0, 20)["samples_ms"]) == 20


def test_only_whole_batches_are_timed(items):
    here = Worker()
    assert here.inputs(items, batch=2, length=None) == {"batches": 2}
    assert [batch["input_ids"].shape for batch in here.batches] == [(2, 3), (2, 4)]
    assert here.inputs(items, batch=8, length=6) == {"batches": 1}
    assert here.batches[0]["input_ids"].shape == (5, 6)


def test_every_item_answers_by_itself_at_its_own_length(runtime, items, tmp_path):
    here = Worker()
    here.load([(None, "a.file")], "a_runtime", 1, 0)
    task = "edgedistill.tasks.text_classification"
    assert here.answer(items, str(tmp_path / "rows"), task) == {"items": 5}
    rows = load_rows(tmp_path / "rows")
    assert np.asarray(rows.values).tolist() == [[length, 10 + number] for number, length in enumerate(LENGTHS)]
    assert np.asarray(rows.offsets).tolist() == [0, 1, 2, 3, 4, 5]


def test_files_of_fixed_lengths_are_chosen_by_the_input(runtime, items):
    here = Worker()
    here.inputs(items, batch=1, length=None)
    here.load([(2, "two"), (4, "four")], "a_runtime", 1, 5)
    assert [name for name, *_ in runtime.opened] == ["two", "four"]
    assert [len(ran[0]) for ran in runtime.ran] == [2, 4, 2, 4, 2]


def test_instructions_are_those_of_one_run(runtime, items, monkeypatch):
    """Counting costs 1000 itself; a run costs 7 for each of its tokens."""
    here = Worker()
    here.inputs(items, batch=1, length=None)
    here.load([(None, "a.file")], "a_runtime", 1, 0)
    from edgedistill.emulation import guest

    calls = iter(range(1, 10))

    def counted():
        return 1000 * next(calls) + 7 * sum(len(ran[0]) for ran in runtime.ran)

    monkeypatch.setattr(guest, "instructions", counted)
    found = here.count(5)
    assert found == {"instructions_per_inference": 7 * sum(LENGTHS) / 5, "inputs": 5}
