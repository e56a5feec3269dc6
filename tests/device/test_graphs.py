from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import unused

from edgedistill.contracts.driver import Driver, Port, PortNames, feeds_of, named
from edgedistill.device.files import Component, of_json, to_json
from edgedistill.device.graphs import OpenedModel, with_outputs
from edgedistill.errors import EdgedistillError

DRIVER = Driver(("prefill", "decode"), {"prefill": ("cache",), "decode": ("logits",)}, unused, unused)
FILES = {
    "prefill": Component({None: Path("a")}, PortNames((), ("cache",))),
    "decode": Component({4: Path("b"), 8: Path("c")}, PortNames(("past",), ("logits",))),
}


class Plain:
    def __init__(self, file, threads, names) -> None:
        self.file, self.threads = file, threads
        self.inputs = {"past": Port("float32", None)}
        self.outputs = {name: Port("float32", None) for name in names.outputs}

    def run(self, feeds):
        return {name: np.array([1.0]) for name in self.outputs}

    def backend(self):
        return {"file": str(self.file)}


class Apart(Plain):
    """One that measures itself."""

    load_ms, spent_ms = 3.0, 0.0

    def run(self, feeds):
        self.spent_ms += 7.0
        return super().run(feeds)

    def memory_mb(self):
        return None


def test_every_component_opens_and_the_clock_is_the_processs_own():
    opened = OpenedModel(FILES, DRIVER, Plain, 3)
    graphs = opened.graphs({})
    assert list(graphs) == ["prefill", "decode"]
    first = graphs["prefill"]
    assert isinstance(first, Plain)
    assert (first.file, first.threads) == (Path("a"), 3)
    assert opened.backend() == {"file": "c"}
    assert opened.measuring_themselves() == []
    before = opened.clock()()
    assert before <= opened.clock()() < before + 10_000


def test_graphs_that_measure_themselves_are_the_clock():
    opened = OpenedModel(FILES, DRIVER, Apart, 1)
    graphs, clock = opened.graphs({}), opened.clock()
    graphs["prefill"].run({})
    assert clock() == 7.0
    assert len(opened.measuring_themselves()) == 3


def test_a_component_that_is_missing_is_said():
    with pytest.raises(EdgedistillError, match="the model has no component 'decode', only prefill"):
        OpenedModel({"prefill": FILES["prefill"]}, DRIVER, Plain, 1)


def test_the_only_output_of_a_file_is_the_only_one_asked_for():
    graph = Plain("x", 1, PortNames(outputs=("scores",)))
    found = with_outputs(graph, ["logits"])
    assert list(found.run({})) == list(found.outputs) == ["logits"]
    assert with_outputs(graph, ["scores"]) is graph
    several = Plain("x", 1, PortNames(outputs=("a", "b")))
    with pytest.raises(EdgedistillError, match="the file returns 'a', 'b', expected 'logits'"):
        with_outputs(several, ["logits"])


def test_feeds_are_of_the_types_and_in_the_order_of_their_ports():
    ports = {"b": Port("int32", (1, None)), "a": Port("float32", None)}
    found = feeds_of(ports, {"a": np.array([1]), "c": np.array([2]), "b": np.array([[3, 4]])[:, ::-1]})
    assert [(name, str(array.dtype)) for name, array in found.items()] == [("b", "int32"), ("a", "float32")]
    assert found["b"].flags["C_CONTIGUOUS"]
    with pytest.raises(EdgedistillError, match="needs the inputs 'b', 'a', but got 'a': missing 'b'"):
        feeds_of(ports, {"a": np.array([1])})


def test_a_record_names_what_a_format_does_not():
    assert named(["x"], [Port("int64", None)], "inputs") == {"x": Port("int64", None)}
    with pytest.raises(EdgedistillError, match="the file has 2 unnamed inputs, but its record lists 'x'"):
        named(["x"], [Port("int64", None)] * 2, "inputs")


def test_files_cross_a_process_as_they_are():
    assert of_json(to_json(FILES)) == FILES
    assert of_json(to_json(FILES), Path("/there"))["decode"].files == {4: Path("/there/b"), 8: Path("/there/c")}
    assert (FILES["decode"].lengths, FILES["prefill"].lengths) == ((4, 8), ())
