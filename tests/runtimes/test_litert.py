from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edgedistill.contracts.driver import Port
from edgedistill.errors import EdgedistillError
from edgedistill.runtimes.litert import LiteRTGraph, delegated


def node(index, name, inputs, outputs):
    return {"index": index, "op_name": name, "inputs": inputs, "outputs": outputs}


CHAIN = [node(0, "EMBEDDING_LOOKUP", [0], [1]), node(1, "ADD", [1, 2], [3]), node(2, "SOFTMAX", [3], [4])]


def test_operators_between_a_delegates_ends_are_its_own():
    assert delegated([*CHAIN, node(3, "DELEGATE", [1, 2], [4])]) == {1, 2}


def test_two_delegates_leave_what_lies_between_them():
    ends = [node(3, "DELEGATE", [0], [1]), node(4, "DELEGATE", [3], [4])]
    assert delegated([*CHAIN, *ends]) == {0, 2}


def test_without_a_delegate_nothing_is_delegated():
    assert delegated(CHAIN) == set()


def test_a_file_of_which_nothing_is_delegated_is_an_error():
    class Opened:
        def _get_ops_details(self):
            return CHAIN

    session = LiteRTGraph.__new__(LiteRTGraph)
    session._interpreter = Opened()
    with pytest.raises(EdgedistillError, match="XNNPACK runs none of the file's 3 operators"):
        session.backend()


class Runner:
    """A signature as the converter names it, or as one who names outputs does."""

    def __init__(self, outputs):
        self.outputs = outputs

    def get_input_details(self):
        return {"ids": {"index": 0, "shape": np.array([1, 4]), "dtype": np.int32}}

    def get_output_details(self):
        return {
            name: {"index": 5 + place, "shape": np.array([1, place]), "dtype": np.float32}
            for place, name in enumerate(self.outputs)
        }


@pytest.mark.parametrize(
    ("given", "places"),
    [
        (("output_1", "output_0"), {"logits": 6, "cache": 5}),
        (("cache", "logits"), {"cache": 5, "logits": 6}),
    ],
)
def test_outputs_without_names_have_those_of_the_record_in_order(monkeypatch, given, places):
    class Interpreter:
        def __init__(self, model_path, num_threads):
            pass

        def allocate_tensors(self):
            pass

        def get_signature_runner(self):
            return Runner(given)

    module = ModuleType("ai_edge_litert.interpreter")
    monkeypatch.setattr(module, "Interpreter", Interpreter, raising=False)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", ModuleType("ai_edge_litert"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", module)
    graph = LiteRTGraph(Path("x"), 1, ("logits", "cache"))
    assert graph._outputs == places
    assert graph.inputs == {"ids": Port("int32", [1, 4])}
