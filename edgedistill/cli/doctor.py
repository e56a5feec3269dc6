"""What is installed and where, and how to install the rest."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import get_args

from edgedistill.contracts import registry
from edgedistill.contracts.packages import Packages
from edgedistill.isolation import environments
from edgedistill.system.machine import describe, versions
from edgedistill.version import __version__


def diagnose() -> dict[str, object]:
    """Versions, machine, targets and runtimes, each with its version, its environment, or its install command."""
    precisions: dict[str, None] = {}
    for name in registry.names("exporters"):
        precisions |= dict.fromkeys(registry.target(name).precisions)
    return {
        "edgedistill": __version__,
        "versions": versions(),
        "machine": describe(),
        "targets": {name: _state(registry.target(name).packages) for name in registry.names("exporters")},
        "runtimes": {name: _state(registry.runtime(name).packages) for name in registry.names("runtimes")},
        "environments": str(environments.home() / "environments"),
        "precisions": list(precisions),
        "tasks": registry.names("tasks"),
        "losses": registry.names("losses"),
        "students": registry.names("students"),
        "broken_plugins": [reason for group in get_args(registry.Group) for reason in registry.broken(group).values()],
    }


def _state(packages: Packages) -> dict[str, object]:
    missing = environments.missing_here(packages)
    if missing and packages.environment is not None and environments.installed(packages.environment):
        return {"installed": True, "environment": str(environments.folder(packages.environment))}
    if missing:
        return {"installed": False, "missing": missing, "install": packages.install}
    if absent := environments.missing_beside(packages):
        return {"installed": False, "missing": [], "install": "; ".join(absent)}
    found = {program.name: program.path() for program in packages.programs} | environments.npm_versions(packages)
    makers = packages_distributions()
    for required in packages.imports:
        for distribution in makers.get(required, [required]):
            try:
                found[distribution] = version(distribution)
            except PackageNotFoundError:
                found[distribution] = "?"
    return {"installed": True, "versions": found}
