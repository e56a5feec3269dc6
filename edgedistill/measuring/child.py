"""The parent's side of a measuring process."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from edgedistill.errors import EdgedistillError


class MeasuringError(EdgedistillError):
    """A measuring process failed or died."""


class Child:
    """One measuring process. `ask` sends a command and waits for its answer."""

    def __init__(self, log: Path) -> None:
        self._log_file = log.open("w", encoding="utf-8")
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edgedistill.measuring.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log_file,
            text=True,
        )

    def ask(self, command: str, **arguments: object) -> dict[str, object]:
        """The answer to one command.

        Raises:
            MeasuringError: the command failed in the child, or the child died (its last words are given).
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            words = " ".join(self._log.read_text(encoding="utf-8", errors="replace").split())[-300:]
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise MeasuringError(f"the measuring process {how} during '{command}': {words or 'it said nothing'}")
        reply: dict[str, object] = json.loads(line)
        if "error" in reply:
            raise MeasuringError(f"'{command}' failed in the measuring process: {reply['error']}\n{reply['traceback']}")
        answer = reply["ok"]
        assert isinstance(answer, dict)
        return answer

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):  # it died; its answer said so
                self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._log_file.close()
