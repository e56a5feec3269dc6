"""A step: one unit of work that reads artifacts and publishes one; and the declaration of each kind of step."""

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
    """A step's context besides its inputs: a place for checkpoints that outlive the process, and progress."""

    scratch: Path
    progress: Progress
    failures: dict[str, Failure] = field(default_factory=dict)
    """Candidates that failed in this step while others succeeded; filled in by the step."""


@dataclass(frozen=True)
class StepKind(Generic[S, I, R]):
    """Types of a step's settings, inputs and record, and its function: `run(settings: S, inputs: I, folder, context) ->
    R`."""

    function: str
    """`module:function`, imported only when the step runs."""
    version: int
    """Raised whenever the step's code would write different bytes for the same settings and inputs."""
    settings: type[S]
    inputs: type[I]
    record: type[R]
    host: bool = False
    """Whether its output depends on the machine, which is then part of its key."""
    volatile: tuple[str, ...] = ()
    """Patterns of published files with timings, which otherwise only contain what follows from the rest; changes in
    them do not rerun the steps that read them."""

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
    """One planned step. `key` identifies its output."""

    name: str
    kind: AnyKind
    settings: Spec
    inputs: DataclassInstance
    key: str
    summary: str = ""
    optional: bool = False
    """Whether its failure only drops the candidates that need it: it is recorded, and the run continues."""

    def __repr__(self) -> str:
        return f"Step({self.name!r}, key {self.short_key}, {self.summary!r})"

    @property
    def short_key(self) -> str:
        """The twelve characters in the folder's name."""
        return self.key[:12]

    @property
    def reads(self) -> dict[str, Artifact[Record]]:
        """The artifacts among its inputs, by role."""
        return roles.named(self.inputs)

    @property
    def sources(self) -> set[str]:
        """The names of the steps it depends on."""
        return {artifact.step for artifact in self.reads.values()}


class StepSequence(Protocol):
    """The steps to run, each after its dependencies."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """In a valid execution order."""


def key_of(
    kind: AnyKind, settings: object, input_keys: Mapping[str, str], host: Mapping[str, object] | None = None
) -> str:
    """sha256 over everything that affects a step's output.

    Args:
        settings: their content, with references replaced by fingerprints.
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
