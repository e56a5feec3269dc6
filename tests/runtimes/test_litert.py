from __future__ import annotations

import pytest

from edgedistill.errors import EdgedistillError
from edgedistill.runtimes.litert import LiteRTSession, delegated


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

    session = LiteRTSession.__new__(LiteRTSession)
    session._interpreter = Opened()
    with pytest.raises(EdgedistillError, match="XNNPACK runs none of the file's 3 operators"):
        session.backend()
