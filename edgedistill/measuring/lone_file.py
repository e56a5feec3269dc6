"""Benchmarks a single model file from outside a run, in the same child process and by the same rules."""

from __future__ import annotations

import importlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.task import Encoder
from edgedistill.data.prepared import check_rows, encode, with_label_names
from edgedistill.data.reading import read_rows
from edgedistill.data.row_tables import Wanted
from edgedistill.device.files import Component, Files
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.evaluation.figures import Judging
from edgedistill.evaluation.results import Figure
from edgedistill.exporting.jobs import input_columns
from edgedistill.exporting.onnx_contents import read_onnx, refuse_unfit
from edgedistill.isolation import environments
from edgedistill.measuring.device_model import Cost, DeviceModel
from edgedistill.measuring.emulated import emulated
from edgedistill.measuring.judged import numbers, some_examples
from edgedistill.measuring.latency import Timed, Timing, time_one
from edgedistill.measuring.prompts import PromptFiles, speeds_of, write_prompts
from edgedistill.models.loading import load_config, load_tokenizer, longest_input, outline
from edgedistill.models.tokenizer_checks import check_split
from edgedistill.recipe.schema import DataSource, EmulationSpec
from edgedistill.store.progress import Progress
from edgedistill.system.machine import available_cores

if TYPE_CHECKING:
    from datasets import Dataset

    from edgedistill.contracts.answers import Answers
    from edgedistill.contracts.driver import Driver
    from edgedistill.contracts.items import Items
    from edgedistill.contracts.judge import Judge
    from edgedistill.contracts.runtime import Runtime
    from edgedistill.contracts.task import Task
    from edgedistill.contracts.task_spec import TaskSpec

_CLIENT_TEXTS = 300
_LOOKED_AT = 32
"""Number of items to check in data without labels."""


@dataclass(frozen=True)
class LoneFile:
    """What to benchmark, and how."""

    file: Path
    data: Path
    tokenizer: Path | None
    task: str
    metric: str
    columns: Mapping[str, str]
    runtime: str
    threads: int
    batch: int
    max_length: int
    min_seconds: float
    emulation: EmulationSpec

    @cached_property
    def spec(self) -> TaskSpec:
        """The task's spec without options."""
        return registry.task_as(self.task, self.metric, {})


@dataclass(frozen=True)
class FileMeasurement:
    """Measurements of a single model file."""

    file: str
    file_bytes: int
    runtime: str
    threads: int
    batch: int
    items: int
    """Items run, of the data's `items_of`."""
    items_of: int
    figures: tuple[Figure, ...]
    """The requested metric first; empty if the data has no labels."""
    latency_ms: Mapping[str, object] | None
    """None for an emulated runtime, like every time and memory figure."""
    throughput_per_s: float | None
    load_ms: float | None
    peak_rss_mb: float | None
    backend: Mapping[str, object]
    """The backend, as reported by the runtime."""
    client: Mapping[str, object]
    """Results of the client library with which the runtime's users load the file; empty if there is none."""
    instructions_per_inference: float | None = None
    """For an emulated runtime, instead of times: the mean over `counted_inputs` of the items."""
    counted_inputs: int | None = None
    phases_ms: Mapping[str, object] = field(default_factory=dict)
    """`latency_ms` of each phase, if there are several."""
    prompts: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    """Percentiles of each of the task's speed figures, by prompt length in tokens; empty for a task without any."""


