"""Makes the world, runs the cases over a few processes, and sums them up."""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType

KINDS = {
    "recipes": "recipes",
    "data": "data_files",
    "models": "model_folders",
    "onnx": "onnx_files",
    "bundles": "bundles",
    "damages": "damages",
    "kills": "kills",
    "disks": "disks",
}
_SLACK_S = 90.0


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Damage inputs by seed; judge answers.")
    parser.add_argument("--only", action="append", choices=sorted(KINDS), help="a kind; repeatable")
    parser.add_argument("--seed", type=int, default=0, help="number of the first case")
    parser.add_argument("--count", type=int, help="cases of each kind")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="folder for the world and the failed cases; a world that is there is used again")
    parser.add_argument("--write", help="write the table of what was tried as Markdown")
    parser.add_argument("--json", help="write every verdict as JSON")
    chosen = parser.parse_args(words)
    chosen.keep = str(Path(chosen.keep or tempfile.mkdtemp(prefix="edgedistill-faults-")).resolve())
    return chosen


@dataclass(frozen=True)
class Done:
    """A case and its verdict."""

    kind: str
    seed: int
    mutation: str
    result: str
    detail: str
    seconds: float


def main(chosen: argparse.Namespace) -> int:
    """Run what was asked; 1 when a case failed."""
    begun = time.monotonic()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts it in the background; children inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    kinds = {name: module for name, module in _modules().items() if not chosen.only or name in chosen.only}
    _import_everything()
    world = _world(Path(chosen.keep), kinds)
    seeds = [(kind, seed) for kind, module in kinds.items() for seed in _seeds(module, chosen)]
    seeds.sort(key=lambda case: -kinds[case[0]].LIMIT_S)  # the long ones first, so that no process waits at the end
    gc.collect()
    gc.freeze()
    done = []
    for case in _spread(seeds, kinds, world, chosen):
        done.append(case)
        _tell(case, chosen)
    done.sort(key=lambda case: (list(KINDS).index(case.kind), case.seed))
    seconds = time.monotonic() - begun
    print(table(done) + f"\n{len(done)} cases in {seconds / 60:.1f} minutes")  # noqa: T201
    if chosen.json:
        Path(chosen.json).write_text(json.dumps([asdict(case) for case in done], indent=1) + "\n", encoding="utf-8")
    if chosen.write:
        Path(chosen.write).write_text(document(done, seconds), encoding="utf-8")
    from .harness import GOOD

    return int(any(case.result not in GOOD for case in done))


def table(done: Sequence[Done]) -> str:
    """One line per kind, one column per result."""
    from .harness import FAULTS, GOOD

    columns = [*GOOD, *FAULTS]
    lines = ["| kind | tried | " + " | ".join(columns) + " |", "|---" * (len(columns) + 2) + "|"]
    for kind in dict.fromkeys(case.kind for case in done):
        count = Counter(case.result for case in done if case.kind == kind)
        skipped = f" ({count['skipped']} skipped)" if count["skipped"] else ""
        cells = [kind, f"{count.total() - count['skipped']}{skipped}", *(str(count[column]) for column in columns)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(done: Sequence[Done], seconds: float) -> str:
    """The page for `docs/`."""
    lines = [
        "# Fault injection",
        "",
        f"`python -m tests.faults` damages inputs with seeded mutations and checks every outcome: {len(done)} cases, "
        f"{seconds / 60:.0f} minutes. *Refused*: exit code 2 and one message. *Worked*: the same result as from an "
        "independent reader or the undamaged input. *Failed rightly*: exit code 1, such as for a bundle with wrong "
        "answers, or a full disk. All other columns are faults.",
        "",
        table(done),
        "",
        "| kind | what is damaged, and how often | oracle |",
        "|---|---|---|",
    ]
    modules = _modules()
    for kind in dict.fromkeys(case.kind for case in done):
        count = Counter(case.mutation for case in done if case.kind == kind)
        tried = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in count.items())
        about = " ".join((modules[kind].__doc__ or "").split())
        lines.append(f"| {kind} | {tried} | {about} |")
    return "\n".join(lines) + "\n"


def _modules() -> dict[str, ModuleType]:
    return {name: importlib.import_module(f".{file}", __package__) for name, file in KINDS.items()}


def _seeds(module: ModuleType, chosen: argparse.Namespace) -> list[int]:
    count = chosen.count if chosen.count is not None else module.COUNT - chosen.seed
    return list(range(chosen.seed, chosen.seed + count))


