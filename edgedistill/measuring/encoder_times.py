"""Times of encoders of one and two layers on this machine, from which the time of any depth follows; cached.

A layer's time is the difference between the two; one layer's encoder also holds the rest (embeddings, head, ONNX
Runtime's own work). Larger models are slower than that where two layers fit into a processor's cache and all of them do
not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from edgedistill.contracts import registry
from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.target import Target
from edgedistill.isolation.environments import runtime_versions
from edgedistill.system.machine import describe
from edgedistill.system.memory import place_of, recall, remember

TARGETS = ("onnx", "onnx-fused")
"""Targets whose files are timed, the default first."""
RUNTIME = "onnxruntime"
DEPTHS = (1, 2)
"""Layers of the encoders that are timed."""
_HOST = ("cpu", "isa", "threads", "system")


@dataclass(frozen=True)
class LayerShape:
    """What the time of a layer depends on, and the width of the embeddings before it."""

    architecture: str
    hidden_size: int
    intermediate_size: int
    heads: int
    embedding_size: int

    @classmethod
    def of(cls, shape: ModelShape) -> LayerShape | None:
        """None for a model that is not an encoder with a known layout and equal layers."""
        if shape.weights is None or shape.intermediate_size is None or not shape.layers:
            return None
        embedding = shape.embedding_size or shape.hidden_size
        return cls(shape.architecture, shape.hidden_size, shape.intermediate_size, shape.heads, embedding)


@dataclass(frozen=True)
class Setup:
    """How an encoder runs."""

    kind: FileKind
    threads: int
    batch: int
    tokens: int
    """Length of every input."""


@dataclass(frozen=True)
class Times:
    """Percentiles of the runs of one encoder."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class LayerTimes:
    """Encoders of one and of two layers of one shape."""

    one: Times
    two: Times

    @property
    def layer_ms(self) -> float:
        """Of one layer; 0 if it is lost in the noise."""
        return max(self.two.p50_ms - self.one.p50_ms, 0.0)

    @property
    def spread(self) -> float:
        """The 95th percentile as a multiple of the median, on inputs of equal length: of the encoder that other work on
        the machine disturbed less."""
        return min(self.one.p95_ms / self.one.p50_ms, self.two.p95_ms / self.two.p50_ms)

    def median_ms(self, layers: int) -> float:
        """Of an encoder of that depth."""
        return self.one.p50_ms + (layers - 1) * self.layer_ms


Table = Mapping[tuple[LayerShape, Setup], LayerTimes]
_TIMES = TypeAdapter(LayerTimes)
_KEY = TypeAdapter(tuple[LayerShape, Setup])


def table() -> dict[tuple[LayerShape, Setup], LayerTimes]:
    """What has been measured on this machine with these versions."""
    found = {}
    for key, content in recall(_name()).items():
        try:
            found[_KEY.validate_json(key)] = _TIMES.validate_python(content)
        except ValidationError:
            continue  # from another version
    return found


def store(measured: Table) -> None:
    """Add to the cache."""
    new = {json.dumps([asdict(shape), asdict(setup)]): asdict(times) for (shape, setup), times in measured.items()}
    remember(_name(), {**recall(_name()), **new})


def place() -> str:
    """The cache file of this machine and these versions."""
    return str(place_of(_name()))


def setups(kinds: Iterable[FileKind], runs: Iterable[tuple[int, int]], lengths: Iterable[int]) -> list[Setup]:
    """Every combination; `runs` are pairs of threads and batch."""
    wanted = [(threads, batch, tokens) for threads, batch in runs for tokens in lengths]
    return [Setup(kind, *run) for kind in dict.fromkeys(kinds) for run in dict.fromkeys(wanted)]


def _name() -> str:
    host = describe()
    measured = {
        "host": {name: host[name] for name in _HOST},
        "runtime": runtime_versions(RUNTIME),
        "exporters": {name: _versions(registry.target(name)) for name in TARGETS},
    }
    return f"encoder-times-{hashlib.sha256(json.dumps(measured, sort_keys=True).encode()).hexdigest()[:12]}.json"


def _versions(exporter: Target) -> dict[str, int]:
    known = {name: precision.version for name, precision in exporter.precisions.items()}
    mixes = {} if exporter.mix is None else {"mix": exporter.mix.version}
    return {"target": exporter.version, **known, **mixes}
