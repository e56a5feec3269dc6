"""Damage to a finished run, or to one killed during training. Oracle: the same command ends with the models, files and
predictions of the undamaged run, byte for byte, or with a message that says what is wrong."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .damaged import broken_json
from .finished import run_differs
from .harness import Case, Expected, Verdict, copy_linked, judge

COUNT = 100
LIMIT_S = 120.0
NEEDS = ("finished", "halfway")


@dataclass
class Run:
    """The copy that is damaged."""

    path: Path
    canary: Path
    expected: Expected = "works"
    options: list[str] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)
    """Files of the user's own that must still be there."""

    def files(self, pattern: str = "artifacts/*-*/**/*") -> list[Path]:
        """Files of the run; of its artifacts unless told otherwise."""
        return sorted(path for path in self.path.glob(pattern) if path.is_file())

    def steps(self) -> list[Path]:
        """The published steps: their artifacts."""
        return sorted(self.path.glob("artifacts/*-*"))

    def check_hashes(self) -> None:
        """Damages that leave the size as it was are looked for only when asked."""
        self.options = ["--verify-hashes"]


Mutation = Callable[[Run, random.Random], None]


def _artifact_file(run: Run, rng: random.Random) -> Path:
    return rng.choice([path for path in run.files() if path.name != "manifest.json"])


def file_deleted(run: Run, rng: random.Random) -> None:
    _artifact_file(run, rng).unlink()


