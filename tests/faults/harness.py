"""Runs one case and says what came of it.

The program imports edgedistill and torch once and forks from there: each case is a process, and each command of a case
another one, which enters `edgedistill.cli.entry.main` as the console script does, with its own files for what it
prints, a limit of time and memory, and "y" on its standard input for whoever asks.
"""

from __future__ import annotations

import functools
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .child import become_command
from .world import World

TRACEBACK = "Traceback (most recent call last)"
LONGEST_MESSAGE = 4096
_SLICE_S = 0.5
"""Waiting is counted in slices: while the machine sleeps or this process is stopped, so is the case."""
_RAW_ERROR = re.compile(
    r"error: (?:step '[^']*' (?:\(reading [^)]*\) )?failed: )?([A-Z][A-Za-z]+(?:Error|Exception)): "
)

Expected = Literal["works", "refused", "either"]
"""What a mutation must come to: it changes nothing that counts; it cannot be meant; or both would be right."""

Result = Literal[
    "refused",
    "worked",
    "failed rightly",
    "traceback",
    "unclear",
    "hang",
    "code run",
    "silently wrong",
    "refused wrongly",
]
GOOD: tuple[Result, ...] = ("refused", "worked", "failed rightly")
FAULTS: tuple[Result, ...] = ("traceback", "unclear", "hang", "code run", "silently wrong", "refused wrongly")


@dataclass(frozen=True)
class Verdict:
    """What came of a case, and in words what is wrong."""

    result: Result
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """How one command ended."""

    argv: Sequence[str]
    code: int | None
    """None when it was killed after the limit; negative: the signal that it died of."""
    out: str
    err: str
    seconds: float

    @property
    def message(self) -> str:
        """What it says is wrong: from the last line that begins an error."""
        lines = self.err.splitlines()
        starts = [i for i, line in enumerate(lines) if line.startswith(("error:", "Error:", "interrupted", "stopped"))]
        return "\n".join(lines[starts[0] :]) if starts else self.err[-2000:]


class Numbers(random.Random):
    """Random numbers that remember what was chosen, so that a failure can tell."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed)
        self.chosen: list[str] = []

    def choice(self, seq: Sequence[Any]) -> Any:
        found = super().choice(seq)
        if isinstance(found, str | bytes | int | float | None | tuple | dict | list):
            self.chosen.append(f"{found!r:.50}")
        return found


@dataclass
class Case:
    """One case: its folder, its own random numbers, and the pristine world that it damages a copy of."""

    kind: str
    seed: int
    folder: Path
    world: World
    limit_s: float
    calls: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def rng(self) -> Numbers:
        """The same numbers for the same kind and seed."""
        return Numbers(f"{self.kind} {self.seed}")

    @property
    def canary(self) -> Path:
        """A folder that foreign code would write into."""
        return self.folder / "canary"

    def path(self, name: str) -> Path:
        """A file or folder of the case."""
        return self.folder / name

    def command(self, *argv: object, cwd: Path | None = None, only: str | None = None) -> Outcome:
        """Run `edgedistill ARGV...` in a fork of this process.

        Args:
            only: a pattern of steps' names: a `run` does these and what they need, as if the plan held no others.
        """
        words = [str(argument) for argument in argv]
        where = cwd or self.folder / "cwd"
        out, err = self._outputs(where)
        begun = time.monotonic()
        process = os.fork()
        if process == 0:
            become_command(words, where, out, err, self._environment(), only)
        code = _wait(process, self.limit_s)
        return Outcome(words, code, _read(out), _read(err), time.monotonic() - begun)

    def start(self, *argv: object, cwd: Path | None = None) -> tuple[subprocess.Popen[bytes], Path, Path]:
        """Start `edgedistill ARGV...` as a process of its own, with the interpreter's whole start and end."""
        where = cwd or self.folder / "cwd"
        out, err = self._outputs(where)
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    "from edgedistill.cli.entry import main; main()",
                    *(str(argument) for argument in argv),
                ],
                cwd=where,
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return process, out, err

    def isolated(self, work: Callable[[], str | None], limit_s: float = 60.0) -> str | None:
        """What `work` returns, from a fork of this process: an oracle may crash on what it reads."""
        self.calls += 1
        answer = self.folder / f"oracle-{self.calls}"
        process = os.fork()
        if process == 0:
            try:
                found = work()
            except BaseException as error:  # noqa: BLE001 - it is told to the case
                found = f"the oracle failed: {type(error).__name__}: {error}"
            answer.write_text(found or "", encoding="utf-8", errors="replace")
            os._exit(0)
        code = _wait(process, limit_s)
        if code != 0:
            return f"the oracle ended with {code}"
        return answer.read_text(encoding="utf-8") or None

    def code_run(self) -> str | None:
        """Which canary was written, if any."""
        found = sorted(path.name for path in self.canary.glob("*"))
        return ", ".join(found) or None

    def _environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {"TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1", **self.environment}

    def _outputs(self, where: Path) -> tuple[Path, Path]:
        self.calls += 1
        where.mkdir(parents=True, exist_ok=True)
        self.canary.mkdir(exist_ok=True)
        return self.folder / f"out-{self.calls}.txt", self.folder / f"err-{self.calls}.txt"


