"""A step: one unit of work that reads artifacts and publishes one. And what every step module must offer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .artifacts import Artifact, Failure
from .progress import Progress
from .spec import Spec

Inputs = Mapping[str, Artifact]


@dataclass(frozen=True)
class Context:
    """What a step may use besides its inputs: a place for checkpoints that outlive the process, and the progress."""

    scratch: Path
    progress: Progress
    failures: dict[str, Failure] = field(default_factory=dict)
    """Candidates that the step could not do, while it did the others: it fills this in."""


class StepModule(Protocol):
    """A module in `steps/`."""

    VERSION: int
    """Raised whenever the step's code would write other bytes for the same settings and inputs."""
    run: Callable[[Spec, Inputs, Path, Context], None]
    """A module may also have `VOLATILE`, patterns of published files that say how long the work took: they are no
    reason to do again what reads them."""


@dataclass(frozen=True)
class Step:
    """One planned step. `inputs` maps a role to the name of an earlier step; `key` names the bytes it will publish."""

    name: str
    kind: str
    settings: Spec
    inputs: Mapping[str, str]
    key: str
    summary: str = ""
    optional: bool = False
    """Whether its failure costs only the candidates that need it: it is recorded, and the run goes on."""

    @property
    def short_key(self) -> str:
        """The twelve characters that the folder's name carries."""
        return self.key[:12]


def key_of(
    kind: str,
    version: int,
    identity: object,
    input_keys: Mapping[str, str],
    plugin_versions: Mapping[str, int] | None = None,
    tools: Mapping[str, object] | None = None,
) -> str:
    """sha256 over everything that changes the bytes a step publishes.

    Args:
        identity: the settings, with content hashes in place of paths.
        tools: versions of the programs that the step runs, and the machine where it measures that.
    """
    content = {
        "kind": kind,
        "version": version,
        "identity": identity,
        "inputs": dict(input_keys),
        "plugins": dict(plugin_versions or {}),
        "tools": dict(tools or {}),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
