"""edgedistill as functions: run, plan, bundle, generate, measure, compare."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from edgedistill.bundling import self_test
from edgedistill.bundling.layout import is_bundle
from edgedistill.bundling.measurement import DeviceMeasurement
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.task import Prompt
from edgedistill.device.sampling import Sampling
from edgedistill.engine.local import execute, find_done
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.evaluation.results import Results, load_results
from edgedistill.measuring.file_measurement import FileMeasurement
from edgedistill.measuring.lone_file import measure_lone_file
from edgedistill.measuring.lone_request import LoneFile
from edgedistill.measuring.options import MeasureOptions
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.recipe.schema import Recipe
from edgedistill.runs import generating
from edgedistill.runs.bundling import bundle_run
from edgedistill.runs.comparing import RunSummary, are_measurements, compare, compare_devices
from edgedistill.runs.evaluated import EvaluatedRun, without_files
from edgedistill.runs.publishing import publish
from edgedistill.runs.stopping import first_rounds, stopped_after, until_stopped
from edgedistill.store import run_folder
from edgedistill.store.listing import remember, store_of
from edgedistill.store.progress import OnEvent, Progress
from edgedistill.store.store import Store
from edgedistill.system import logs

__all__ = [
    "Answers",
    "EdgedistillError",
    "EvaluatedRun",
    "FileMeasurement",
    "MeasureOptions",
    "PlannedRun",
    "References",
    "Results",
    "RunSummary",
    "UserError",
    "are_measurements",
    "bundle",
    "compare",
    "compare_devices",
    "evaluate",
    "generate",
    "measure",
    "plan",
    "run",
]

_AS_IT_IS = MeasureOptions()


@dataclass(frozen=True)
class PlannedRun:
    """A plan, and which of its steps are done already."""

    plan: Plan
    folder: Path
    done: frozenset[str]

    def __repr__(self) -> str:
        return f"PlannedRun({str(self.folder)!r}, {self.plan}, {len(self.done)} steps done)"


def run(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    verify_hashes: bool = False,
) -> Results:
    """Run a recipe and return its results, reusing finished steps.

    Args:
        recipe: a file, or a shipped recipe's name.
        overrides: `dotted.path=value` each.
        out: the run folder; `runs/NAME` unless given.
        store: where artifacts are kept, shared by any number of runs at once; unless given, where the run folder's last
            run kept them, at first `artifacts` in it.
        verify_hashes: check what is there by sha256, not only by size.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no room in the run folder.
    """
    logs.show_unless_configured()
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    known = fingerprints.look_up(loaded, download=True)
    plan_ = make_plan(loaded, known, loading_torch=True)
    with run_folder.opened(folder):
        kept = _store(folder, store)
        run_folder.tidy(folder, plan_, kept)
        progress = Progress(folder / run_folder.EVENTS)
        progress.event("run", recipe=loaded.name, steps=len(plan_.steps))
        go = functools.partial(
            execute, run_folder=folder, progress=progress, store=kept, verify_hashes=verify_hashes, tried={}
        )
        if loaded.stop is not None:
            plan_ = until_stopped(plan_, known, go, progress)
        done = go(plan_)
        publish(plan_, done, folder)
        progress.event("done")
        return load_results(folder)


def evaluate(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    on_event: OnEvent | None = None,
) -> EvaluatedRun:
    """Train and evaluate the models of a recipe, without files for devices. A later `run` in the same folder goes on.

    Args:
        recipe: a file, or a shipped recipe's name.
        overrides: `dotted.path=value` each.
        out: the run folder; `runs/NAME` unless given.
        store: as `run` takes it.
        on_event: told of every event as it happens, as `events.jsonl` has it: its kind (`started`, `epoch`, `finished`)
            and what is known of it. Training waits until it returns.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no room in the run folder.
    """
    logs.show_unless_configured()
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    whole = make_plan(loaded, fingerprints.look_up(loaded, download=True), loading_torch=True)
    with run_folder.opened(folder):  # not tidied: recipes that share it each have checkpoints of their own
        progress = Progress(folder / run_folder.EVENTS, on_event)
        done = execute(without_files(whole), folder, progress, store=_store(folder, store))
        return EvaluatedRun(folder, loaded, whole.made(done))


def plan(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
) -> PlannedRun:
    """What `run` would do, and what of it is done; loads neither torch nor a model.

    Args:
        recipe, overrides, out, store: as `run` takes them.

    Raises:
        UserError: the recipe, its data or models are wrong.
    """
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    known = fingerprints.look_up(loaded)
    plan_ = make_plan(loaded, known)
    kept = store_of(folder, store)
    done = find_done(plan_, folder, kept)
    if (reached := stopped_after(plan_, done)) is not None:
        plan_ = first_rounds(plan_, known, reached)
        done = find_done(plan_, folder, kept)
    return PlannedRun(plan_, folder, frozenset(done))


def bundle(
    run: str | Path,
    candidate: str | None = None,
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
) -> Path:
    """Write a candidate of a finished run as a folder that tests itself (`measure` does it), and return the folder.

    Args:
        candidate: the chosen one unless given.
        out: unless given, `RUN/bundle`, or `RUN/bundle-CANDIDATE` for a candidate that is named.
        store: where the run's artifacts are, if they were moved since it ran.

    Raises:
        UserError: no finished run, nothing chosen, no such candidate, or something else lies at `out`.
    """
    return bundle_run(Path(run), candidate, Path(out) if out is not None else None, store)


def generate(
    place: str | Path,
    prompt: Prompt,
    *,
    candidate: str | None = None,
    model: str | None = None,
    tokenizer: str | Path | None = None,
    runtime: str | None = None,
    max_tokens: int | None = None,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Continue a text with a language model, and give what follows in pieces, each as soon as its characters are whole.

    Args:
        place: a finished run (its chosen candidate answers, unless another or a torch model is named), a bundle, a
            model's file (ONNX, GGUF) or a folder of one (ONNX Runtime GenAI, or a torch model).
        prompt: a text, or the messages of a chat (`[{"role": "user", "content": ...}]`), which the tokenizer's own
            template renders up to the reply.
        candidate: of a run.
        model: of a run: its torch model of that name, `teacher` or a round's id, instead of a file.
        tokenizer: of a lone file: folder with `tokenizer.json`; unless given, looked for in, beside and above it.
        runtime: of a lone file or bundle; unless given, what opens such a file.
        max_tokens: that may follow; unless given, as many as the model reads, at most 256.
        temperature, top_k, top_p, seed: as `device.sampling.Sampling` has them; at temperature 0 the likeliest tokens.
            The same seed gives the same text.

    Raises:
        UserError: nothing that continues texts, no such candidate, an option that can't be; and once the first piece is
            asked for, a prompt that is longer than the model reads.
        EdgedistillError: the file cannot be run.
    """
    if max_tokens is not None and max_tokens < 1:
        raise UserError(f"generate: max_tokens is {max_tokens}, expected 1 or more")
    sampling = Sampling(temperature, top_k, top_p, seed)
    folder = Path(tokenizer) if tokenizer is not None else None
    speaker = generating.find(Path(place), candidate, model, folder, runtime)
    return generating.pieces(speaker, generating.Wish(prompt, max_tokens, sampling))


