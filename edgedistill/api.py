"""edgedistill as functions: run, plan, bundle, generate, measure, compare."""

from __future__ import annotations

import functools
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, overload

import numpy as np

from edgedistill.bundling import merge, self_test
from edgedistill.bundling.layout import is_bundle
from edgedistill.bundling.measurement import MEASUREMENT_SCHEMA, DeviceMeasurement, load_measurement, schema_of
from edgedistill.bundling.merge import MachineFront
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.task import Prompt
from edgedistill.device.sampling import Sampling
from edgedistill.engine import publishing
from edgedistill.engine.local import execute, find_done
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.evaluation.results import Results, load_results
from edgedistill.evaluation.statistics import Paired
from edgedistill.evaluation.statistics import compare as compare_paired
from edgedistill.exporting.candidates import makeable_candidates
from edgedistill.exporting.files import read_files
from edgedistill.isolation.emulation.cpus import CPUS, DEFAULT_CPU
from edgedistill.measuring.emulated import refuse_options
from edgedistill.measuring.lone_file import FileMeasurement, LoneFile, measure_lone_file
from edgedistill.planning import Plan, fingerprints, make_plan
from edgedistill.planning.fingerprints import Sources
from edgedistill.recipe import reading
from edgedistill.recipe.schema import EmulationSpec, Recipe
from edgedistill.runs import generating
from edgedistill.runs.bundling import bundle_run, forget_listed
from edgedistill.runs.evaluated import EvaluatedRun, without_files
from edgedistill.store import artifacts, run_folder
from edgedistill.store.artifacts import Published
from edgedistill.store.listing import remember, store_of
from edgedistill.store.progress import OnEvent, Progress
from edgedistill.store.records.base import RECORD
from edgedistill.store.store import Store


@dataclass(frozen=True)
class PlannedRun:
    """A plan, and which of its steps are already done."""

    plan: Plan
    folder: Path
    done: frozenset[str]


@dataclass(frozen=True)
class RunSummary:
    """One run in a comparison: its teacher, its choice, and the choice paired with the first run's."""

    run: str
    results: Results
    difference_from_first: Paired | None
    """How much better this run's chosen candidate is on test than the first run's; None if test sets or metrics
    differ."""


