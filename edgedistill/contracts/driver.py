"""The device half of a task, and the graphs it runs. Numpy only, since it runs in every runtime's environment and in
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
    """Numpy's name of the type."""
    shape: Sequence[int | None] | None
    """A size of None is dynamic; None if the format does not declare shapes."""


@dataclass(frozen=True)
class PortNames:
    """Names of a file's inputs and outputs in its order, from the file's record, since some formats have no names."""

    inputs: tuple[str, ...] = ()
    """() if the format itself has names."""
    outputs: tuple[str, ...] = ()


@runtime_checkable
class Graph(Protocol):
    """A model file (or one of its components) opened by a runtime; inputs and outputs are arrays by name."""

    @property
    def inputs(self) -> Mapping[str, Port]: ...

    @property
    def outputs(self) -> Mapping[str, Port]: ...

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One forward pass. Inputs that the graph does not have are dropped, the others cast to its types."""

    def backend(self) -> dict[str, object]:
        """The actual backend (execution providers, share of delegated operators), reported with the candidate.

        Raises:
            EdgedistillError: this is not the backend that the runtime is named after.
        """


@runtime_checkable
class MeasuresItself(Protocol):
    """A graph that runs in another process than the measuring one (a browser page), which would otherwise measure the
    round trip and its own memory."""

    load_ms: float
    spent_ms: float
    """Times of all runs so far."""

    def memory_mb(self) -> tuple[float, float] | None:
        """Peak memory of that process beyond the level before runtime and model were loaded, and that level; None if
        the system does not report it."""


@runtime_checkable
class ReadsTexts(Protocol):
    """A graph whose file contains a tokenizer."""

    def encode(self, text: str) -> Sequence[int]:
        """The tokens of a text, without special tokens around them."""


@dataclass(frozen=True)
class Driver:
    """How a task runs its graphs.

    Args:
        components: names of the graphs it needs, as the file's components are exported: `("model",)`, or `("prefill",
            "decode")`, following `transformers.exporters`.
        outputs: names of each component's outputs, in the exported model's order.
        answer: (graphs by component, items, indices of the chosen items) -> their answers. A driver keeps any state
            between its calls (a KV cache) itself. The chosen items form one padded batch.
        phases: (graphs by component, `Items.batch` of one batch) -> the same work on padded arrays, yielding each
            phase's name right after it (`("inference",)`; `("prefill", "decode")`), so that phases can be timed
            separately. The times of repeated names add up.
        token_axes: for each output or state, the axis that runs over an item's tokens, where files of fixed lengths are
            padded and cut. For sequence columns it is 1.
        probe: (graphs by component, items) -> additional outputs for verification, by name, which the judge compares
            with those of `TaskModel.probe` for the PyTorch model.
        decoder: (graphs by component) -> a decoder that generates text token by token; None for tasks that do not
            generate text.
    """

    components: tuple[str, ...]
    outputs: Mapping[str, tuple[str, ...]]
    answer: Callable[[Mapping[str, Graph], Items, Integers], Answers]
    phases: Callable[[Mapping[str, Graph], Arrays], Iterator[str]]
    token_axes: Mapping[str, int] = field(default_factory=dict)
    probe: Callable[[Mapping[str, Graph], Items], Arrays] | None = None
    decoder: Callable[[Mapping[str, Graph]], Decoder] | None = None


def feeds_of(ports: Mapping[str, Port], given: Arrays) -> dict[str, Array]:
    """The inputs of a graph, by name and in its order, contiguous and of the declared types.

    Raises:
        EdgedistillError: an input is missing.
    """
    if missing := [name for name in ports if name not in given]:
        raise EdgedistillError(
            f"the file needs the inputs {', '.join(map(repr, ports))}, but got {', '.join(map(repr, given))}: missing "
            f"{', '.join(map(repr, missing))}"
        )
    return {name: np.ascontiguousarray(given[name], dtype=port.dtype) for name, port in ports.items()}


def named(names: Sequence[str], ports: Sequence[Port], what: str) -> dict[str, Port]:
    """The ports of a format without names, named in order by the file's record.

    Raises:
        EdgedistillError: the record has a different number of names.
    """
    if len(names) != len(ports):
        told = ", ".join(map(repr, names)) or "none"
        raise EdgedistillError(f"the file has {len(ports)} unnamed {what}, but its record lists {told}")
    return dict(zip(names, ports, strict=True))
