"""A step: one unit of work that reads artifacts and publishes one. And what each kind of step declares."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

from edgedistill.spec import Spec
from edgedistill.store import roles
from edgedistill.store.artifacts import Failure
from edgedistill.store.handle import Artifact
from edgedistill.store.progress import Progress
from edgedistill.store.records.base import Record

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound=Spec, covariant=True)
I = TypeVar("I", bound="DataclassInstance", covariant=True)  # noqa: E741 - inputs
R = TypeVar("R", bound=Record, covariant=True)
Run = Callable[[Spec, "DataclassInstance", Path, "Context"], Record]


@dataclass(frozen=True)
class Context:
    """What a step may use besides its inputs: a place for checkpoints that outlive the process, and the progress."""

    scratch: Path
    progress: Progress
    failures: dict[str, Failure] = field(default_factory=dict)
    """Candidates that the step could not do, while it did the others: it fills this in."""


@dataclass(frozen=True)
class StepKind(Generic[S, I, R]):
    """What a step takes and gives, and by which function: `run(settings: S, inputs: I, folder, context) -> R`."""

    function: str
    """`module:function`, imported only when the step runs."""
    version: int
    """Raised whenever the step's code would write other bytes for the same settings and inputs."""
    settings: type[S]
    inputs: type[I]
    record: type[R]
    host: bool = False
    """Whether what it publishes depends on the machine, which is part of its key then."""
    volatile: tuple[str, ...] = ()
    """Patterns of published files that say how long the work took, and otherwise only what follows from the rest: they
    are no reason to do again what reads them."""

    @property
    def name(self) -> str:
        """The name of its module."""
        return self.function.partition(":")[0].rpartition(".")[2]

    def load(self) -> Run:
        """The function itself."""
        module, _, function = self.function.partition(":")
        return cast(Run, getattr(import_module(module), function))


AnyKind = StepKind[Spec, "DataclassInstance", Record]


@dataclass(frozen=True)
class Step:
    """One planned step. `key` names the bytes it will publish."""

    name: str
    kind: AnyKind
    settings: Spec
    inputs: DataclassInstance
    key: str
    summary: str = ""
    optional: bool = False
    """Whether its failure costs only the candidates that need it: it is recorded, and the run goes on."""

    def __repr__(self) -> str:
        return f"Step({self.name!r}, key {self.short_key}, {self.summary!r})"

    @property
    def short_key(self) -> str:
        """The twelve characters that the folder's name carries."""
        return self.key[:12]

    @property
    def reads(self) -> dict[str, Artifact[Record]]:
        """The artifacts among its inputs, by role."""
        return roles.named(self.inputs)

    @property
    def sources(self) -> set[str]:
        """The names of the steps that it reads."""
        return {artifact.step for artifact in self.reads.values()}


class StepSequence(Protocol):
    """What an engine runs: steps, each behind those that it reads."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """In the order in which they may run."""


def key_of(
    kind: AnyKind, settings: object, input_keys: Mapping[str, str], host: Mapping[str, object] | None = None
) -> str:
    """sha256 over everything that changes the bytes a step publishes.

    Args:
        settings: their content, with fingerprints in place of what they only name.
        host: the machine, for a kind that depends on it.
    """
    content = {
        "function": kind.function,
        "version": kind.version,
        "record": kind.record.SCHEMA,
        "settings": settings,
        "inputs": dict(input_keys),
        "host": dict(host or {}) if kind.host else {},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
