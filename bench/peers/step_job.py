"""Shared by the programs of `bench.language_training`: the job, the clock that counts steps, and the result."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch

from bench.peers.job import Turns

UNTIMED = 2
"""Steps at the start of each turn that are not timed: the memory given back between turns is allocated again."""


@dataclass(frozen=True)
class StepJob:
    """One student to train for some steps on the same tokens as the other programs. Paths are absolute."""

    tokens: str
    """npy (N, T): every batch's sequences after those of the batch before."""
    teacher: str
    student: str
    """Folders of transformers; the student's weights are where all programs start."""
    out: str
    arm: str
    device: Literal["cpu", "cuda"]
    batch: int
    turns: int
    steps_per_turn: int
    learning_rate: float
    seed: int
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0

    @property
    def steps(self) -> int:
        """In all turns."""
        return self.turns * self.steps_per_turn

    def folder(self) -> Path:
        """Output folder."""
        return Path(self.out)


@dataclass(frozen=True)
class Stepped:
    """What a program found."""

    seconds: list[float]
    """Of the timed steps of each turn; the first turn warms up."""
    losses: list[float]
    """KL(teacher || student) in nats per token, by step."""
    peak_bytes: int
    """Allocated on the GPU, or resident; the first turn is left out on a GPU."""
    recording_seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)


def read_job() -> StepJob:
    """The job description named on the command line."""
    return StepJob(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))


class StepClock:
    """Waits for a turn before the first step and between turns; times the steps of a turn but for the first ones."""

    def __init__(self, job: StepJob) -> None:
        self.turns, self.job = Turns(), job
        self.seconds: list[float] = []
        self.losses: list[torch.Tensor] = []
        self._gpu = job.device == "cuda"
        self._done, self._begun = 0, 0.0

    def step(self) -> None:
        """A step has been launched."""
        self._done += 1
        within = self._done % self.job.steps_per_turn
        if within == UNTIMED:
            self._begun = self.now()
        if within != 0:
            return
        self.seconds.append(self.now() - self._begun)
        if self._gpu:
            if len(self.seconds) == 1:
                torch.cuda.reset_peak_memory_stats()
            torch.cuda.empty_cache()  # the others need it in their turns
        if self._done < self.job.steps:
            self.turns.wait()

    def timed(self, work: Callable[[], None]) -> float:
        """Seconds of other work, in a turn of its own."""
        self.turns.wait()
        begun = self.now()
        work()
        return self.now() - begun

    def now(self) -> float:
        """The time when all that was launched has ended."""
        if self._gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def finish(self, recording_seconds: float, versions: dict[str, str]) -> None:
        """Write the result."""
        peak = (
            torch.cuda.max_memory_allocated()
            if self._gpu
            else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        )
        losses = torch.stack(self.losses).float().tolist()
        found = Stepped(self.seconds, losses, peak, recording_seconds, versions)
        (self.job.folder() / "result.json").write_text(json.dumps(asdict(found)), encoding="utf-8")
