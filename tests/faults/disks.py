"""Full disks: the run folder is on a small file system. Oracle: one message that there is no space; with more space the
same command ends with the models, files and predictions of an undisturbed run, byte for byte."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

from .finished import run_differs
from .harness import Case, Verdict, judge, manners

COUNT = 20
LIMIT_S = 180.0
NEEDS = ("finished",)
_CLONE_NEWNS = 0x00020000


def run_case(case: Case) -> tuple[str, Verdict]:
    """One run on a file system that holds part of what it needs, from nearly nothing to nearly all."""
    needed = sum(path.stat().st_blocks * 512 for path in case.world.finished.rglob("*") if not path.is_symlink())
    share = (case.seed + 0.5) / COUNT * 1.15
    size = max(16, int(needed * share / 1024))
    disk = case.path("disk")
    disk.mkdir()
    if (why := _mount(disk, size)) is not None:
        return "tmpfs", Verdict("skipped", why)  # type: ignore[arg-type]
    name = "run folder"
    if case.seed % 2:
        (disk / "tmp").mkdir()
        case.environment["TMPDIR"] = str(disk / "tmp")
        name = "run folder and temporary files"
    first = case.command("run", case.world.recipe, "--out", disk / "run")
    wrong = manners(first) or _unsaid(first.code, first.message)
    subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
    again = case.command("run", case.world.recipe, "--out", disk / "run")
    verdict = judge(case, again, "works", lambda: run_differs(case.world, disk / "run"))
    if verdict.result == "worked" and first.code != 0:
        verdict = wrong or Verdict("failed rightly", first.message)
    elif verdict.result == "refused wrongly":
        verdict = Verdict("refused wrongly", f"even with space: {verdict.detail}")
    _keep(disk, case.path("kept"), verdict)
    return name, Verdict(verdict.result, f"{size} kB of {needed // 1024}: {verdict.detail}")


def _unsaid(code: int | None, message: str) -> Verdict | None:
    if code == 0 or re.search(r"no space|disk is full|space left", message, re.IGNORECASE):
        return None
    return Verdict("unclear", f"exit {code}, and nothing about space: {message[-300:]}")


def _mount(folder: Path, kilobytes: int) -> str | None:
    """A file system that only this process and its children see, gone with them; why there can't be one, else None."""
    if shutil.which("mount") is None:
        return "there is no mount"
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return "file systems can be mounted by root only"
    for words in (["--make-rprivate", "/"], ["-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]):
        found = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
        if found.returncode != 0:
            return f"mount: {found.stderr.strip()[:100]}"
    return None


def _keep(disk: Path, kept: Path, verdict: Verdict) -> None:
    """The file system goes with the process: what is looked at after a fault is copied."""
    if verdict.result not in ("worked", "failed rightly"):
        shutil.copytree(disk, kept, symlinks=True)
