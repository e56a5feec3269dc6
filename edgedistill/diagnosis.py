"""What is installed, and the install line for what isn't."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from . import __version__, plugins
from .engine import versions
from .machine import describe


def diagnose() -> dict[str, object]:
    """Versions, machine, targets and runtimes; each of those with its version or the line that installs it."""
    return {
        "edgedistill": __version__,
        "versions": versions(),
        "machine": describe(),
        "targets": {name: _state("exporters", name) for name in plugins.names("exporters")},
        "runtimes": {name: _state("runtimes", name) for name in plugins.names("runtimes")},
        "precisions": plugins.names("quantizers"),
        "tasks": plugins.names("tasks"),
        "losses": plugins.names("losses"),
        "students": plugins.names("students"),
    }


def _state(group: plugins.Group, name: str) -> dict[str, object]:
    module = plugins.find(group, name)
    missing = [required for required in module.REQUIRES if find_spec(required) is None]
    if missing:
        return {"installed": False, "missing": missing, "install": module.INSTALL}
    found = {}
    for required in module.REQUIRES:
        try:
            found[required] = version(required)
        except PackageNotFoundError:
            found[required] = "?"
    return {"installed": True, "versions": found}
