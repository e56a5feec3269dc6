"""The measuring process's own side, in this process: which cores it may use, how often it runs what, what it writes."""

from __future__ import annotations

import os
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Port
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.device import own_process
from edgedistill.device.files import ComponentJson
from edgedistill.measuring import worker
from edgedistill.measuring.worker import Worker

DRIVER = "edgedistill.tasks._classification_device"
ANY: dict[str, ComponentJson] = {"model": {"files": [(None, "a.file")], "inputs": [], "outputs": ["logits"]}}
LENGTHS = [1, 3, 2, 4, 2]


@pytest.fixture
def cores(monkeypatch):
    """The cores that this process may use, by what is asked of the system; nothing is really pinned."""
    state = {"cores": set(range(8))}
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(state["cores"]), raising=False)
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: state.update(cores=set(cores)), raising=False)
    monkeypatch.setattr(own_process, "reset_peak", lambda: False)  # this process's own memory is nobody's candidate
    return state


@pytest.fixture
def runtime(monkeypatch, cores):
    """A runtime whose answer to an item is its length and its first token; keeps what it is given."""
    module: Any = ModuleType("a_runtime")
    module.opened, module.ran = [], []

    class Graph:
        inputs = {name: Port("int64", (None, None)) for name in ("input_ids", "attention_mask")}  # noqa: RUF012
        outputs = {"logits": Port("float32", (None, 2))}  # noqa: RUF012

        def run(self, feeds):
            module.ran.append(feeds["input_ids"].tolist())
            ids = feeds["input_ids"]
            return {"logits": np.stack([np.full(len(ids), ids.shape[1]), ids[:, 0]], axis=1)}

        def backend(self):
            return {"ran": "here"}

    def opening(file, threads, names):
        module.opened.append((str(file), threads, set(cores["cores"])))
        return Graph()

    module.Graph = Graph
    packages = Packages(imports=("numpy",))
    module.RUNTIME = Runtime(
        api=1, targets=("any",), suffixes=(".any",), packages=packages, open=opening, version=lambda: "7"
    )
    monkeypatch.setitem(sys.modules, "a_runtime", module)
    return module


@pytest.fixture
def items(tmp_path):
    sequence = Column("input", "sequence")
    columns = {"input_ids": sequence, "attention_mask": sequence, "labels": Column("target", "scalar")}
    content: dict[str, Any] = {
        "input_ids": [[10 + number] * length for number, length in enumerate(LENGTHS)],
        "attention_mask": [[1] * length for length in LENGTHS],
        "labels": np.arange(len(LENGTHS)),
    }
    Items.of(columns, content, [0, 0, 1, 4, 5]).save(tmp_path / "items")
    return str(tmp_path / "items")


@pytest.mark.parametrize(("threads", "expected"), [(1, {0}), (3, {0, 1, 2}), (99, set(range(8)))])
def test_the_process_is_kept_on_as_many_cores_as_it_has_threads_before_the_file_is_opened(runtime, threads, expected):
    Worker().load(ANY, "a_runtime:RUNTIME", DRIVER, threads, 0)
    assert runtime.opened == [("a.file", threads, expected)]


def test_the_cores_are_of_those_that_it_may_use(runtime, cores):
    cores["cores"] = {3, 5, 6}
    Worker().load(ANY, "a_runtime:RUNTIME", DRIVER, 2, 0)
    assert runtime.opened[0][2] == {3, 5}


def test_the_warm_up_runs_the_first_inputs_and_the_turns_start_behind_them(runtime, items):
    here = Worker()
    assert here.inputs(items, batch=1, length=None) == {"batches": 5}
    loaded: dict[str, Any] = here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 2)
    assert len(runtime.ran) == 2
    assert (loaded["version"], loaded["backend"]) == ("7", {"ran": "here"})
    assert loaded["ports"]["model"]["outputs"] == {"logits": ("float32", (None, 2))}
    assert loaded["load_ms"] >= 0
    found: dict[str, Any] = here.time(0.0, 4)
    assert len(found["samples_ms"]) == 4
    assert [ran[0][0] for ran in runtime.ran] == [10, 11, 12, 13, 14, 10]
    assert [len(ran[0]) for ran in runtime.ran[:5]] == LENGTHS


def test_inputs_are_padded_or_cut_to_the_length_asked_for(runtime, items):
    here = Worker()
    assert here.inputs(items, batch=2, length=3) == {"batches": 2}
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 2)
    assert runtime.ran == [[[10, 0, 0], [11, 11, 11]], [[12, 12, 0], [13, 13, 13]]]


