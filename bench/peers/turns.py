"""Runs programs interleaved, one epoch each in turn, so that other load on the machine affects all alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from bench.peers.job import TURN

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Program:
    """A module of `bench.peers`, the interpreter that has what it needs, and where its job description lies."""

    system: str
    module: str
    python: str
    job: Path

    @property
    def log(self) -> Path:
        """What it says."""
        return self.job.with_name("log.txt")


class Child:
    """A started program. Only the one whose turn it is works; the others wait for a line."""

    def __init__(self, program: Program) -> None:
        self.program = program
        with program.log.open("w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [program.python, "-m", f"bench.peers.{program.module}", str(program.job)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=ROOT,
            )
        self.asks = False

    def begin(self) -> None:
        """Let it load and prepare, until it asks for its first turn."""
        self.asks = self._until_it_asks()

    def work(self) -> None:
        """Let it work for one turn."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        self.asks = self._until_it_asks()

    def _until_it_asks(self) -> bool:
        """Wait until it asks for its next turn (True) or has done its job (False).

        Raises:
            SystemExit: it failed.
        """
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip() == TURN:
                return True
        if self.process.wait() != 0:
            last = self.program.log.read_text(encoding="utf-8").strip().splitlines()[-8:]
            raise SystemExit("\n".join([f"{self.program.system} failed; {self.program.log} ends:", *last]))
        return False


def run_in_turns(programs: Sequence[Program], stream: TextIO = sys.stderr, *, load_together: bool = False) -> None:
    """Run all programs to their end, one turn each in turn.

    Args:
        load_together: let all of them load and prepare at once; otherwise that is a turn too.

    Raises:
        SystemExit: one of them failed; the others are ended.
    """
    children: list[Child] = []
    try:
        for program in programs:
            stream.write(f"{program.system}: starts\n")
            stream.flush()
            children.append(Child(program))
            if not load_together:
                children[-1].begin()
        for child in children if load_together else ():
            child.begin()
        turn = 0
        while at_work := [child for child in children if child.asks]:
            turn += 1
            stream.write(f"turn {turn}: {', '.join(child.program.system for child in at_work)}\n")
            stream.flush()
            for child in at_work:
                child.work()
    finally:
        for child in children:
            if child.process.poll() is None:
                child.process.terminate()
                child.process.wait()
