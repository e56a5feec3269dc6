"""What a target or runtime needs in addition to edgedistill: modules, node packages, programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.system import process


@dataclass(frozen=True)
class Program:
    """A program that must be on PATH."""

    name: str
    commands: tuple[str, ...]
    """Any of these."""
    install: str
    """How to install it: `on Debian with: apt-get install ...`."""

    def found(self) -> str | None:
        """Its path, or None if it is missing."""
        return next((path for command in self.commands if (path := process.program(command))), None)

    def path(self) -> str:
        """Its path.

        Raises:
            UserError: it is missing.
        """
        path = self.found()
        if path is None:
            raise UserError(self.missing)
        return path

    @property
    def missing(self) -> str:
        """The message if it is missing."""
        return f"{self.name} is not on PATH (looked for {', '.join(self.commands)}); install it, {self.install}"


@dataclass(frozen=True)
class Extension:
    """C++ code of edgedistill that is compiled against a package's headers and libraries, into its environment. Paths
    are relative to the environment's packages."""

    source: Path
    file: str
    """The compiled file, beside the packages."""
    definitions: tuple[str, ...]
    headers: tuple[Path, ...]
    folder: Path
    """Folder of the libraries."""
    libraries: tuple[str, ...]
    """Linked even if unused, since kernels and backends register themselves."""


@dataclass(frozen=True)
class Packages:
    """What a target or runtime needs in addition to edgedistill, and where it may be installed."""

    imports: tuple[str, ...]
    """Required modules; the first is the runtime itself, whose memory counts as the candidate's, unless `library` names
    others."""
    requirements: tuple[str, ...] = ()
    """pip requirements, identical to the extra of that name in `pyproject.toml`."""
    without_dependencies: tuple[str, ...] = ()
    """pip requirements installed without dependencies, since only their native code is used."""
    extensions: tuple[Extension, ...] = ()
    """Code compiled against them, for the emulated machine."""
    environment: str | None = None
    """Name of the extra and of the virtual environment of `edgedistill doctor --install NAME`; None: the packages come
    with edgedistill."""
    emulated: str | None = None
    """Machine (`platform.machine()`) that they are built for: they exist only in their environment and run there under
    emulation. Emulated code is never timed; its instructions are counted."""
    npm: str | None = None
    """Folder with `package.json` and `package-lock.json` of the node packages in the environment of that name, in
    addition to or instead of Python's."""
    programs: tuple[Program, ...] = ()
    """Other programs that must be on PATH."""
    harness: tuple[str, ...] = ()
    """Modules that the runtime needs in Python only, not on a device (torch, for its tensors). They are imported before
    memory and time are measured."""
    library: tuple[str, ...] = ()
    """Modules that load the runtime's native code, if importing the first of `imports` does not."""

    @property
    def install(self) -> str:
        """The install command."""
        if self.environment is None:
            return "pip install edgedistill"
        if self.emulated is not None or self.npm is not None:
            return f"edgedistill doctor --install {self.environment}"
        return f"pip install 'edgedistill[{self.environment}]', or: edgedistill doctor --install {self.environment}"