def measure_lone_file(request: LoneFile, progress: Progress) -> FileMeasurement:
    """Benchmark the file.

    Raises:
        UserError: a missing file, tokenizer or column, or more labels than the model has.
    """
    _refuse_request(request, progress)
    task, runtime = registry.task(request.task), registry.runtime(request.runtime)
    own = task.judge(request.spec)
    slow = emulated(request.runtime)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        given = _read(request, task, scratch, progress)
        items, asked_of = given.items, len(given.items)
        if slow:
            items = items.take(some_examples(items, request.emulation.items))
        files, weights = _opened(request, task, given)
        model = DeviceModel(files, request.runtime, request.task, cpu=request.emulation.cpu if slow else None)
        with_client = request.task in runtime.client_tasks
        # Without references, the answers are still checked.
        chosen = None if given.labelled or with_client else some_examples(items, _LOOKED_AT)
        figures: tuple[Figure, ...] = ()
        client: dict[str, object] = {}
        timing: Timing | None = None
        cost: Cost | None = None
        try:
            with model.opened(scratch) as opened:
                answers = opened.answers(items, chosen)
                _refuse_answers(request, own, answers, given.labels)
                if slow:
                    cost = opened.cost(items, request.batch, None)
        except EdgedistillError as error:
            raise _refused(request, error) from error
        if with_client:
            client = _client(request, runtime, given, items, answers)
        if given.labelled:
            metrics = dict.fromkeys((request.metric, *own.metrics))  # without a recipe, none of them is left out
            figures = Judging(own, tuple(metrics)).figures(answers, task.data.references(items), "data")
        if not slow:
            inputs = scratch / "inputs.safetensors"
            items.save(inputs)
            prompts = PromptFiles()
            if task.prompts is not None:
                longest, batch = given.reads, request.batch
                prompts = write_prompts(task.prompts, items, None, longest, batch, scratch / "prompts")
            timed = Timed(request.file.name, model, request.threads, request.batch, inputs, prompts.files)
            try:
                timing = time_one(timed, scratch, progress, min_seconds=request.min_seconds, length=None)
            except EdgedistillError as error:
                raise _refused(request, error) from error
    speeds = task.prompts.speeds if task.prompts is not None else ()
    seen = timing or cost
    assert seen is not None
    return FileMeasurement(
        file=str(request.file),
        file_bytes=sum(_size(file) for file in weights),
        runtime=f"{request.runtime} {seen.runtime_version}" + (f" on {request.emulation.cpu}" if slow else ""),
        threads=request.threads,
        batch=request.batch,
        items=len(items),
        figures=figures,
        items_of=asked_of,
        latency_ms=timing.summary() if timing else None,
        phases_ms=timing.phases() if timing else {},
        prompts={tokens: speeds_of(speeds, phases) for tokens, phases in (timing.prompts_ms if timing else {}).items()},
        throughput_per_s=timing.throughput_per_s if timing else None,
        load_ms=timing.load_ms if timing else None,
        peak_rss_mb=timing.peak_rss_mb if timing else None,
        instructions_per_inference=cost.instructions_per_inference if cost else None,
        counted_inputs=cost.inputs if cost else None,
        backend=seen.backend,
        client=client,
    )


@dataclass(frozen=True)
class _Given:
    """The data encoded for the model."""

    rows: Dataset
    columns: Mapping[str, str]
    items: Items
    labels: Sequence[str]
    """From the model's config.json, in the order of their ids; empty for a task without classes."""
    labelled: bool
    longest: int
    """Length at which longer inputs were truncated."""
    reads: int
    """The model's context length."""
    inputs: Sequence[str]
    """The inputs of a model with that config.json, in its order."""


def _refuse_request(request: LoneFile, progress: Progress) -> None:
    """Raises UserError for problems visible before anything is read."""
    if not request.file.exists():
        raise UserError(f"measure: '{request.file}' is not a file or folder")
    if not request.data.exists():
        raise UserError(f"measure: data '{request.data}' is not a file or folder")
    task, runtime = registry.task(request.task), registry.runtime(request.runtime)
    if not task.data.tokens:
        raise UserError(
            f"measure: a single model file for '{request.task}' cannot be measured yet, only files of text tasks"
        )
    metrics = task.judge(request.spec).metrics
    if request.metric not in metrics:
        known = ", ".join(sorted(metrics))
        raise UserError(f"measure: metric '{request.metric}' is unknown for {request.task}; expected one of {known}")
    if request.file.suffix not in runtime.suffixes:
        raise UserError(
            f"measure: '{request.file.name}' is not a file that {request.runtime} opens ({', '.join(runtime.suffixes)})"
        )
    if (cores := available_cores()) < request.threads:
        progress.say(f"warning: {request.threads} threads on {cores} cores compete with one another")
    if runtime.packages.emulated is not None and request.threads > 1:
        raise UserError(f"measure: {request.runtime} counts the instructions of one thread, got {request.threads}")
    environments.interpreter(runtime.packages)


def _read(request: LoneFile, task: Task, scratch: Path, progress: Progress) -> _Given:
    """The rows to run.

    Raises:
        UserError: rows that do not suit the task.
    """
    described = request.tokenizer or model_folder(request.file, "measure")
    tokenizer = load_tokenizer(described)
    own = task.data.columns
    columns = own.read(request.columns)
    source = DataSource(path=os.path.abspath(request.data))
    rows = read_rows(source, "data.test", scratch / "cache", Wanted.of(task, columns))
    labelled = own.labels is None or columns[own.labels] in rows.column_names
    if own.labels is not None:
        rows = with_label_names(rows, columns[own.labels])
    config = load_config(described, None)
    named = "id2label" in task.model.configuration(())  # otherwise the names are a library's defaults, without classes
    labels = [str(name) for _, name in sorted(config.id2label.items())] if named else []
    check_rows(rows, task, columns, str(request.data), labelled=labelled, known=labels)
    model = outline(task.model.auto_class(), config)
    reads = longest_input(model)
    longest = min(request.max_length, tokenizer.model_max_length, reads)
    encoder = Encoder(columns, tokenizer, {name: number for number, name in enumerate(labels)}, longest, request.spec)
    items = encode(rows, task, encoder)
    for warning in check_split(items, tokenizer, None, f"measure: '{request.data}'")[1]:
        progress.say(f"warning: {warning}")
    return _Given(rows, columns, items, labels, labelled, longest, reads, list(input_columns(model, items.columns)))