@overload
def measure(
    file: str | Path,
    data: str | Path,
    options: MeasureOptions = ...,
    *,
    out: str | Path | None = None,
) -> FileMeasurement: ...


@overload
def measure(
    file: str | Path,
    data: None = None,
    options: MeasureOptions = ...,
    *,
    out: str | Path | None = None,
) -> DeviceMeasurement: ...


def measure(
    file: str | Path,
    data: str | Path | None = None,
    options: MeasureOptions = _AS_IT_IS,
    *,
    out: str | Path | None = None,
) -> FileMeasurement | DeviceMeasurement:
    """Measure one model file on a data file (latency, load time, memory, metrics where it has labels), or test and
    measure a bundle, which needs no data and neither torch nor transformers.

    Args:
        data: for a file; a bundle has its own inputs.
        options: which runtime, how many threads, which columns, and so on.
        out: where a bundle's results are written as JSON; None: nowhere.

    Raises:
        UserError: a file that isn't there, data that the model doesn't fit, or a runtime that doesn't open the file.
        EdgedistillError: a bundle's file has changed, or it answers a golden input wrongly (the results are written).
    """
    logs.show_unless_configured()
    if data is not None:
        if out is not None:
            raise UserError("measure: --out is only valid when measuring a bundle")
        return measure_lone_file(LoneFile(Path(file), Path(data), options), Progress())
    if not is_bundle(Path(file)):
        raise UserError(f"measure: '{file}' is no bundle, and a model file needs a data file (--data)")
    found = self_test.examine(Path(file), options, Progress())
    return self_test.checked(found, Path(out) if out is not None else None)


def _run_folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else Path("runs") / recipe.name


def _store(folder: Path, given: str | Path | None) -> Store:
    """The run's store, which it remembers from now on."""
    found = store_of(folder, given)
    remember(folder, found)
    return found
