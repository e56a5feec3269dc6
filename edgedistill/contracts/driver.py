"""The device half of a task, and the graphs that it drives. Numpy only: it runs in any runtime's environment, and in
bundles."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from edgedistill.arrays import Array, Arrays, Integers
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.items import Items
from edgedistill.errors import EdgedistillError

if TYPE_CHECKING:
    from edgedistill.device.decoding import Decoder


@dataclass(frozen=True)
class Port:
    """An input or output of a graph."""

    dtype: str
    """As numpy calls it."""
    shape: Sequence[int | None] | None
    """A size of None may be any; None where the format doesn't tell."""


@dataclass(frozen=True)
class PortNames:
    """What the record of a file says of its inputs and outputs, in the file's order: some formats have no names."""

    inputs: tuple[str, ...] = ()
    """() where the format itself has them."""
    outputs: tuple[str, ...] = ()


@runtime_checkable
class Graph(Protocol):
    """A model file (or one component of it) opened by a runtime; arrays go in and come out by name."""

    @property
    def inputs(self) -> Mapping[str, Port]: ...

    @property
    def outputs(self) -> Mapping[str, Port]: ...

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One pass. Feeds that the graph doesn't have are left out, the others cast to the types of their ports."""

    def backend(self) -> dict[str, object]:
        """What really runs the file (execution providers, share of delegated operators), reported with the candidate.

        Raises:
            EdgedistillError: that is not the backend which the runtime is named for.
        """


@runtime_checkable
class MeasuresItself(Protocol):
    """A graph whose file runs in another process than the one that measures (a browser's page): what that one sees
    from outside would be the way there and back, and its own memory."""

    load_ms: float
    spent_ms: float
    """Of all runs so far."""

    def memory_mb(self) -> tuple[float, float] | None:
        """Peak memory of that process since it held nothing of runtime and model, above what it held then, and that;
        None where the system doesn't tell."""


@runtime_checkable
class ReadsTexts(Protocol):
    """A graph whose file holds a tokenizer of its own."""

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a text, with none put around them."""


@dataclass(frozen=True)
class Driver:
    """How a task asks its graphs.

    Args:
        components: the graphs that it needs, by the names under which a file's components are exported: `("model",)`,
            or `("prefill", "decode")`, as `transformers.exporters` names them.
        outputs: by component, the names of its outputs, in the order in which the exported model gives them.
        answer: (graphs by component, items, numbers of the chosen items) -> their answers; a driver holds what state
            there is between its calls (a KV cache) itself. The chosen items are one padded batch.
        phases: (graphs by component, `Items.batch` of one batch) -> the same work on arrays that are padded already,
            yielding the name of each phase right after it (`("inference",)`; `("prefill", "decode")`), so that they can
            be timed apart. A name may come again; its times add up.
        token_axes: by the name of an output or of a state between the calls, the axis that runs over an item's tokens.
            Files of fixed lengths are padded and cut there. Sequence columns have theirs at 1.
        probe: (graphs by component, items) -> what a file is asked besides when it is verified, by name: what the
            task's judge checks beside what `TaskModel.probe` gives of the torch model.
        decoder: (graphs by component) -> what continues texts with them, token by token; None for a task whose answers
            are no texts.
    """

    components: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]
    answer: Callable[[Mapping[str, Graph], Items, Integers], Answers]
    phases: Callable[[Mapping[str, Graph], Arrays], Iterator[str]]
    token_axes: Mapping[str, int] = field(default_factory=dict)
    probe: Callable[[Mapping[str, Graph], Items], Arrays] | None = None
    decoder: Callable[[Mapping[str, Graph]], Decoder] | None = None


def feeds_of(ports: Mapping[str, Port], given: Arrays) -> dict[str, Array]:
    """What a graph with these inputs is fed: each by its name, in the graph's order, contiguous, of its port's type.

    Raises:
        EdgedistillError: an input that is not given.
    """
    if missing := [name for name in ports if name not in given]:
        raise EdgedistillError(
            f"the file takes {', '.join(map(repr, ports))} but {', '.join(map(repr, missing))} are missing, given only "
            f"{', '.join(map(repr, given))}"
        )
    return {name: np.ascontiguousarray(given[name], dtype=port.dtype) for name, port in ports.items()}


def named(names: Sequence[str], ports: Sequence[Port], what: str) -> dict[str, Port]:
    """The ports of a format without names, by those that the file's record gives in order.

    Raises:
        EdgedistillError: the record gives another number of names.
    """
    if len(names) != len(ports):
        told = ", ".join(map(repr, names)) or "none"
        raise EdgedistillError(f"the file has {len(ports)} unnamed {what}, but its record lists {told}")
    return dict(zip(names, ports, strict=True))