def _opened(request: LoneFile, task: Task, given: _Given) -> tuple[Files, Sequence[Path]]:
    """The file or folder that a runtime opens, and all files that belong to it. ONNX files are inspected before they
    are run.

    Raises:
        UserError: its inputs or outputs do not match the task, or a file that it needs is missing.
    """
    driver: Driver = importlib.import_module(task.device).DRIVER
    opened: dict[str, Component] = {}
    every: list[Path] = []
    for name in driver.components:
        file = _component_file(request.file, driver, name)
        length, beside = _looked_into(request, file, given, len(driver.components) == 1)
        opened[name] = Component({length: file}, PortNames(tuple(given.inputs), driver.outputs[name]))
        every += [file, *beside]
    return opened, every


def _component_file(file: Path, driver: Driver, name: str) -> Path:
    """The file of a component, named by replacing the first component's name.

    Raises:
        UserError: it is missing, or the given file is not the first component's.
    """
    first = driver.components[0]
    if name == first and len(driver.components) == 1:
        return file
    before, found, after = file.name.rpartition(f"-{first}")
    other = file.with_name(f"{before}-{name}{after}")
    if not found or not other.exists():
        raise UserError(
            f"measure: '{file}' is one of {len(driver.components)} files of a model; expected "
            f"NAME-{first}{file.suffix} with NAME-{name}{file.suffix} beside it"
        )
    return other


def _looked_into(request: LoneFile, file: Path, given: _Given, whole: bool) -> tuple[int | None, Sequence[Path]]:
    """The fixed length of a file, if declared, and its accompanying files."""
    if file.suffix != ".onnx":
        beside = file.with_suffix(".bin")  # OpenVINO's and ncnn's naming
        return None, [beside] if beside.is_file() else []
    name = f"measure: '{file}'"
    contents = read_onnx(file)
    if not whole:  # components of a model also take each other's outputs as inputs
        return contents.length, contents.weights
    taken = [name for name, column in given.items.columns.items() if column.role == "input"]
    refuse_unfit(contents, name, taken, request.batch)
    longest = int(given.items.lengths.max(initial=0))
    if contents.length is not None and longest > contents.length:
        raise UserError(
            f"{name} takes inputs of exactly {contents.length} tokens and the longest has {longest}; truncate them "
            f"with --max-length {contents.length}"
        )
    return contents.length, contents.weights


def _refuse_answers(request: LoneFile, judge: Judge, answers: Answers, labels: Sequence[str]) -> None:
    """Raises UserError for answers that do not suit the model, or are not finite."""
    if judge.misfit is not None and (words := judge.misfit(answers, labels)) is not None:
        raise UserError(f"measure: '{request.file}' returns {words} (from its config.json)")
    if wrong := int((~np.isfinite(numbers(answers))).any(axis=1).sum()):
        raise UserError(
            f"measure: '{request.file}' returns NaN or infinite numbers for {wrong} of {len(answers)} decisions; such "
            "a file cannot be measured"
        )


def _client(request: LoneFile, runtime: Runtime, given: _Given, items: Items, answers: Answers) -> dict[str, object]:
    """Results of the runtime's client library on the file."""
    (column,) = registry.task(request.task).data.columns.required
    # The library does not see truncated texts.
    whole = np.flatnonzero(items.lengths < given.longest)
    chosen = whole[np.linspace(0, len(whole) - 1, min(_CLIENT_TEXTS, len(whole))).astype(np.int64)]
    texts = [str(given.rows[int(items.example[item])][given.columns[column]]) for item in chosen]
    assert runtime.client_facts is not None
    return runtime.client_facts(request.file, texts, given.labels, numbers(answers.of_items(chosen)))


def _size(file: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if file.is_file():
        return file.stat().st_size
    return sum(path.stat().st_size for path in file.rglob("*") if path.is_file())


def _refused(request: LoneFile, error: EdgedistillError) -> EdgedistillError:
    """Report a file that its runtime cannot run as a user error; other user errors are unchanged."""
    if isinstance(error, UserError):
        return error
    return UserError(f"measure: '{request.file}' cannot be run by {request.runtime}: {error}")


def model_folder(file: Path, command: str) -> Path:
    """The folder with a tokenizer, beside or above the file, for a command.

    Raises:
        UserError: there is none.
    """
    for path in (Path(os.path.abspath(file)), file.resolve()):
        for folder in list(path.parents)[:3]:
            if (folder / "tokenizer.json").is_file():
                return folder
    raise UserError(f"{command}: no tokenizer.json beside or above '{file}'; give its folder with --tokenizer")
