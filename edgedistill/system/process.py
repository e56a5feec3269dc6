"""Environment of all our processes: no telemetry, idle threads yield, and nothing is imported from the working folder.

Imported before anything else in the package, and only uses the standard library, since libraries read these variables
when they are loaded.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from edgedistill.system.working_folder import absolute

QUIET: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime looks up a Microsoft host and stores a device id under ~/.cache
    "NNCF_CI": "1",  # nncf reports usage to Google Analytics unless it detects a test environment
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
WAITING: Mapping[str, str] = {
    # OpenMP threads spin while they wait, which on shared cores starves the threads they wait for.
    "OMP_WAIT_POLICY": "passive",
}
SILENCED = ("openvino_telemetry",)
"""Packages that only send telemetry. Their importers work without them."""

SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Search paths for programs and libraries. An empty or relative entry means the working folder."""

_ours: set[str] = set()


def prepare() -> None:
    """Set variables that are unset or empty; the user's own settings stay."""
    for name, value in {**QUIET, **WAITING}.items():
        if not os.environ.get(name):
            os.environ[name] = value
            _ours.add(name)
    for package in SILENCED:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]


def program(name: str) -> str | None:
    """The path of a program, or None; never one in the working folder."""
    return shutil.which(name, path=os.pathsep.join(absolute(os.environ.get("PATH", os.defpath))))


def python(interpreter: Path, *words: str) -> list[str]:
    """Command for a Python process that does not import from the folder it is started in.

    `-P` instead of `-I`, since plug-ins may be in the user's site-packages or on `PYTHONPATH`, and a child must find
    what its parent found.
    """
    return [str(interpreter), "-P", *words]


def environment(*, paths: tuple[Path, ...] = (), timed: bool = False) -> dict[str, str]:
    """Environment variables for a child process.

    Args:
        paths: module search paths before those of `PYTHONPATH`.
        timed: whether it is timed; its threads then wait as on the user's device.
    """
    found = dict(os.environ) | {"PYTHONSAFEPATH": "1"}  # also for processes that the child starts
    for name in SEARCHED:
        if kept := absolute(found.pop(name, "")):
            found[name] = os.pathsep.join(kept)
    if searched := [*map(os.path.abspath, paths), *absolute(found.pop("PYTHONPATH", ""))]:
        found["PYTHONPATH"] = os.pathsep.join(searched)
    if timed:
        for name in _ours & WAITING.keys():
            del found[name]
    return found