def run(
    recipe: str,
    overrides: Sequence[str] = (),
    *,
    out: str | Path | None = None,
    store: str | Path | None = None,
    verify_hashes: bool = False,
    stream: TextIO | None = sys.stderr,
) -> Results:
    """Run a recipe and return its results, reusing finished steps.

    Args:
        recipe: a file, or a shipped recipe's name.
        overrides: `dotted.path=value` each.
        out: the run folder; default: `runs/NAME`.
        store: folder for artifacts, which any number of runs can share; default: the one that the run folder used last,
            initially its `artifacts`.
        verify_hashes: check finished steps by sha256, not only by file size.
        stream: where progress is written; None: nowhere.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no space left for the run folder.
    """
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    known = fingerprints.look_up(loaded, download=True)
    plan_ = make_plan(loaded, known, loading_torch=True)
    with run_folder.opened(folder):
        kept = _store(folder, store)
        run_folder.tidy(folder, plan_, kept)
        progress = Progress(folder / run_folder.EVENTS, stream)
        progress.event("run", recipe=loaded.name, steps=len(plan_.steps))
        go = functools.partial(
            execute, run_folder=folder, progress=progress, store=kept, verify_hashes=verify_hashes, tried={}
        )
        if loaded.stop is not None:
            plan_ = _until_stopped(plan_, known, go, progress)
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
    stream: TextIO | None = sys.stderr,
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
        stream: where progress is written; None: nowhere.
        on_event: called with every event as in `events.jsonl`: its kind (`started`, `epoch`, `finished`) and details.
            Training waits until it returns.

    Raises:
        UserError: the recipe, its data or models are wrong, or the folder cannot be written or is in use.
        StepError: a step failed.
        DiskFullError: no space left for the run folder.
    """
    loaded = reading.load(recipe, overrides)
    folder = _run_folder(loaded, out)
    whole = make_plan(loaded, fingerprints.look_up(loaded, download=True), loading_torch=True)
    with run_folder.opened(folder):  # not cleaned up: recipes that share the folder each have their own checkpoints
        progress = Progress(folder / run_folder.EVENTS, stream, on_event)
        done = execute(without_files(whole), folder, progress, store=_store(folder, store))
        return EvaluatedRun(folder, loaded, whole.made(done))


def _until_stopped(
    plan_: Plan, known: Sources, go: Callable[[Plan], Mapping[str, Published]], progress: Progress
) -> Plan:
    """Run round by round until the stopping rule ends it, and return the plan of the rounds that ran.

    Steps of the shorter plan keep their keys, so nothing runs twice.
    """
    for number, round_ in enumerate(plan_.recipe.rounds[:-1], start=1):
        if round_.data is not None:
            continue  # it has its own data, so there is nothing to compare
        part = plan_.until(f"judge-{round_.id}")
        judgement = part.made(go(part)).judged[round_.id].record.judgement
        if judgement.stop:
            progress.say(f"stopped after {round_.id}: {judgement.reason}")
            progress.event("stopped", round=round_.id)
            return _reached(plan_, known, number)
    return plan_


def _reached(plan_: Plan, known: Sources, rounds: int) -> Plan:
    """The plan of the first rounds only."""
    return make_plan(plan_.recipe.model_copy(update={"rounds": plan_.recipe.rounds[:rounds]}), known)


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
    for number, round_ in enumerate(loaded.rounds, start=1):
        judged = plan_.made(done).judged.get(round_.id)
        if judged is not None and judged.made is not None and judged.record.judgement.stop:
            plan_ = _reached(plan_, known, number)
            done = find_done(plan_, folder, kept)
            break
    return PlannedRun(plan_, folder, frozenset(done))


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
    *,
    tokenizer: str | Path | None = None,
    task: str | None = None,
    metric: str | None = None,
    columns: Mapping[str, str] | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_length: int | None = None,
    min_seconds: float = 5.0,
    emulated_cpu: str | None = None,
    emulated_items: int | None = None,
    out: str | Path | None = None,
    stream: TextIO | None = None,
) -> FileMeasurement: ...


@overload
def measure(
    file: str | Path,
    data: None = None,
    *,
    tokenizer: str | Path | None = None,
    task: str | None = None,
    metric: str | None = None,
    columns: Mapping[str, str] | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_length: int | None = None,
    min_seconds: float = 5.0,
    emulated_cpu: str | None = None,
    emulated_items: int | None = None,
    out: str | Path | None = None,
    stream: TextIO | None = None,
) -> DeviceMeasurement: ...


def measure(
    file: str | Path,
    data: str | Path | None = None,
    *,
    tokenizer: str | Path | None = None,
    task: str | None = None,
    metric: str | None = None,
    columns: Mapping[str, str] | None = None,
    runtime: str | None = None,
    threads: int | None = None,
    batch: int | None = None,
    max_length: int | None = None,
    min_seconds: float = 5.0,
    emulated_cpu: str | None = None,
    emulated_items: int | None = None,
    out: str | Path | None = None,
    stream: TextIO | None = None,
) -> FileMeasurement | DeviceMeasurement:
    """Benchmark a model file on a data file (latency, load time, memory, and metrics if it has labels), or test and
    benchmark a bundle, which needs no data, torch or transformers.

    Args:
        data: data file, for a model file; a bundle has its own inputs.
        tokenizer: folder with `tokenizer.json` and `config.json` (label names); default: searched for beside and above
            the file.
        emulated_cpu: processor to emulate: `cortex-a76` (default) or `cortex-a53`.
        emulated_items: number of items to run under emulation, evenly spaced; None: all.
        task, metric, max_length: for a model file; default: `text-classification`, `accuracy` and 128. A bundle has its
            own, like its columns.
        runtime, threads, batch: default: `onnxruntime`, 1 and 1 for a file, and the run's for a bundle.
        out: JSON file for a bundle's results; None: not written.

    Raises:
        UserError: a missing file, data that does not fit the model, or a runtime that cannot open the file.
        EdgedistillError: a bundle's file has changed, or it answers a golden input wrongly (the results are written).
    """
    if emulated_cpu is not None and emulated_cpu not in CPUS:
        raise UserError(f"measure: got emulated cpu {emulated_cpu!r}, expected one of {', '.join(CPUS)}")
    if data is None:
        if not is_bundle(Path(file)):
            raise UserError(f"measure: '{file}' is not a bundle, and a model file needs a data file (--data)")
        file_only = {
            "--tokenizer": tokenizer,
            "--task": task,
            "--metric": metric,
            "--column": columns or None,
            "--max-length": max_length,
            "--emulated-items": emulated_items,
        }
        if given := [name for name, value in file_only.items() if value is not None]:
            raise UserError(
                f"measure: {' and '.join(given)} do not apply to a bundle, which has its own inputs and settings"
            )
        asked = self_test.SelfTestOptions(runtime, threads, batch, min_seconds, emulated_cpu)
        return _checked(self_test.examine(Path(file), asked, Progress(None, stream)), out)
    if out is not None:
        raise UserError("measure: --out is only valid when measuring a bundle")
    runtime = runtime or "onnxruntime"
    refuse_options(runtime, emulated_cpu, emulated_items)
    request = LoneFile(
        file=Path(file),
        data=Path(data),
        tokenizer=Path(tokenizer) if tokenizer else None,
        task=task or "text-classification",
        metric=metric or "accuracy",
        columns=dict(columns or {}),
        runtime=runtime,
        threads=threads or 1,
        batch=batch or 1,
        max_length=max_length or 128,
        min_seconds=min_seconds,
        emulation=EmulationSpec.model_validate({"cpu": emulated_cpu or DEFAULT_CPU, "items": emulated_items}),
    )
    return measure_lone_file(request, Progress(None, stream))


def _checked(found: DeviceMeasurement, out: str | Path | None) -> DeviceMeasurement:
    """Write the results, then raise an error if any answer is wrong."""
    if out is not None:
        artifacts.write_json(Path(out), found.model_dump(mode="json", by_alias=True))
    if found.golden.passed:
        return found
    more = f", and {len(found.golden.wrong) - 1} more" if len(found.golden.wrong) > 1 else ""
    raise EdgedistillError(f"{found.candidate} under {found.runtime}: {found.golden.wrong[0]}{more}")


def compare(runs: Sequence[str | Path]) -> list[RunSummary]:
    """Several finished runs side by side; their chosen candidates are compared in pairs if they share the test set.

    Raises:
        UserError: a folder without results.
    """
    if len(runs) < 2:
        raise UserError(f"compare: got {len(runs)} run, expected at least 2")
    folders = [Path(folder) for folder in runs]
    results = [load_results(folder) for folder in folders]
    return [
        RunSummary(str(folder), result, _difference(folder, result, folders[0], results[0]) if i else None)
        for i, (folder, result) in enumerate(zip(folders, results, strict=True))
    ]


def are_measurements(files: Sequence[str | Path]) -> bool:
    """Whether these are bundle results, measured on other machines."""
    return bool(files) and all(schema_of(Path(file)) == MEASUREMENT_SCHEMA for file in files)


def compare_devices(run: str | Path, measurements: Sequence[str | Path]) -> list[MachineFront]:
    """A run's measurements together with other machines' measurements of its bundles: one Pareto front per machine.

    Args:
        measurements: files that `measure BUNDLE` wrote.

    Raises:
        UserError: not a finished run, another kind of file, or a measurement of another run's files.
    """
    folder = Path(run)
    results = load_results(folder)
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{run}: expected a finished run's folder")
    least = reading.load(str(folder / "recipe.yaml")).verify.min_agreement
    found = [(Path(file).name, load_measurement(Path(file))) for file in measurements]
    return merge.merge(folder, results, least, found)


def publish(plan_: Plan, done: Mapping[str, Published], folder: Path) -> None:
    """Publish the run's outputs: `recipe.yaml`, `models/`, `results.json`, the reports and `bundle/`.

    Raises:
        OSError: a path that cannot be written.
    """
    text = reading.dump(plan_.recipe)
    if not (folder / "recipe.yaml").is_file() or (folder / "recipe.yaml").read_bytes() != text.encode():
        artifacts.write_text(folder / "recipe.yaml", text)
    if not (folder / publishing.RECORD).is_file():
        forget_listed(folder / "bundle")
    publishing.publish(dict(_published(plan_, done)), folder)


def _published(plan_: Plan, done: Mapping[str, Published]) -> Iterator[tuple[str, Path]]:
    """Published files of the run's steps, by name in the run folder."""
    made = plan_.made(done)
    for entry in made.report.files:
        yield entry.path, made.report.path(entry.path)
    yield "choice.json", made.chosen.path(RECORD)
    yield "measurements.json", made.measured.path(RECORD)
    for entry in made.measured.files:
        yield f"predictions/{entry.path}", made.measured.path(entry.path)
    for model in ("teacher", *(round_.id for round_ in plan_.recipe.rounds)):
        for entry in made.models[model].files:
            yield f"models/{model}/{entry.path.removeprefix('model/')}", made.models[model].path(entry.path)
    for row in makeable_candidates(plan_.candidates):
        files = made.files[row.file_key]
        for name in read_files(files).published if files.failure is None else ():
            yield f"models/{row.model}/{row.target}/{name}", files.path(name)
    for entry in made.bundle.files:
        yield f"bundle/{entry.path}", made.bundle.path(entry.path)


