"""What every process of ours runs under: nothing is reported to anybody, idle threads yield, and no module is imported
from the working folder.

It is imported before anything else of the package, and imports the standard library only: the libraries read these
variables when they are loaded.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from edgedistill.system.working_folder import absolute

QUIET: Mapping[str, str] = {
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime looks up a host of Microsoft's and keeps a device id below ~/.cache
    "NNCF_CI": "1",  # nncf reports its use to Google Analytics unless it believes that it is tested
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
WAITING: Mapping[str, str] = {
    # Threads of OpenMP spin while they wait. On cores that others use too, that starves whoever they wait for.
    "OMP_WAIT_POLICY": "passive",
}
SILENCED = ("openvino_telemetry",)
"""Packages whose only purpose is to report use. Whatever imports them goes on without."""

SEARCHED = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""Where programs and libraries are looked for. An empty or relative entry means the working folder."""

_ours: set[str] = set()


def prepare() -> None:
    """Set what isn't set yet, or is set to nothing; what the user has set stays."""
    for name, value in {**QUIET, **WAITING}.items():
        if not os.environ.get(name):
            os.environ[name] = value
            _ours.add(name)
    for package in SILENCED:
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]


def program(name: str) -> str | None:
    """The path of a program, None where there is none; never one of the working folder."""
    return shutil.which(name, path=os.pathsep.join(absolute(os.environ.get("PATH", os.defpath))))


def python(interpreter: Path, *words: str) -> list[str]:
    """The command of a Python process that doesn't import from the folder it is started in.

    `-P` and not `-I`: plug-ins may be installed in the user's own site-packages or named by `PYTHONPATH`, and a child
    must find what its parent found.
    """
    return [str(interpreter), "-P", *words]


def environment(*, paths: tuple[Path, ...] = (), timed: bool = False) -> dict[str, str]:
    """The variables of a child process.

    Args:
        paths: to be searched for modules before those of `PYTHONPATH`.
        timed: whether it is timed: then its threads wait as they would on the user's device.
    """
    found = dict(os.environ) | {"PYTHONSAFEPATH": "1"}  # of what the child starts itself, too
    for name in SEARCHED:
        if kept := absolute(found.pop(name, "")):
            found[name] = os.pathsep.join(kept)
    if searched := [*map(os.path.abspath, paths), *absolute(found.pop("PYTHONPATH", ""))]:
        found["PYTHONPATH"] = os.pathsep.join(searched)
    if timed:
        for name in _ours & WAITING.keys():
            del found[name]
    return found
