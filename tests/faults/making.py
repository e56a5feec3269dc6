"""Makes the world once: each part in a process of its own, so that this one stays free of threads."""

from __future__ import annotations

import functools
import hashlib
import os
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from .harness import Case, kill_session
from .world import World, forget, make_inputs, recipe_tree, write_recipe


def make_world(keep: Path, needs: Iterable[str]) -> World:
    """The pristine inputs in `keep/world`, and the runs that are needed (`finished`, `as-is`, `halfway`).

    Raises:
        RuntimeError: a pristine input fails, so that no verdict on a damaged one would mean anything.
    """
    world = World(keep / "world")
    made_of = world.folder / "made-of"
    if not made_of.is_file() or made_of.read_text() != _sources():
        forget(world.folder)
        _in_processes([lambda: make_inputs(world)])
        made_of.write_text(_sources())
    makers: dict[str, Callable[[World, Case], None]] = {"finished": _finish, "as-is": _as_is, "halfway": _halfway}
    missing = [need for need in sorted(needs) if not (world.folder / f"{need}.made").is_file()]
    _in_processes([functools.partial(_make, need, makers[need], world, keep) for need in missing])
    return world


def _sources() -> str:
    """What the world was made by: with other code it is made again."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for file in sorted(
        [*root.glob("edgedistill/**/*.py"), *root.glob("exporters/*.py"), Path(__file__).parent / "world.py"]
    ):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _make(need: str, maker: Callable[[World, Case], None], world: World, keep: Path) -> None:
    """One run, and how long it took."""
    folder = keep / "making" / need
    forget(folder)
    folder.mkdir(parents=True)
    begun = time.monotonic()
    maker(world, Case("world", 0, folder, world, 240.0))
    (world.folder / f"{need}.made").write_text(f"{time.monotonic() - begun:.1f}")


def _finish(world: World, case: Case) -> None:
    _must(case, "run", world.recipe, "--out", world.finished)


def _as_is(world: World, case: Case) -> None:
    recipe = write_recipe(recipe_tree(world, tuned=False), world.folder / "as-is.yaml")
    _must(case, "run", recipe, "--out", world.as_is, only="logits-teacher-train")


def _halfway(world: World, case: Case) -> None:
    """Killed in the student's training, once there is a checkpoint: the first that is whole."""
    process, _, err = case.start("run", world.recipe, "--out", world.halfway)
    deadline = time.monotonic() + case.limit_s
    while not list(world.halfway.glob("artifacts/scratch/*/soft/state.json")):
        if time.monotonic() > deadline or process.poll() is not None:
            raise RuntimeError(f"no checkpoint of the student appeared: {err.read_text()[-500:]}")
        time.sleep(0.005)
    kill_session(process.pid)
    process.wait()


def _must(case: Case, *argv: object, only: str | None = None) -> None:
    outcome = case.command(*argv, only=only)
    if outcome.code != 0:
        raise RuntimeError(f"the pristine input fails: {argv}: {outcome.code}: {outcome.err[-2000:]}")


def _in_processes(every: list[Callable[[], None]]) -> None:
    """Do these side by side, each in a fork of this process."""
    processes = []
    for work in every:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException:  # noqa: BLE001 - told by this program's own end
                traceback.print_exc()
            finally:
                os._exit(code)
        processes.append(process)
    if any([os.waitpid(process, 0)[1] for process in processes]):  # noqa: C419 - all are waited for
        raise RuntimeError("the pristine inputs could not be made")
