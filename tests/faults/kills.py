"""Kills of a run at any moment, and interruptions. Oracle: rerunning the command ends with the models, files and
predictions of an undisturbed run, byte for byte; no process outlives it; an interruption ends in a message and exit
code 130 or 143, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil

from .finished import left_over, run_differs
from .harness import TRACEBACK, Case, Verdict, judge, kill_session

COUNT = 30
LIMIT_S = 180.0
NEEDS = ("finished",)
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_PATIENCE_S = 30.0


def run_case(case: Case) -> tuple[str, Verdict]:
    """One run, ended by a signal at a moment that the seed gives, and then the same command."""
    sent = SIGNALS[case.seed % len(SIGNALS)]
    share = (case.seed * 7 % COUNT + case.rng.random()) / COUNT
    whole_group = sent == signal.SIGINT and case.rng.random() < 0.5
    name = f"{sent.name}{' to the group' if whole_group else ''}"
    run = case.path("run")
    process, out, err = case.start("run", case.world.recipe, "--out", run)
    try:
        _wait_for_the_moment(process, run, share * _undisturbed_seconds(case))
        (os.killpg if whole_group else os.kill)(process.pid, sent)
        try:
            code: int | None = process.wait(timeout=_PATIENCE_S)
        except subprocess.TimeoutExpired:
            code = None
        wrong = _ended_wrongly(case, run, sent, code, out.read_text() + err.read_text()) or _survivors(process.pid)
    finally:
        kill_session(process.pid)
        process.wait()
    again = case.command("run", case.world.recipe, "--out", run)
    verdict = judge(case, again, "works", lambda: run_differs(case.world, run))
    if verdict.result != "worked" or wrong is None:
        return name, Verdict(verdict.result, f"after {share:.0%}: {verdict.detail}")
    return name, Verdict(wrong.result, f"after {share:.0%}: {wrong.detail}")


def _undisturbed_seconds(case: Case) -> float:
    return float((case.world.folder / "finished.made").read_text() or "10")


def _wait_for_the_moment(process: subprocess.Popen[bytes], run: Path, seconds: float) -> None:
    """That long after the run's first event."""
    deadline = time.monotonic() + _PATIENCE_S * 2
    while not (run / "events.jsonl").is_file() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    begun = time.monotonic()
    while process.poll() is None and time.monotonic() - begun < seconds:
        time.sleep(0.01)


def _ended_wrongly(case: Case, run: Path, sent: signal.Signals, code: int | None, said: str) -> Verdict | None:
    if code is None:
        return Verdict("hang", f"goes on {_PATIENCE_S:.0f} s after {sent.name}")
    if TRACEBACK in said:
        return Verdict("traceback", f"at {sent.name}: {said[-200:]}")
    if code == 0 or sent == signal.SIGKILL:
        return None
    expected = 128 + sent
    if code != expected:
        return Verdict("unclear", f"{sent.name} ends with {code}, expected {expected}: {said[-200:]}")
    if "interrupted" not in said and "stopped" not in said:
        return Verdict("unclear", f"{sent.name}: no sentence: {said[-200:]}")
    if (left := left_over(run, interrupted=True)) is not None:
        return Verdict("unclear", f"{sent.name} {left}")
    temporary = [path.name for path in case.path("tmp").iterdir()]
    return Verdict("unclear", f"{sent.name} leaves temporary {', '.join(temporary[:3])}") if temporary else None


def _survivors(session: int) -> Verdict | None:
    """Processes of the run that are still there a while later."""
    deadline = time.monotonic() + 15
    while (left := _of_session(session)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return Verdict("hang", f"children outlive it: {', '.join(left)}") if left else None


def _of_session(session: int) -> list[str]:
    found = []
    for process in psutil.process_iter(["pid", "name", "status"]):
        try:
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(f"{process.info['name']} {process.pid}")
        except (ProcessLookupError, psutil.Error):
            continue
    return found
