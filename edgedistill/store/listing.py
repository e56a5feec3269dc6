"""A run folder's link to its store: its location, and the artifact of each step in the current plan.

`RUN/steps/NN-NAME` is a link to the artifact's folder or, if the file system has no links, a file with its path; in a
copied run whose links were followed, it is a copy of that folder. Every run rewrites it. `RUN/store.json` names the
store if it is not the run folder's own, `RUN/artifacts/`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edgedistill.errors import UserError
from edgedistill.store.artifacts import MANIFEST, Published, read_manifest, write_json, write_text
from edgedistill.store.store import Store, folder_name

STEPS = "steps"
_OWN, _MEMORY = "artifacts", "store.json"
_ENTRY = re.compile(r"\d{2,}-(?P<step>.+)")
_ARTIFACT = re.compile(r".{1,32}-[0-9a-f]{16}(-failed-[0-9a-f]{16})?")
_LONGEST_PATH = 8192


def store_of(run: Path, given: str | Path | None = None) -> Store:
    """The store of a run: the given one, otherwise the one that the run remembers, otherwise its own.

    Raises:
        UserError: the run's artifacts are in its `steps/`, from an earlier version, or the store that it remembers is
            missing.
    """
    store = Store(Path(given)) if given is not None else _remembered(run)
    _refuse_former(run, store)
    return store


def _remembered(run: Path) -> Store:
    """Raises:
    UserError: it is missing.
    """
    memory = run / _MEMORY
    if not memory.is_file():
        return Store(run / _OWN)
    try:
        content = json.loads(memory.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        content = None
    known = content.get("store") if isinstance(content, dict) else None
    if not isinstance(known, str) or not Path(known).is_dir():
        said = f"the store {known!r:.300} does not exist" if isinstance(known, str) else "it does not name a store"
        raise UserError(
            f"{memory}: {said}; give its location with --store, or remove this file to start a store in {run}"
        )
    return Store(Path(known))


def is_own(run: Path, store: Store) -> bool:
    """Whether the store is the run folder's."""
    return os.path.realpath(run / _OWN) == os.path.realpath(store.folder)


def remember(run: Path, store: Store) -> None:
    """Create the store, and let the run remember it.

    Raises:
        UserError: it cannot be created there.
    """
    try:
        store.folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        reason = error.strerror
        raise UserError(f"{store.folder}: cannot be created as a store: {reason}; give another with --store") from error
    except ValueError as error:
        raise UserError(f"--store: got {str(store.folder)!r:.200}, which is not a valid path: {error}") from error
    if is_own(run, store):
        (run / _MEMORY).unlink(missing_ok=True)
    else:
        write_json(run / _MEMORY, {"store": str(store.folder)})


class Listing:
    """The entries in `RUN/steps/`.

    Args:
        run: the run's folder.
        store: its artifact store.
    """

    def __init__(self, run: Path, store: Store) -> None:
        self._folder = run / STEPS
        self._store = store
        self._prefix = f"../{_OWN}" if is_own(run, store) else str(store.folder)

    def artifacts(self) -> dict[str, Published]:
        """Intact artifacts of the last run, by step."""
        found = {step: self._store.read(name) for step, name in self.folders().items()}
        return {step: artifact for step, artifact in found.items() if artifact is not None}

    def folders(self) -> dict[str, str]:
        """The names of their folders in the store, by step."""
        return {step: name for step, _, name in self._entries()}

    def clear(self) -> None:
        """Remove all entries, and nothing else."""
        for _, entry, _ in list(self._entries()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def add(self, number: int, step: str, artifact: Published) -> None:
        """Enter a step's artifact."""
        entry, target = self._folder / f"{number:02d}-{step}", f"{self._prefix}/{artifact.folder.name}"
        try:
            entry.symlink_to(target, target_is_directory=True)
        except (OSError, NotImplementedError):
            write_text(entry, f"{target}\n")

    def _entries(self) -> Iterator[tuple[str, Path, str]]:
        """The step, the entry, and the name of the folder in the store."""
        for entry in sorted(self._folder.iterdir()) if self._folder.is_dir() else ():
            step = _ENTRY.fullmatch(entry.name)
            if step is not None and (name := _target(entry, self._store)) is not None:
                yield step["step"], entry, name


def _target(entry: Path, store: Store) -> str | None:
    """The name of the artifact's folder; None for a user's own file."""
    if entry.is_dir() and not entry.is_symlink():
        return _copied(entry, store)
    target = ""
    with suppress(OSError, ValueError):
        if entry.is_symlink():
            target = os.readlink(entry)
        elif entry.is_file() and entry.stat().st_size < _LONGEST_PATH:
            target = entry.read_text(encoding="utf-8").strip()
    name = target.replace("\\", "/").rsplit("/", 1)[-1]
    return name if _ARTIFACT.fullmatch(name) else None


def _copied(entry: Path, store: Store) -> str | None:
    """The name of the artifact that this folder is a copy of, or None."""
    manifest = read_manifest(entry)
    name = None if manifest is None else folder_name(manifest)
    return name if name is not None and read_manifest(store.folder / name) == manifest else None


def _refuse_former(run: Path, store: Store) -> None:
    """Raises:
    UserError: some entries are artifacts that the store does not have.
    """
    steps = run / STEPS
    for entry in sorted(steps.iterdir()) if steps.is_dir() else ():
        if not entry.is_symlink() and (entry / MANIFEST).is_file() and _copied(entry, store) is None:
            raise UserError(
                f"{run}: was written by an earlier version of edgedistill, which kept artifacts in steps/, and cannot "
                f"be resumed: give another folder with --out, or remove {steps} to start over; "
                f"its results, models and bundle can still be used"
            )
