"""Breaks edgedistill on purpose, one place at a time, and says which breakages the tests notice.

    python -m tests.mutations [--only NAME ...] [--jobs 2] [--list] [--skip-unbroken]

Every `*.yaml` beside this file is a list of mutations:

    - name: what is broken, in a word or two
      file: edgedistill/training/loop.py
      old: the text as it stands there, once
      new: what takes its place
      tests: [the tests that are to notice]
      edits: instead of file, old and new, a list of those, where one place is not enough
      remake: [the steps of the golden run that the code is part of; the others are taken from an unbroken run]

Each is applied alone, to a copy of the repository in a temporary folder, and the tests named for it run there. First
they all run on an unbroken copy (unless `--skip-unbroken` says that they pass): a test that fails anyway notices
nothing. A mutation whose `old` isn't found has
outlived the code that it breaks and must be brought up to date; that is an error, as is one after which the tests
can't even be collected. The exit code is 0 when everything of `review.yaml` is noticed and at most 5% of the rest
survives.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COPIED = ("edgedistill", "exporters", "recipes", "tests", "pyproject.toml", "README.md")
INSTALLED = {"edgedistill_exporters": "exporters", "edgedistill_recipes": "recipes"}
"""As packages are called, and the folders where they lie."""
MUST = "review"
SURVIVORS = 0.05
TIMEOUT_SECONDS = 900
PASSED, FAILED = 0, 1


@dataclass(frozen=True)
class Mutation:
    """One breakage."""

    name: str
    group: str
    edits: tuple[dict[str, str], ...]
    tests: tuple[str, ...]
    remake: tuple[str, ...] = ()

    def apply(self, folder: Path) -> None:
        """Make the edits in a copy of the repository.

        Raises:
            LookupError: what is to be replaced isn't there exactly once.
        """
        for edit in self.edits:
            file = folder / edit["file"]
            text = file.read_text(encoding="utf-8")
            if (found := text.count(edit["old"])) != 1:
                raise LookupError(f"{self.name}: {edit['file']} has its text {found} times, expected once")
            file.write_text(text.replace(edit["old"], edit["new"]), encoding="utf-8")


@dataclass(frozen=True)
class Outcome:
    """What became of one mutation."""

    mutation: Mutation
    state: str
    words: str = ""


def read() -> list[Mutation]:
    """All mutations, in the order of the files."""
    found = []
    for file in sorted(HERE.glob("*.yaml")):
        for entry in yaml.safe_load(file.read_text(encoding="utf-8")):
            edits = entry.get("edits") or [{key: entry[key] for key in ("file", "old", "new")}]
            found.append(
                Mutation(entry["name"], file.stem, tuple(edits), tuple(entry["tests"]), tuple(entry.get("remake", ())))
            )
    names = [mutation.name for mutation in found]
    if len(set(names)) < len(names):
        raise LookupError(f"names come twice: {sorted(name for name in names if names.count(name) > 1)}")
    return found


def copy(folder: Path) -> None:
    """The repository's code and tests, importable under the names that are installed."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(source, folder / name)
    for package, place in INSTALLED.items():
        (folder / package).symlink_to(place)
    if (shared := ROOT.parent / "shared").exists():
        (folder.parent / "shared").symlink_to(shared)


def run_tests(folder: Path, tests: tuple[str, ...], more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """pytest in a copy, with the copy's own code first on the path, in its child processes too."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "tests")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        **more,
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "--no-header",
        "--tb=line",
    ]
    command += [f"--basetemp={folder.parent / 'pytest'}", *tests]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)


def in_a_copy(
    tests: tuple[str, ...], mutation: Mutation | None = None, unbroken_run: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run tests on a copy with one mutation, or none."""
    more: dict[str, str] = {}
    if mutation is not None and mutation.remake and unbroken_run is not None:
        more = {"TRUNK_RUN": str(unbroken_run), "TRUNK_REMAKE": " ".join(mutation.remake)}
    with tempfile.TemporaryDirectory(prefix="mutation-") as place:
        folder = Path(place) / "repository"
        folder.mkdir()
        copy(folder)
        if mutation is not None:
            mutation.apply(folder)
        return run_tests(folder, tests, more)


def attempt(mutation: Mutation, unbroken_run: Path | None) -> Outcome:
    """Whether the mutation is noticed."""
    try:
        done = in_a_copy(mutation.tests, mutation, unbroken_run)
    except LookupError as error:
        return Outcome(mutation, "ERROR", str(error))
    except subprocess.TimeoutExpired:
        return Outcome(mutation, "noticed", f"took longer than {TIMEOUT_SECONDS} s")
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode == FAILED:
        return Outcome(mutation, "noticed", lines[0] if lines else "")
    if done.returncode == PASSED:
        return Outcome(mutation, "SURVIVED")
    return Outcome(mutation, "ERROR", f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-300:]}")


def main() -> int:
    """Run and tell."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="those whose file or name has one of these"
    )
    parser.add_argument("--jobs", type=int, default=2, help="mutations at a time")
    parser.add_argument("--list", action="store_true", help="name them and run none")
    parser.add_argument("--skip-unbroken", action="store_true", help="the tests are known to pass on the code as it is")
    asked = parser.parse_args()
    every = [
        mutation
        for mutation in read()
        if not asked.only or any(part in f"{mutation.group}: {mutation.name}" for part in asked.only)
    ]
    if asked.list:
        tell("\n".join(f"{mutation.group}: {mutation.name}" for mutation in every))
        return 0
    if not asked.skip_unbroken:
        tests = tuple(sorted({test for mutation in every for test in mutation.tests}))
        tell(f"{len(every)} mutations; first their {len(tests)} tests on the code as it is")
        if (unbroken := in_a_copy(tests)).returncode != PASSED:
            tell(f"the tests fail without any mutation:\n{unbroken.stdout[-3000:]}{unbroken.stderr[-500:]}")
            return 2
    with tempfile.TemporaryDirectory(prefix="unbroken-") as place:
        return run(every, Path(place), asked.jobs)


def run(every: list[Mutation], place: Path, jobs: int) -> int:
    """Try each mutation; the exit code."""
    made: Path | None = None
    if any(mutation.remake for mutation in every):
        sys.path.insert(0, str(ROOT / "tests"))
        from trunk.run import frozen_run

        made = frozen_run(place)
    outcomes = []
    with ThreadPoolExecutor(jobs) as pool:
        for outcome in pool.map(functools.partial(attempt, unbroken_run=made), every):
            outcomes.append(outcome)
            tell(f"{outcome.state:9}{outcome.mutation.name}{'  (' + outcome.words + ')' if outcome.words else ''}")
    return summary(outcomes)


def summary(outcomes: list[Outcome]) -> int:
    """Tell the counts and the survivors; the exit code."""
    codes = []
    for must in (True, False):
        own = [outcome for outcome in outcomes if (outcome.mutation.group == MUST) == must]
        noticed = [outcome for outcome in own if outcome.state == "noticed"]
        allowed = 0 if must else int(SURVIVORS * len(own))
        codes.append(len(own) - len(noticed) > allowed or any(outcome.state == "ERROR" for outcome in own))
        tell(f"{'of the review' if must else 'further'}: {len(own)} tried, {len(noticed)} noticed")
    for state in ("SURVIVED", "ERROR"):
        if names := [outcome.mutation.name for outcome in outcomes if outcome.state == state]:
            tell(f"{state}: {'; '.join(names)}")
    tell(f"{len(outcomes)} tried, {sum(outcome.state == 'noticed' for outcome in outcomes)} noticed")
    return int(any(codes))


def tell(words: str) -> None:
    """A line at once, whoever reads."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
