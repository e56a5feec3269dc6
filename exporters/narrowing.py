"""Which nodes of a graph are computed for all positions of an axis and read for one: they need computing for that one.

Of any kind of graph: `onnx_one_token` and `torch_one_token` say what reads a node and how inputs follow its output.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

NodeT = TypeVar("NodeT", bound=Hashable)
SizeT = TypeVar("SizeT")

Inputs = dict[int, int]
"""Of a node's inputs that can be narrowed along with its output, which axis, by position."""
TOKENS = 1
"""The axis of tokens in (B, T, H)."""


def narrowable(
    last_first: Iterable[NodeT],
    selection: NodeT,
    readers: Callable[[NodeT], Iterable[tuple[NodeT, int]] | None],
    inputs_along: Callable[[NodeT, int], Inputs | None],
) -> dict[NodeT, tuple[int, Inputs]]:
    """The nodes of whose output one position is read, with the axis of that position and the inputs that follow.

    Args:
        last_first: all nodes, each after those that read it.
        selection: the node that reads one token.
        readers: of a node's output, each with the position of the input; None if the graph itself returns it.
        inputs_along: how to narrow a node on an axis of its output by narrowing its inputs; None if that is not known.
    """
    found: dict[NodeT, tuple[int, Inputs]] = {}
    for node in last_first:
        axes: set[int | None] = set()
        for reader, position in readers(node) or ():
            if reader == selection:
                axes.add(TOKENS)
            else:
                axes.add(found[reader][1].get(position) if reader in found else None)
        axis = axes.pop() if len(axes) == 1 else None
        if axis is not None and (inputs := inputs_along(node, axis)) is not None:
            found[node] = axis, inputs
    return found


def broadcast(
    output: Sequence[SizeT],
    inputs: Sequence[Sequence[SizeT] | None],
    axis: int,
    same: Callable[[SizeT, SizeT], bool],
) -> Inputs | None:
    """Inputs of an elementwise operator: numbers, which have no shape, and those of size 1 on the axis stay whole. None
    if a size on the axis is neither 1 nor the output's."""
    found: Inputs = {}
    for position, shape in enumerate(inputs):
        along = axis - (len(output) - len(shape or ()))
        if shape is None or along < 0 or shape[along] == 1:
            continue
        if not same(shape[along], output[axis]):
            return None
        found[position] = along
    return found