def judge(
    case: Case,
    outcome: Outcome,
    expected: Expected,
    differs: Callable[[], str | None],
    *,
    refusals: tuple[int, ...] = (2,),
    failures: tuple[int, ...] = (),
) -> Verdict:
    """The verdict on one command.

    Args:
        differs: what is wrong with a result that was given; None when it is right.
        refusals: exit codes that say "this input needs a change".
        failures: other exit codes that are right for this kind of input.
    """
    if (canary := case.code_run()) is not None:
        return Verdict("code run", canary)
    if (bad := manners(outcome)) is not None:
        return bad
    assert outcome.code is not None
    said = outcome.message.strip()[-300:]
    if outcome.code in (0, 3):
        if expected == "refused":
            return Verdict("silently wrong", "accepted what cannot be meant")
        wrong = differs()
        return Verdict("worked") if wrong is None else Verdict("silently wrong", wrong)
    if outcome.code in refusals or outcome.code in failures:
        if expected == "works":
            return Verdict("refused wrongly", f"exit {outcome.code}: {said}")
        return Verdict("refused" if outcome.code in refusals else "failed rightly", said)
    return Verdict("unclear", f"exit {outcome.code}, expected {' or '.join(map(str, refusals))}: {said}")


def manners(outcome: Outcome) -> Verdict | None:
    """What is wrong with how a command ended, whatever its result."""
    if outcome.code is None:
        return Verdict("hang", f"killed after {outcome.seconds:.0f} s")
    for text in (outcome.err, outcome.out):
        if TRACEBACK in text:
            return Verdict("traceback", f"exit {outcome.code}: {' '.join(text.strip().splitlines()[-1:])[:300]}")
    if outcome.code < 0:
        return Verdict("traceback", f"died of signal {-outcome.code}: {outcome.err.strip()[-200:]}")
    if outcome.code not in (0, 1, 2, 3):
        return Verdict("unclear", f"exit {outcome.code}: {outcome.err.strip()[-200:]}")
    if outcome.code in (1, 2):
        message = outcome.message
        if not message.strip():
            return Verdict("unclear", f"exit {outcome.code} without a word")
        if len(message.encode()) > LONGEST_MESSAGE:
            return Verdict("unclear", f"a message of {len(message.encode())} bytes: {message[:150]}")
        if raw := _RAW_ERROR.search(message):
            return Verdict("unclear", f"exit {outcome.code}, an exception's own words: {message[raw.start() :][:250]}")
    return None


def kill_session(process: int) -> None:
    """End what is left of a command and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def copy_linked(source: Path, destination: Path) -> Path:
    """A copy in which files that share their bytes in `source` share them again."""
    known: dict[tuple[int, int], Path] = {}

    def copy(file: str, target: str) -> str:
        status = os.stat(file)
        identity = (status.st_dev, status.st_ino)
        if status.st_nlink > 1 and identity in known:
            os.link(known[identity], target)
        else:
            shutil.copy2(file, target)
            known[identity] = Path(target)
        return target

    return Path(shutil.copytree(source, destination, symlinks=True, copy_function=copy))


def _wait(process: int, limit_s: float) -> int | None:
    """The exit code (negative: a signal), None when it had to be killed."""
    descriptor = os.pidfd_open(process)
    ended, waited = False, 0.0
    try:
        while not ended and waited < limit_s:
            begun = time.monotonic()
            ended = bool(select.select([descriptor], [], [], _SLICE_S)[0])
            waited += min(time.monotonic() - begun, 2 * _SLICE_S)
    finally:
        os.close(descriptor)
    kill_session(process)
    if not ended:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status) if ended else None


def _read(file: Path) -> str:
    return file.read_bytes()[-200_000:].decode("utf-8", errors="replace") if file.is_file() else ""