def _run_folder(recipe: Recipe, out: str | Path | None) -> Path:
    return Path(out) if out is not None else Path("runs") / recipe.name


def _store(folder: Path, given: str | Path | None) -> Store:
    """The run's store; the run folder remembers it from now on."""
    found = store_of(folder, given)
    remember(folder, found)
    return found


def _difference(run: Path, own: Results, first_run: Path, first: Results) -> Paired | None:
    """Paired gain of one chosen candidate over another, if both ran on the same examples."""
    same_test = own.data.test_sha256 == first.data.test_sha256 and own.metric == first.metric
    if own.chosen is None or first.chosen is None or not same_test or own.data.options != first.data.options:
        return None
    spec = registry.task_as(own.data.task, own.metric, own.data.options)
    metric = registry.task(spec.type).judge(spec).metrics[own.metric]
    given, examples = [], []
    for folder, results in ((run, own), (first_run, first)):
        row = results.candidate(str(results.chosen))
        file = folder / "predictions" / "test" / f"{row.model}-{row.target}-{row.precision}-{row.runtime}.safetensors"
        if not file.is_file():
            return None
        with _damage_named(file):
            answers = Answers.open(file)
        # Runs may split the same examples into different items or decisions.
        own_right = file.with_name(f"references-{row.model}.safetensors")
        right = own_right if own_right.is_file() else file.with_name("references.safetensors")
        with _damage_named(right):
            references = References.open(right)
        with _damage_named(file):
            given.append(metric.statistics(answers, references))
        examples.append(references.examples)
    return compare_paired(metric, given[0], given[1]) if np.array_equal(examples[0], examples[1]) else None


@contextmanager
def _damage_named(file: Path) -> Iterator[None]:
    """Add the file's name to errors in reading a published file.

    Raises:
        UserError: the file is not as the run published it.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, RecursionError, struct.error) as error:
        words = " ".join(str(error).split())[:200]
        raise UserError(f"{file}: damaged or missing ({words}); run the recipe again") from error
