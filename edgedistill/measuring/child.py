"""The parent's side of a child process that exports or measures files, isolating its failures."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError, RefusedError, UserError
from edgedistill.isolation import environments
from edgedistill.system import process


class MeasuringError(EdgedistillError):
    """A child process failed or died."""


_ERRORS: dict[str, type[EdgedistillError]] = {"refused": RefusedError, "user": UserError, "failed": MeasuringError}


class Child:
    """One child process. `ask` sends a command and waits for its answer.

    Args:
        log: file for its output.
        python: its interpreter; default: this one.
        modules: modules that it must be able to import; their paths are passed to interpreters of other environments.
        timed: whether it is timed.
        timeout_seconds: time limit for one answer, after which it is killed.
    """

    def __init__(
        self,
        log: Path,
        *,
        python: Path | None = None,
        modules: Sequence[str] = (),
        timed: bool = False,
        timeout_seconds: float = 3600.0,
    ) -> None:
        self._log_file = log.open("w", encoding="utf-8")
        self._log = log
        self._timeout_seconds = timeout_seconds
        self._timed_out = False
        python = python or Path(sys.executable)
        bridged = python != Path(sys.executable)
        paths = (environments.bridge(log.with_suffix(".path"), modules),) if bridged else ()
        self._process = subprocess.Popen(
            process.python(python, "-m", "edgedistill.measuring.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            text=True,
            env=process.environment(paths=paths, timed=timed),
        )

    @classmethod
    def of_runtime(
        cls, runtime: str, log: Path, *, driver: str, cpu: str | None = None, timeout_seconds: float
    ) -> Child:
        """A process with the interpreter that has this runtime's packages.

        Args:
            driver: module of the task's device half.
            cpu: processor to emulate, if any.

        Raises:
            UserError: there is none.
        """
        packages = registry.runtime(runtime).packages
        python = environments.interpreter(packages, cpu)
        names = (registry.reference("runtimes", runtime), driver)
        return cls(log, python=python, modules=names, timed=True, timeout_seconds=timeout_seconds)

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        """The answer to one command.

        Raises:
            RefusedError: the child reported that this is not supported.
            UserError: the child reported that the user's input is invalid.
            MeasuringError: the command failed in the child, or the child died (with its last output) or exceeded the
                time limit.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        alarm = threading.Timer(self._timeout_seconds, self._kill)
        alarm.start()
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            alarm.cancel()
        if not line:
            raise MeasuringError(self._obituary(command))
        reply: dict[str, object] = json.loads(line)
        if "error" in reply:
            words = str(reply["error"])
            error = _ERRORS[str(reply["kind"])](words if reply["kind"] != "failed" else f"'{command}' failed: {words}")
            error.add_note(str(reply["traceback"]))
            raise error
        answer = reply["ok"]
        assert isinstance(answer, dict)
        return answer

    def _kill(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _obituary(self, command: str) -> str:
        """How it died."""
        code = self._process.wait()
        if self._timed_out:
            return f"the process was killed: '{command}' took longer than {self._timeout_seconds / 60:g} minutes"
        words = " ".join(self._log.read_text(encoding="utf-8", errors="replace").split())[-300:]
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"the process {how} during '{command}': {words or 'no output'}"

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not issubclass(kind, Exception):  # a signal: its result is no longer needed
            self._process.kill()
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it died, as reported in its answer
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log_file.close()
