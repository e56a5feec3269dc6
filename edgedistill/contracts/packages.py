"""What a target or runtime needs beside edgedistill itself: modules, node packages, programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.system import process


@dataclass(frozen=True)
class Program:
    """A program that is to be found on PATH."""

    name: str
    commands: tuple[str, ...]
    """Any of these."""
    install: str
    """How to install it: `on Debian with: apt-get install ...`."""

    def found(self) -> str | None:
        """Its path, None when it isn't there."""
        return next((path for command in self.commands if (path := process.program(command))), None)

    def path(self) -> str:
        """Its path.

        Raises:
            UserError: it isn't there.
        """
        path = self.found()
        if path is None:
            raise UserError(self.missing)
        return path

    @property
    def missing(self) -> str:
        """What to say when it isn't there."""
        return f"{self.name} is not on PATH (looked for {', '.join(self.commands)}); install it, {self.install}"


@dataclass(frozen=True)
class Extension:
    """C++ of ours that is compiled against a package's own headers and libraries, into its environment. Paths are
    relative to the environment's packages."""

    source: Path
    file: str
    """What it becomes, beside the packages."""
    definitions: tuple[str, ...]
    headers: tuple[Path, ...]
    folder: Path
    """Where the libraries lie."""
    libraries: tuple[str, ...]
    """Linked even where nothing of theirs is called: kernels and backends register themselves."""


@dataclass(frozen=True)
class Packages:
    """What a target or runtime needs beside edgedistill itself, and where it may live."""

    imports: tuple[str, ...]
    """Modules that must be there; the first is the runtime's own, whose memory counts as the candidate's, unless
    `library` names others."""
    requirements: tuple[str, ...] = ()
    """What pip installs; the same lines stand in `pyproject.toml` as the extra of that name."""
    without_dependencies: tuple[str, ...] = ()
    """What pip installs alone, because only the native code in it is used."""
    extensions: tuple[Extension, ...] = ()
    """What is compiled against them, for the emulated machine."""
    environment: str | None = None
    """The extra, and the name of the virtual environment of `edgedistill doctor --install NAME`; None: these packages
    come with edgedistill."""
    emulated: str | None = None
    """The machine (`platform.machine()`) whose build of them is meant: it lives in its environment only, and runs there
    under emulation. What is emulated is never timed; its instructions are counted."""
    npm: str | None = None
    """Folder with the `package.json` and `package-lock.json` of the node packages that the environment of that name
    holds, beside or instead of Python's."""
    programs: tuple[Program, ...] = ()
    """What else must be on PATH."""
    harness: tuple[str, ...] = ()
    """Modules that the runtime needs in Python only, and on no device (torch, whose tensors it takes). They are
    imported before memory and time are counted."""
    library: tuple[str, ...] = ()
    """Modules that load the runtime's native code, where importing the first of `imports` doesn't."""

    @property
    def install(self) -> str:
        """The line that installs them."""
        if self.environment is None:
            return "pip install edgedistill"
        if self.emulated is not None or self.npm is not None:
            return f"edgedistill doctor --install {self.environment}"
        return f"pip install 'edgedistill[{self.environment}]', or: edgedistill doctor --install {self.environment}"
