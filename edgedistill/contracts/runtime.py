"""A runtime: opens the files of some targets. Numpy only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgedistill.arrays import Floats
from edgedistill.contracts.driver import Graph, PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.plugin import Plugin


@dataclass(frozen=True, eq=False, kw_only=True)
class Runtime(Plugin):
    """A module in `runtimes/`, or found through the entry points `edgedistill.runtimes`, exports one as `RUNTIME`.

    The module is imported by the measuring process, which is only guaranteed to have numpy, safetensors and `packages`.

    Args:
        targets: targets whose files it opens.
        suffixes: of these files; empty: these are folders.
        packages: what it needs.
        open: (file, threads, names of inputs and outputs from its record) -> the opened file.
        version: the installed version of the library that runs the files.
        client_facts: (file, texts, labels in the order of their ids, the file's own logits (N, C)) -> results of the
            client library with which this runtime's users load a published folder; None if there is none.
        client_tasks: tasks whose files that library loads: text classifiers.
    """

    targets: tuple[str, ...]
    suffixes: tuple[str, ...]
    packages: Packages
    open: Callable[[Path, int, PortNames], Graph]
    version: Callable[[], str]
    client_facts: Callable[[Path, Sequence[str], Sequence[str], Floats], dict[str, object]] | None = None
    client_tasks: tuple[str, ...] = ()

    def opens(self, place: Path) -> bool:
        """Whether it opens files with this suffix; a folder has none, however it is called."""
        if place.is_dir():
            return "" in self.suffixes
        return place.suffix != "" and place.suffix in self.suffixes

    @property
    def opened(self) -> str:
        """What it opens, for a message."""
        return ", ".join(suffix or "a folder" for suffix in self.suffixes)

    def fault(self, name: str) -> str | None:
        """Why it cannot be used, or None."""
        for field, given in (("targets", self.targets), ("suffixes", self.suffixes)):
            if not isinstance(given, tuple) or not given or not all(isinstance(entry, str) for entry in given):
                return f"its {field} are {given!r:.80}, expected a tuple of names"
        if (self.client_facts is None) == bool(self.client_tasks):
            return f"its client_tasks are {self.client_tasks!r:.80}, expected some if and only if it has client_facts"
        if not isinstance(self.packages, Packages):
            return f"its packages are {self.packages!r:.80}, expected Packages"
        return super().fault(name)
