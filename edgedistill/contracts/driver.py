"""The device half of a task, and the graphs that it drives. Numpy only: it runs in any runtime's environment and in bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from edgedistill.arrays import Arrays, Integers

from .answers import Answers
from .items import Items


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: numpy's name of its type, and its shape (None: any)."""

    dtype: str
    shape: Sequence[int | None]


class Graph(Protocol):
    """A model file (or one component of it) opened by a runtime; arrays go in and come out by name."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]

    def run(self, feeds: Arrays) -> Arrays:
        """One pass. Feeds that the graph doesn't have are left out."""


@dataclass(frozen=True)
class Driver:
    """How a task asks its graphs.

    Args:
        components: the graphs that it needs, by the names under which a file's components are exported: `("model",)`, or
            `("prefill", "decode")`, as `transformers.exporters` names them.
        outputs: by component, the names of its outputs, in the order in which the exported model gives them.
        answer: (graphs by component, items, numbers of the chosen items) -> their answers; a driver holds what state there
            is between its calls (a KV cache) itself. The chosen items are one padded batch.
        phases: the same work, yielding the name of each phase right after it (`("inference",)`; `("prefill", "decode")`),
            so that they can be timed apart.
    """

    components: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]
    answer: Callable[[Mapping[str, Graph], Items, Integers], Answers]
    phases: Callable[[Mapping[str, Graph], Items, Integers], Iterator[str]]
