"""A process that becomes the console script, in a fork that has the libraries already."""

from __future__ import annotations

import atexit
import ctypes
import dataclasses
import os
import re
import resource
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MEMORY_BYTES = 10 << 30


def become_command(
    argv: list[str], cwd: Path, out: Path, err: Path, environment: Mapping[str, str], only: str | None
) -> None:
    """In a fork: be the console script, and never return.

    Args:
        only: a pattern of steps' names: a `run` does these and what they need, as if the plan held no others.
    """
    code = 1
    try:
        os.setsid()
        _die_with_parent()
        os.chdir(cwd)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        yes, fed = os.pipe()
        os.write(fed, b"y\n" * 64)
        os.close(fed)
        os.dup2(yes, 0)
        for descriptor, file in ((1, out), (2, err)):
            opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(opened, descriptor)
            os.close(opened)
        sys.stdin, sys.stdout = open(0, encoding="utf-8"), open(1, "w", encoding="utf-8")  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115
        os.environ.update(environment)
        _forget_temporary_folder()
        sys.argv = ["edgedistill", *argv]
        if only is not None:
            _only(only)
        code = _exit_code()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _exit_code() -> int:
    from edgedistill.cli.entry import main

    try:
        main()
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(error.code + "\n")
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would show it
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _only(pattern: str) -> None:
    """Make `run` do only the steps of that name and what they need, by the engine itself; then the process ends."""
    from edgedistill import api

    execute = api.execute

    def part(plan: Any, *arguments: object, **named: object) -> None:
        wanted = {step.name for step in plan.steps if re.fullmatch(pattern, step.name)}
        for step in reversed(plan.steps):
            wanted |= step.sources if step.name in wanted else set()
        steps = tuple(step for step in plan.steps if step.name in wanted)
        execute(dataclasses.replace(plan, steps=steps), *arguments, **named)  # type: ignore[arg-type]
        raise SystemExit(0)

    api.execute = part


def _forget_temporary_folder() -> None:
    import tempfile

    tempfile.tempdir = None


def _die_with_parent() -> None:
    """Linux: a command never outlives the case that started it."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
