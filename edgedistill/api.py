"""edgedistill as functions: run, plan, suggest, bundle, generate, measure, compare."""

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
from edgedistill.planning.candidate_estimates import NOT_TIMED
from edgedistill.recipe import reading
from edgedistill.recipe.schema import Recipe
from edgedistill.runs import generating
from edgedistill.runs.bundling import bundle_run
from edgedistill.runs.comparing import RunSummary, are_measurements, compare, compare_devices
from edgedistill.runs.evaluated import EvaluatedRun, without_files
from edgedistill.runs.publishing import publish
from edgedistill.runs.stopping import first_rounds, stopped_after, until_stopped
from edgedistill.runs.suggesting import Suggestions, suggest_for
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
    "Suggestions",
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
    "suggest",
]

_AS_IT_IS = MeasureOptions()


@dataclass(frozen=True)
class PlannedRun:
    """A plan, and which of its steps are already done."""

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
        out: the run folder; default: `runs/NAME`.
        store: folder for artifacts, which any number of runs can share; default: the one that the run folder used last,
            initially its `artifacts`.
        verify_hashes: check finished steps by sha256, not only by file size.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no space left for the run folder.
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
        if any(estimate.without == NOT_TIMED for estimate in plan_.estimates):
            progress.say(f"no estimates of latency: `edgedistill suggest {recipe}` measures what they need")
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
    """Train and evaluate the models of a recipe without exporting files. A later `run` in the same folder resumes from
    there.

    Args:
        recipe: a file, or a shipped recipe's name.
        overrides: `dotted.path=value` each.
        out: the run folder; default: `runs/NAME`.
        store: folder for artifacts, which any number of runs can share; default: the one that the run folder used last,
            initially its `artifacts`.
        on_event: called with every event as in `events.jsonl`: its kind (`started`, `epoch`, `finished`) and details.
            Training waits until it returns.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no space left for the run folder.
    """
    logs.show_unless_configured()
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    whole = make_plan(loaded, fingerprints.look_up(loaded, download=True), loading_torch=True)
    with run_folder.opened(folder):  # not cleaned up: recipes that share the folder each have their own checkpoints
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
    """What `run` would do, and what is already done; loads neither torch nor a model.

    Args:
        recipe, overrides, out, store: as for `run`.

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


def suggest(recipe: str, overrides: Sequence[str] = (), *, refresh: bool = False) -> Suggestions:
    """Estimate file size and latency of a recipe's candidates before anything is trained, and propose student shapes
    that meet `select.limits`. Layers that have not been timed on this machine are, which takes minutes the first time.

    Args:
        recipe, overrides: as for `run`.
        refresh: time all layers again.

    Raises:
        UserError: the recipe, its data or models are wrong.
        EdgedistillError: the process that exports the layers ended.
    """
    logs.show_unless_configured()
    loaded = reading.load(recipe, overrides)
    sources = fingerprints.look_up(loaded)
    make_plan(loaded, sources)  # refuses what cannot work
    return suggest_for(loaded, sources, Progress(), refresh=refresh)


def bundle(
    run: str | Path,
    candidate: str | None = None,
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
) -> Path:
    """Write a candidate of a finished run as a self-testing folder (tested by `measure`), and return the folder.

    Args:
        candidate: default: the chosen one.
        out: default: `RUN/bundle`, or `RUN/bundle-CANDIDATE` for a named candidate.
        store: the run's artifact store, if it was moved.

    Raises:
        UserError: the run is not finished or chose nothing, there is no such candidate, or `out` is something else.
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
    """Continue a text with a language model, yielding pieces as soon as their characters are complete.

    Args:
        place: a finished run (with its chosen candidate unless another or a PyTorch model is named), a bundle, a model
            file (ONNX, GGUF) or a model folder (ONNX Runtime GenAI or PyTorch).
        prompt: a text, or the messages of a chat (`[{"role": "user", "content": ...}]`), rendered with the tokenizer's
            chat template.
        candidate: candidate of a run.
        model: PyTorch model of a run, `teacher` or a round id, instead of a file.
        tokenizer: folder with `tokenizer.json`, for a single file; default: searched for in, beside and above it.
        runtime: for a single file or bundle; default: one that opens such a file.
        max_tokens: maximum number of new tokens; default: 256, or what fits the model's context.
        temperature, top_k, top_p, seed: as in `device.sampling.Sampling`; temperature 0 is greedy. The same seed gives
            the same text.

    Raises:
        UserError: not a text generation model, no such candidate, an invalid option; and, with the first piece, a
            prompt that is too long for the model.
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
    """Benchmark a model file on a data file (latency, load time, memory, and metrics if it has labels), or test and
    benchmark a bundle, which needs no data, torch or transformers.

    Args:
        data: data file, for a model file; a bundle has its own inputs.
        options: runtime, threads, columns and other settings.
        out: JSON file for a bundle's results; None: not written.

    Raises:
        UserError: a missing file, data that does not fit the model, or a runtime that cannot open the file.
        EdgedistillError: a bundle's file has changed, or it answers a golden input wrongly (the results are written).
    """
    logs.show_unless_configured()
    if data is not None:
        if out is not None:
            raise UserError("measure: --out is only valid when measuring a bundle")
        return measure_lone_file(LoneFile(Path(file), Path(data), options), Progress())
    if not is_bundle(Path(file)):
        raise UserError(f"measure: '{file}' is not a bundle, and a model file needs a data file (--data)")
    found = self_test.examine(Path(file), options, Progress())
    return self_test.checked(found, Path(out) if out is not None else None)


def _run_folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else Path("runs") / recipe.name


def _store(folder: Path, given: str | Path | None) -> Store:
    """The run's store; the run folder remembers it from now on."""
    found = store_of(folder, given)
    remember(folder, found)
    return found