def file_cut_short(run: Run, rng: random.Random) -> None:
    file = _artifact_file(run, rng)
    file.write_bytes(file.read_bytes()[: rng.choice([0, file.stat().st_size // 2, max(0, file.stat().st_size - 1)])])


def file_longer(run: Run, rng: random.Random) -> None:
    file = _artifact_file(run, rng)
    file.write_bytes(file.read_bytes() + b"\x00")


def file_flipped(run: Run, rng: random.Random) -> None:
    file = rng.choice([path for path in run.files() if path.name != "manifest.json" and path.stat().st_size])
    raw = bytearray(file.read_bytes())
    raw[rng.randrange(len(raw))] ^= 255
    file.write_bytes(bytes(raw))
    run.check_hashes()


def file_zeroed(run: Run, rng: random.Random) -> None:
    """As after a crash of the machine: the size is right, the content isn't."""
    file = rng.choice([path for path in run.files() if path.name != "manifest.json" and path.stat().st_size])
    file.write_bytes(bytes(file.stat().st_size))
    run.check_hashes()


def file_is_a_folder(run: Run, rng: random.Random) -> None:
    file = _artifact_file(run, rng)
    file.unlink()
    file.mkdir()


def file_is_a_link(run: Run, rng: random.Random) -> None:
    file = _artifact_file(run, rng)
    file.unlink()
    file.symlink_to(rng.choice(["nothing", file.name, "/dev/null"]))


def manifest_broken(run: Run, rng: random.Random) -> None:
    file = rng.choice(run.files("artifacts/*/manifest.json"))
    file.write_bytes(rng.choice([*broken_json(file.read_bytes()), b"{}"]))


def manifest_deleted(run: Run, rng: random.Random) -> None:
    rng.choice(run.files("artifacts/*/manifest.json")).unlink()


def manifest_value_odd(run: Run, rng: random.Random) -> None:
    file = rng.choice(run.files("artifacts/*/manifest.json"))
    content: dict[str, Any] = json.loads(file.read_text())
    key = rng.choice(["files", "failures", "flawed_inputs", "inputs", "key", "step", "settings", "versions", "more"])
    content[key] = rng.choice([None, 3, [], {}, "x", [None], [{"path": "../../x"}], {"a": None}])
    file.write_text(json.dumps(content))


def manifest_lists_others(run: Run, rng: random.Random) -> None:
    """Files that lie elsewhere, or that are not there."""
    file = rng.choice(run.files("artifacts/*/manifest.json"))
    content: dict[str, Any] = json.loads(file.read_text())
    content["files"].append(
        {"path": rng.choice(["../../results.json", "/etc/hostname", "missing", ""]), "bytes": 1, "sha256": "00"}
    )
    file.write_text(json.dumps(content))


def step_deleted(run: Run, rng: random.Random) -> None:
    shutil.rmtree(rng.choice(run.steps()))


def step_emptied(run: Run, rng: random.Random) -> None:
    step = rng.choice(run.steps())
    shutil.rmtree(step)
    step.mkdir()


def step_is_a_file(run: Run, rng: random.Random) -> None:
    step = rng.choice(run.steps())
    shutil.rmtree(step)
    step.write_text("x")


def steps_swapped(run: Run, rng: random.Random) -> None:
    one, other = rng.sample(run.steps(), 2)
    aside = run.path / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)


def step_copied(run: Run, rng: random.Random) -> None:
    """Someone kept a copy beside it."""
    step = rng.choice(run.steps())
    shutil.copytree(step, step.with_name(f"{step.name} copy"))


def stale_leftovers(run: Run, rng: random.Random) -> None:
    """Of an earlier plan, or of a kill."""
    for name in (
        f"artifacts/{'0' * 32}-{'0' * 16}.host-1-ab.partial/x",
        f"artifacts/scratch/{'0' * 32}-{'0' * 16}/model.safetensors",
        "results.json.partial",
        "steps/.DS_Store",
    ):
        file = run.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")


def published_file_edited(run: Run, rng: random.Random) -> None:
    """In place, as an editor does; what is published must not be the store's own bytes."""
    file = rng.choice([path for path in run.files("models/**/*") if path.stat().st_size])
    with file.open("r+b") as stream:
        stream.seek(rng.randrange(file.stat().st_size))
        stream.write(b"#")


def published_file_deleted(run: Run, rng: random.Random) -> None:
    rng.choice([*run.files("models/**/*"), *run.files("predictions/**/*"), *run.files("*.json")]).unlink()


def published_folder_odd(run: Run, rng: random.Random) -> None:
    """`models` and its like are gone, or files."""
    folder = run.path / rng.choice(["models", "models/r1", "predictions", "bundle", "models/r1/onnx"])
    shutil.rmtree(folder)
    if rng.random() < 0.6:
        folder.write_text("x")
        run.expected = "either"


def files_of_the_user(run: Run, rng: random.Random) -> None:
    """Notes and results in the published folders stay."""
    for name in ("bundle/bundle-results.json", "models/r1/notes.txt", "notes.md", "bundle/mine/x"):
        file = run.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"mine")
        run.kept[name] = b"mine"
    if rng.random() < 0.5:
        shutil.rmtree(next(run.path.glob("steps/*-bundle")).resolve())


def results_broken(run: Run, rng: random.Random) -> None:
    (run.path / "results.json").unlink()
    (run.path / "results.json").write_bytes(rng.choice([b"", b"{", b"[]", b"\xff"]))


def events_odd(run: Run, rng: random.Random) -> None:
    file = run.path / "events.jsonl"
    raw = file.read_bytes()
    file.unlink()
    how = rng.choice(["gone", "garbage", "cut", "folder", "binary"])
    if how == "folder":
        file.mkdir()
        run.expected = "either"
    elif how != "gone":
        file.write_bytes({"garbage": b"x\n[]\n3\n", "cut": raw[:-7], "binary": b"\xff\x00\n"}[how])


def lock_odd(run: Run, rng: random.Random) -> None:
    for name in (".lock", ".lock.holder"):
        (run.path / name).unlink(missing_ok=True)
    how = rng.choice(["folder", "holder", "holder folder", "stale"])
    if "folder" in how:
        (run.path / (".lock.holder" if "holder" in how else ".lock")).mkdir()
        run.expected = "either"
    else:
        (run.path / ".lock.holder").write_bytes(b"\xff\xfe process 1")
        if how == "stale":
            (run.path / ".lock").touch()


def recipe_of_the_run_edited(run: Run, rng: random.Random) -> None:
    file = run.path / "recipe.yaml"
    file.write_bytes(rng.choice([b"", b"\xff", b"name: other\n", b"["]))


def run_folder_odd(run: Run, rng: random.Random) -> None:
    """The folder of the steps, of the artifacts or the run itself is a file."""
    target = run.path / rng.choice(["steps", "artifacts", ""])
    shutil.rmtree(target)
    target.write_text("x")
    run.expected = "either"


def checkpoint_damaged(run: Run, rng: random.Random) -> None:
    """Of the run that was killed while it trained."""
    file = rng.choice(run.files("artifacts/scratch/*/**/*"))
    how = rng.choice(["gone", "cut", "empty", "zero", "flip", "longer", "folder"])
    raw = file.read_bytes()
    file.unlink()
    if how == "folder":
        file.mkdir()
    elif how == "flip":
        place = rng.randrange(len(raw))
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :])
    elif how != "gone":
        file.write_bytes(
            {"cut": raw[: len(raw) // 2], "empty": b"", "zero": bytes(len(raw)), "longer": raw + b"\x00"}[how]
        )


def checkpoint_state_odd(run: Run, rng: random.Random) -> None:
    file = next(iter(run.files("artifacts/scratch/*/**/state.json")))
    content: dict[str, Any] = json.loads(file.read_text())
    key = rng.choice(sorted(content))
    content[key] = rng.choice([None, [], 10**6, "x", {"a": 1}, -1])
    file.write_text(json.dumps(content))


MUTATIONS: tuple[Mutation, ...] = (
    file_deleted, file_cut_short, file_longer, file_flipped, file_zeroed, file_is_a_folder, file_is_a_link,
        manifest_broken,
    manifest_deleted, manifest_value_odd, manifest_lists_others, step_deleted, step_emptied, step_is_a_file,
        steps_swapped,
    step_copied, stale_leftovers, published_file_edited, published_file_deleted, published_folder_odd,
        files_of_the_user,
    results_broken, events_odd, lock_odd, recipe_of_the_run_edited, run_folder_odd, checkpoint_damaged,
        checkpoint_damaged,
    checkpoint_damaged, checkpoint_state_odd,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One damaged run: the same command again."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    source = case.world.halfway if mutation in (checkpoint_damaged, checkpoint_state_odd) else case.world.finished
    run = Run(copy_linked(source, case.path("run")), case.canary)
    mutation(run, case.rng)
    outcome = case.command("run", case.world.recipe, "--out", run.path, *run.options)
    verdict = judge(case, outcome, run.expected, lambda: _differs(case, run), refusals=(1, 2))
    return mutation.__name__, verdict


def _differs(case: Case, run: Run) -> str | None:
    for name, content in run.kept.items():
        file = run.path / name
        if not file.is_file() or file.read_bytes() != content:
            return f"the user's own {name} is gone"
    return run_differs(case.world, run.path)