def test_several_sets_of_inputs_are_warmed_up_and_run_apart(runtime, items, tmp_path):
    sequence = Column("input", "sequence")
    columns = {"input_ids": sequence, "attention_mask": sequence}
    Items.of(columns, {name: [[90] * 6] * 4 for name in columns}, range(4)).save(tmp_path / "prompts")
    here = Worker()
    here.inputs(items, batch=1, length=None)
    here.inputs(str(tmp_path / "prompts"), batch=2, length=None, name="6")
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 5)
    assert [ran[0] for ran in runtime.ran[5:]] == [[90] * 6] * 3  # a few: long ones take long
    del runtime.ran[:]
    prompts: dict[str, Any] = here.time(seconds=0, least=2, name="6")
    assert len(prompts["samples_ms"]) == 2
    assert runtime.ran == [[[90] * 6] * 2] * 2
    del runtime.ran[:]
    here.time(seconds=0, least=1)
    assert runtime.ran == [[[10] * LENGTHS[0]]]  # the data continues where it stopped


def test_nothing_is_run_before_the_answers_that_are_asked_for(runtime, items):
    here = Worker()
    here.inputs(items, batch=1, length=None, name="6")
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    assert runtime.ran == []


def test_texts_are_read_by_the_tokenizer_that_the_file_holds(runtime, tmp_path, monkeypatch):
    (tmp_path / "texts").write_text('["ab", ""]')
    here = Worker()
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    assert here.read(str(tmp_path / "texts")) == {"tokens": None}  # it holds none
    monkeypatch.setattr(runtime.Graph, "encode", lambda self, text: map(ord, text), raising=False)
    assert here.read(str(tmp_path / "texts")) == {"tokens": [[97, 98], []]}


class Counting:
    """A decoder whose likeliest next token is the last one plus 1, of 9."""

    tokens = np.zeros((0, 0), np.int64)

    def rewind(self, count):
        assert count == 0

    def advance(self, tokens, real=None):
        return np.eye(9)[(tokens + 1) % 9]


def test_a_file_goes_on_from_a_prompt_token_by_token(runtime, monkeypatch):
    here = Worker()
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    asked = []
    decoder = SimpleNamespace(decoder=lambda graphs: asked.append(list(graphs)) or Counting())
    monkeypatch.setattr(here, "_driver", decoder)
    here.begin([5, 2], 3, [], {})
    assert [here.say()["token"] for _ in range(4)] == [3, 4, 5, None]
    here.begin([5, 2], 3, [4], {})
    assert [here.say()["token"] for _ in range(2)] == [3, None]
    assert asked == [["model"], ["model"]]


def test_every_item_answers_by_itself_at_its_own_length(runtime, items, tmp_path):
    here = Worker()
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    assert here.answer(items, str(tmp_path / "answers")) == {"items": 5}
    found = Answers.open(tmp_path / "answers")
    assert found.values["logits"].tolist() == [[length, 10 + number] for number, length in enumerate(LENGTHS)]
    assert (found.item.tolist(), found.example.tolist()) == ([0, 1, 2, 3, 4], [0, 0, 1, 4, 5])


def test_some_items_answer_in_batches_under_their_own_numbers(runtime, items, tmp_path):
    here = Worker()
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    assert here.answer(items, str(tmp_path / "answers"), chosen=[0, 3, 4], batch=2) == {"items": 3}
    found = Answers.open(tmp_path / "answers")
    assert found.values["logits"].tolist() == [[4, 10], [4, 13], [2, 14]]
    assert (found.item.tolist(), found.example.tolist()) == ([0, 3, 4], [0, 4, 5])


def test_files_of_fixed_lengths_are_chosen_by_the_input(runtime, items):
    here = Worker()
    here.inputs(items, batch=1, length=None)
    files: dict[str, ComponentJson] = {
        "model": {"files": [(2, "two"), (4, "four")], "inputs": [], "outputs": ["logits"]}
    }
    here.load(files, "a_runtime:RUNTIME", DRIVER, 1, 5)
    assert [name for name, *_ in runtime.opened] == ["two", "four"]
    assert [len(ran[0]) for ran in runtime.ran] == [2, 4, 2, 4, 2]


def test_instructions_are_those_of_one_run(runtime, items, monkeypatch):
    """Counting costs 1000 itself; a run costs 7 for each of its tokens."""
    here = Worker()
    here.inputs(items, batch=1, length=None)
    here.load(ANY, "a_runtime:RUNTIME", DRIVER, 1, 0)
    calls = iter(range(1, 10))

    def counted():
        return 1000 * next(calls) + 7 * sum(len(ran[0]) for ran in runtime.ran)

    monkeypatch.setattr(worker, "instructions", counted)
    found = here.count(5)
    assert found == {"instructions_per_inference": 7 * sum(LENGTHS) / 5, "inputs": 5}
