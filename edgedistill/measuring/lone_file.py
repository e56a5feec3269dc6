"""Benchmarks a single model file from outside a run, in the same child process and by the same rules."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.task import Encoder
from edgedistill.data.prepared import check_rows, encode, refuse_no_decisions, with_label_names
from edgedistill.data.reading import read_rows
from edgedistill.data.row_tables import Wanted
from edgedistill.device.files import Component, Files
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.evaluation.figures import Judging
from edgedistill.evaluation.results_figures import Figure
from edgedistill.exporting.jobs import input_columns
from edgedistill.exporting.onnx_contents import read_onnx, refuse_unfit
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.file_measurement import FileMeasurement
from edgedistill.measuring.judged import numbers, some_examples
from edgedistill.measuring.latency import Timed, Timing, time_one
from edgedistill.measuring.lone_request import LoneFile, refuse_request
from edgedistill.measuring.prompts import PromptFiles, speeds_of, write_prompts
from edgedistill.measuring.readers import refuse_other_tokenizer
from edgedistill.models.loading import load_config, load_tokenizer, longest_input, outline
from edgedistill.models.tokenizer_checks import check_split
from edgedistill.recipe.data_spec import DataSource
from edgedistill.store.progress import Progress

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.answers import Answers
    from edgedistill.contracts.driver import Driver
    from edgedistill.contracts.items import Items
    from edgedistill.contracts.judge import Judge
    from edgedistill.contracts.runtime import Runtime
    from edgedistill.contracts.task import Task

_logger = logging.getLogger(__name__)
_CLIENT_TEXTS = 300
_LOOKED_AT = 32
"""Number of items to check in data without labels."""


def measure_lone_file(request: LoneFile, progress: Progress) -> FileMeasurement:
    """Benchmark the file.

    Raises:
        UserError: a missing file, tokenizer or column, or more labels than the model has.
    """
    refuse_request(request)
    task, runtime = registry.task(request.task), registry.runtime(request.runtime)
    own = task.judge(request.spec)
    cpu = request.emulated_cpu
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        given = _read(request, task, scratch)
        items = given.items
        if cpu is not None:
            items = items.take(some_examples(items, request.options.emulated_items))
        files, weights = _opened(request, task, given)
        model = DeviceModel(files, request.runtime, request.task, cpu=cpu)
        with_client = request.task in runtime.client_tasks
        # Without references, the answers are still checked.
        chosen = None if given.labelled or with_client else some_examples(items, _LOOKED_AT)
        with _refusals_named(request), model.opened(scratch) as opened:
            refuse_other_tokenizer(opened, given.tokenizer, given.described, f"measure: '{request.file}'")
            answers = opened.answers(items, chosen)
            _refuse_answers(request, own, answers, given.labels)
            cost = None if cpu is None else opened.cost(items, request.batch, None)
        client = _client(request, runtime, given, items, answers) if with_client else {}
        figures: tuple[Figure, ...] = ()
        if given.labelled:
            metrics = dict.fromkeys((request.metric, *own.metrics))  # without a recipe, none of them is left out
            figures = Judging(own, tuple(metrics)).figures(answers, task.data.references(items), "data")
        timing = None if cpu is not None else _time(request, task, model, items, given.reads, scratch, progress)
    seen = timing or cost
    assert seen is not None
    measured = FileMeasurement(
        file=str(request.file),
        file_bytes=sum(_size(file) for file in weights),
        runtime=f"{request.runtime} {seen.runtime_version}" + (f" on {cpu}" if cpu is not None else ""),
        threads=request.threads,
        batch=request.batch,
        items=len(items),
        items_of=len(given.items),
        figures=figures,
        backend=seen.backend,
        client=client,
    )
    if timing is not None:
        return _with_times(measured, task, timing)
    assert cost is not None
    return replace(measured, instructions_per_inference=cost.instructions_per_inference, counted_inputs=cost.inputs)


def _with_times(measured: FileMeasurement, task: Task, timing: Timing) -> FileMeasurement:
    speeds = task.prompts.speeds if task.prompts is not None else ()
    return replace(
        measured,
        latency_ms=timing.summary(),
        phases_ms=timing.phases(),
        prompts={tokens: speeds_of(speeds, phases) for tokens, phases in timing.prompts_ms.items()},
        throughput_per_s=timing.throughput_per_s,
        load_ms=timing.load_ms,
        peak_rss_mb=timing.peak_rss_mb,
    )


def _time(
    request: LoneFile,
    task: Task,
    model: DeviceModel,
    items: Items,
    longest: int,
    scratch: Path,
    progress: Progress,
) -> Timing:
    """Time it on these items, and on prompts that it reads, of a task that has them."""
    inputs = scratch / "inputs.safetensors"
    items.save(inputs)
    prompts = PromptFiles()
    if task.prompts is not None:
        prompts = write_prompts(task.prompts, items, None, longest, request.batch, scratch / "prompts")
    timed = Timed(request.file.name, model, request.threads, request.batch, inputs, prompts.files)
    with _refusals_named(request):
        return time_one(timed, scratch, progress, min_seconds=request.options.min_seconds, length=None)


@dataclass(frozen=True)
class _Given:
    """The data encoded for the model."""

    described: Path
    """Folder with the tokenizer and config.json."""
    tokenizer: PreTrainedTokenizerBase
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


def _read(request: LoneFile, task: Task, scratch: Path) -> _Given:
    """The rows to run.

    Raises:
        UserError: rows that do not suit the task.
    """
    described = request.tokenizer or model_folder(request.file, "measure")
    tokenizer = load_tokenizer(described)
    own = task.data.columns
    columns = own.read(request.options.columns)
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
    refuse_no_decisions(items, task, f"measure: '{request.data}'")
    for warning in check_split(items, tokenizer, None, f"measure: '{request.data}'")[1]:
        _logger.warning("%s", warning)
    return _Given(
        described=described,
        tokenizer=tokenizer,
        rows=rows,
        columns=columns,
        items=items,
        labels=labels,
        labelled=labelled,
        longest=longest,
        reads=reads,
        inputs=list(input_columns(model, items.columns)),
    )


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
        return None, [beside] if file.is_file() and beside.is_file() else []
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


@contextmanager
def _refusals_named(request: LoneFile) -> Iterator[None]:
    """Report a file that its runtime cannot run as a user error; other user errors are unchanged.

    Raises:
        UserError: any error of ours.
    """
    try:
        yield
    except UserError:
        raise
    except EdgedistillError as error:
        raise UserError(f"measure: '{request.file}' cannot be run by {request.runtime}: {error}") from error


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