def _import_everything() -> None:
    """All that a command may import, so that a fork starts at once. Nothing here may start a thread."""
    import edgedistill.steps

    names = [
        "edgedistill.cli.app",
        "edgedistill.api",
        "edgedistill.cli.tables",
        "torch",
        "safetensors.torch",
        "datasets",
    ]
    names += ["transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert", "tokenizers"]
    names += ["transformers.models.auto.modeling_auto", "transformers.models.auto.tokenization_auto", "scipy.stats"]
    names += ["matplotlib.figure", "matplotlib.backends.backend_svg", "jinja2", "onnx", "pyarrow.parquet", "filelock"]
    names += [f"edgedistill.steps.{module.name}" for module in pkgutil.iter_modules(edgedistill.steps.__path__)]
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:  # only a slower case
            continue


def _world(keep: Path, kinds: dict[str, ModuleType]) -> object:
    """The pristine inputs, and of the runs those that the kinds need."""
    from .making import make_world

    needs = {need for module in kinds.values() for need in getattr(module, "NEEDS", ())}
    return make_world(keep, needs)


def _spread(
    seeds: Sequence[tuple[str, int]], kinds: dict[str, ModuleType], world: object, chosen: argparse.Namespace
) -> Iterator[Done]:
    """Run the cases, so many at a time, each in a process of its own."""
    waiting, running = list(reversed(seeds)), dict[int, tuple[str, int, Path, float]]()
    cases, waited, before = Path(chosen.keep) / "cases", dict[int, float](), time.monotonic()
    while waiting or running:
        while waiting and len(running) < chosen.jobs:
            kind, seed = waiting.pop()
            folder = cases / f"{kind}-{seed}"
            process = os.fork()
            if process == 0:
                _become_case(kind, seed, folder, kinds[kind], world)
            running[process] = (kind, seed, folder, time.monotonic())
            waited[process] = 0.0
        process, _ = os.waitpid(-1, os.WNOHANG)
        if process in running:
            yield _verdict(*running.pop(process))
            continue
        passed, before = min(time.monotonic() - before, 1.0), time.monotonic()  # a stopped program waits for nobody
        for late, (kind, *_) in running.items():
            waited[late] += passed
            if waited[late] > kinds[kind].LIMIT_S * 4 + _SLACK_S:
                os.kill(late, signal.SIGKILL)
        time.sleep(0.01)


def _become_case(kind: str, seed: int, folder: Path, module: ModuleType, world: object) -> None:
    """In the child: run one case, write the verdict, never return."""
    from .harness import Case, Verdict
    from .world import forget

    try:
        forget(folder)
        folder.mkdir(parents=True)
        case = Case(kind, seed, folder, world, module.LIMIT_S)  # type: ignore[arg-type]
        try:
            mutation, verdict = module.run_case(case)
        except BaseException:  # noqa: BLE001 - a fault of this program's own, told as that
            mutation, verdict = "?", Verdict("unclear", f"this program failed: {traceback.format_exc()[-1500:]}")
        content = {"mutation": mutation, "result": verdict.result, "detail": verdict.detail}
        if chosen := case.rng.chosen[:4]:
            content["detail"] += f" [{', '.join(chosen)}]"
        (folder / "verdict.json").write_text(json.dumps(content), encoding="utf-8", errors="replace")
    finally:
        os._exit(0)


def _verdict(kind: str, seed: int, folder: Path, begun: float) -> Done:
    from .harness import GOOD
    from .world import forget

    seconds = time.monotonic() - begun
    try:
        content = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {"mutation": "?", "result": "hang", "detail": "the case itself did not end"}
    if content["result"] in (*GOOD, "skipped"):
        forget(folder)
    return Done(kind, seed, seconds=seconds, **content)


def _tell(case: Done, chosen: argparse.Namespace) -> None:
    from .harness import FAULTS

    if case.result in FAULTS:
        print(  # noqa: T201
            f"{case.kind} {case.seed} {case.mutation}: {case.result.upper()}: {' '.join(case.detail.split())}\n"
            f"    python -m tests.faults --only {case.kind} --seed {case.seed} --count 1 --keep {chosen.keep}",
            flush=True,
        )
    elif case.result == "skipped":
        sys.stderr.write(f"{case.kind} {case.seed}: skipped: {case.detail}\n")
