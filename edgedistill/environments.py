"""Virtual environments for runtimes whose packages cannot live beside the others, and which interpreter to run."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from . import plugins
from .errors import EdgedistillError, UserError
from .interfaces import Packages

BASE = ("numpy>=2", "safetensors>=0.8")
"""What the measuring process itself imports."""
SAME_AS_HERE = ("torch", "transformers")
"""Installed in the very version that is here, build included (`2.13.0+cpu`): a file is made by the code that trained
its model, and pip's own choice for a wider range may be another build, of gigabytes."""
_RECORD = "edgedistill.json"
_TORCH_INDEX = "https://download.pytorch.org/whl"


def home() -> Path:
    """Where environments lie: `$EDGEDISTILL_HOME`, else `$XDG_DATA_HOME/edgedistill`, else below the user's own."""
    if own := os.environ.get("EDGEDISTILL_HOME"):
        return Path(own)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "edgedistill"


def folder(name: str) -> Path:
    """The environment of that name, whether it is there or not."""
    return home() / "environments" / name


def python_of(name: str) -> Path:
    """The interpreter of the environment of that name."""
    scripts = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return folder(name).joinpath(*scripts)


def installed(name: str) -> bool:
    """Whether the environment is there and was finished."""
    return python_of(name).is_file() and (folder(name) / _RECORD).is_file()


def missing_here(packages: Packages) -> list[str]:
    """The modules that this interpreter lacks."""
    return [name for name in packages.imports if find_spec(name) is None]


def interpreter(packages: Packages) -> Path:
    """The interpreter to run something that needs these packages: this one if they are here, else their environment's.

    Raises:
        UserError: they are nowhere, with the line that installs them.
    """
    missing = missing_here(packages)
    if not missing:
        return Path(sys.executable)
    if packages.environment is not None and installed(packages.environment):
        return python_of(packages.environment)
    raise UserError(f"{' and '.join(missing)} not installed; install with: {packages.install}")


def requirements(name: str) -> tuple[str, ...]:
    """What the targets and runtimes that name this environment need together, and the measuring process.

    Raises:
        UserError: none names it.
    """
    found = [each for packages in declared() if packages.environment == name for each in packages.requirements]
    if not found:
        known = sorted({packages.environment for packages in declared() if packages.environment})
        shown = ", ".join(known) or "none yet"
        raise UserError(
            f"no target or runtime has an environment '{name}'; known: {shown}{plugins.nearest(name, known)}"
        )
    return tuple(dict.fromkeys([*BASE, *map(_as_here, found)]))


def _as_here(requirement: str) -> str:
    name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
    return f"{name}=={version(name)}" if name in SAME_AS_HERE else requirement


def declared() -> Iterator[Packages]:
    """What each target and runtime needs."""
    groups: tuple[plugins.Group, ...] = ("exporters", "runtimes")
    for group in groups:
        for name in plugins.names(group):
            yield plugins.find(group, name).PACKAGES


def install(name: str) -> Path:
    """Make the environment of that name anew, and return its folder.

    Raises:
        UserError: no such environment.
        EdgedistillError: pip could not install the packages; its last words are given.
    """
    wanted = requirements(name)
    place = folder(name)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    _call([sys.executable, "-m", "venv", str(place)], name)
    _call([str(python_of(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted], name)
    record = {"requirements": wanted, "installed": time.strftime("%Y-%m-%d %H:%M:%S")}
    (place / _RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return place


def bridge(place: Path, modules: Iterable[str]) -> Path:
    """A folder through which another interpreter finds edgedistill and these modules' packages, and nothing else of
    this environment: its site-packages on the path would hide the other's own."""
    place.mkdir(parents=True, exist_ok=True)
    for name in {"edgedistill", *(module.split(".")[0] for module in modules)}:
        module = importlib.import_module(name)
        assert module.__file__ is not None
        source = Path(module.__file__)
        source = source.parent if source.name == "__init__.py" else source
        target = place / (name if source.is_dir() else source.name)
        if target.exists():
            continue
        try:
            target.symlink_to(source, target_is_directory=source.is_dir())
        except OSError:  # Windows without the right to link
            shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    return place


def _call(command: list[str], name: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())[-600:]
        build = version("torch").partition("+")[2]
        hint = f"; torch's own index has its builds: PIP_EXTRA_INDEX_URL={_TORCH_INDEX}/{build}"
        raise EdgedistillError(
            f"environment '{name}' could not be made: {words}{hint if build and 'torch==' in words else ''}"
        )
