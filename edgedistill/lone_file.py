"""Measures a model file that no run made: the same child process and the same rules."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from . import environments, plugins
from .errors import EdgedistillError, UserError
from .interfaces import HasClient
from .machine import available_cores
from .model_files import Opened
from .onnx_contents import read_onnx, refuse_unfit
from .progress import Progress
from .ragged import Ragged, spread
from .recipe import DataSource, EmulationSpec
from .results import Figure

if TYPE_CHECKING:
    from .measuring.latency import Answering

_CLIENT_TEXTS = 300
_LOOKED_AT = 32
"""Items of data without labels whose answers are looked at."""


@dataclass(frozen=True)
class LoneFile:
    """What to measure and how."""

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


@dataclass(frozen=True)
class FileMeasurement:
    """What was measured of a lone model file."""

    file: str
    file_bytes: int
    runtime: str
    threads: int
    batch: int
    items: int
    """Asked, of the data's `items_of`."""
    items_of: int
    figures: tuple[Figure, ...]
    """The asked metric first; none where the data has no labels."""
    latency_ms: Mapping[str, object] | None
    """None under an emulated runtime, as every time and memory is."""
    throughput_per_s: float | None
    load_ms: float | None
    peak_rss_mb: float | None
    backend: Mapping[str, object]
    """What ran it, as the runtime tells."""
    client: Mapping[str, object]
    """What the library makes of the file by which the runtime's users load it; empty where there is none."""
    instructions_per_inference: float | None = None
    """Under an emulated runtime, in place of times: the mean over `counted_inputs` of the items."""
    counted_inputs: int | None = None


def measure_lone_file(request: LoneFile, progress: Progress) -> FileMeasurement:
    """Measure the file.

    Raises:
        UserError: a file, tokenizer or column that isn't there, or more labels than the model has.
    """
    from .data import check_rows, pad_token, to_ragged, tokenise, with_label_names
    from .evaluation.figures import Judging
    from .judging import answers_of, judge_of, references_of
    from .measuring.instructions import Cost, count_instructions, emulated
    from .measuring.latency import Answering, Timed, Timing, time_files
    from .models import load_config, load_tokenizer, longest_input, outline
    from .reading import read_rows
    from .row_tables import Wanted
    from .signals import load_rows
    from .tokenizer_checks import check_split

    if not request.file.is_file():
        raise UserError(f"measure: '{request.file}' is not a file")
    if not request.data.exists():
        raise UserError(f"measure: data '{request.data}' is not a file or folder")
    task, runtime = plugins.find("tasks", request.task), plugins.find("runtimes", request.runtime)
    if not task.TOKENS:
        raise UserError(f"measure: a lone file of '{request.task}' cannot be measured yet, only files of text tasks")
    if request.metric not in task.METRICS:
        known = ", ".join(sorted(task.METRICS))
        raise UserError(f"measure: metric '{request.metric}' is unknown for {request.task}; expected one of {known}")
    if request.file.suffix not in runtime.SUFFIXES:
        raise UserError(
            f"measure: '{request.file.name}' is not a file that {request.runtime} opens ({', '.join(runtime.SUFFIXES)})"
        )
    if (cores := available_cores()) < request.threads:
        progress.say(f"warning: {request.threads} threads on {cores} cores: they wait for each other")
    if runtime.PACKAGES.emulated is not None and request.threads > 1:
        raise UserError(f"measure: {request.runtime} counts the instructions of one thread, got {request.threads}")
    environments.interpreter(runtime.PACKAGES)
    model_folder = request.tokenizer or _model_folder(request.file)
    tokenizer = load_tokenizer(model_folder)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        source = DataSource(path=os.path.abspath(request.data))
        columns = {key: request.columns.get(key, key) for key in (*task.COLUMNS.required, task.COLUMNS.labels)}
        columns |= {key: request.columns[key] for key in task.COLUMNS.optional if key in request.columns}
        raw = read_rows(source, "data.test", scratch / "cache", Wanted.of(task, columns))
        rows = with_label_names(raw, columns[task.COLUMNS.labels])
        labelled = columns[task.COLUMNS.labels] in rows.column_names
        config = load_config(model_folder, None)
        labels = [str(name) for _, name in sorted(config.id2label.items())]
        check_rows(rows, task, columns, str(request.data), labelled=labelled, known=labels)
        label_ids = {name: number for number, name in enumerate(labels)}
        positions = longest_input(outline(task.auto_class(), config))
        longest = min(request.max_length, tokenizer.model_max_length, positions)
        tokens_rows = tokenise(rows, task, columns, tokenizer, label_ids, longest)
        tokens = to_ragged(tokens_rows, pad_token(tokenizer))
        for warning in check_split(tokens, tokenizer, None, f"measure: '{request.data}'")[1]:
            progress.say(f"warning: {warning}")
        given = scratch / "inputs.safetensors"
        asked_of = len(tokens)
        slow = emulated(request.runtime)
        if slow:
            tokens = tokens.take(spread(len(tokens), request.emulation.items))
        tokens.save(given)
        files, weights = _opened(request, tokens, len(labels))
        figures: tuple[Figure, ...] = ()
        with_client = isinstance(runtime, HasClient) and task.COLUMNS.required == ("text",)
        client: dict[str, object] = {}
        cpu = request.emulation.cpu if slow else None
        asked = Answering(files, request.runtime, request.task, cpu=cpu)
        answered = given
        if not (labelled or with_client):  # what it answers is looked at all the same
            answered = scratch / "some.safetensors"
            tokens.take(spread(len(tokens), _LOOKED_AT)).save(answered)
        _answer(request, asked, answered, scratch, len(labels))
        if with_client:
            # A text that was cut here is not what the library reads.
            whole = np.flatnonzero(tokens.lengths < longest)
            chosen = whole[np.linspace(0, len(whole) - 1, min(_CLIENT_TEXTS, len(whole))).astype(np.int64)]
            texts = [str(rows[int(item)][columns["text"]]) for item in chosen]
            logits = np.asarray(load_rows(scratch / "rows.safetensors").values)[chosen]
            client = runtime.client_facts(request.file, texts, labels, logits)
        if labelled:
            judging = Judging(judge_of(request.task), request.metric)
            answered_all = answers_of(load_rows(scratch / "rows.safetensors"))
            figures = judging.figures(answered_all, references_of(request.task, tokens), "data")
        name = request.file.name
        timing: Timing | None = None
        cost: Cost | None = None
        if slow:
            cost = count_instructions(files, request.runtime, request.batch, given, request.emulation.cpu, scratch)
        else:
            timed = Timed(name, files, request.runtime, request.threads, request.batch, given)
            timings = time_files([timed], scratch, progress, min_seconds=request.min_seconds)
            if name in timings.failed:
                raise _refused(request, timings.failed[name])
            timing = timings.seen[name]
    seen = timing or cost
    assert seen is not None
    return FileMeasurement(
        file=str(request.file),
        file_bytes=sum(file.stat().st_size for file in (request.file, *weights)),
        runtime=f"{request.runtime} {seen.runtime_version}" + (f" on {request.emulation.cpu}" if slow else ""),
        threads=request.threads,
        batch=request.batch,
        items=len(tokens),
        figures=figures,
        items_of=asked_of,
        latency_ms=timing.summary() if timing else None,
        throughput_per_s=timing.throughput_per_s if timing else None,
        load_ms=timing.load_ms if timing else None,
        peak_rss_mb=timing.peak_rss_mb if timing else None,
        instructions_per_inference=cost.instructions_per_inference if cost else None,
        counted_inputs=cost.inputs if cost else None,
        backend=seen.backend,
        client=client,
    )


def _opened(request: LoneFile, tokens: Ragged, labels: int) -> tuple[Opened, tuple[Path, ...]]:
    """What a runtime opens, and the files beside it that belong to it. An ONNX file is looked into before it is run.

    Raises:
        UserError: it takes or gives something else than the task, or a file that it needs isn't there.
    """
    if request.file.suffix != ".onnx":
        beside = request.file.with_suffix(".bin")  # as OpenVINO and ncnn name it
        return {None: request.file}, (beside,) if beside.is_file() else ()
    name = f"measure: '{request.file}'"
    contents = read_onnx(request.file)
    given = [column for column in tokens.values if column in tokens.sequences and column != "labels"]
    refuse_unfit(contents, name, given, request.batch, labels)
    longest = int(tokens.lengths.max(initial=0))
    if contents.length is not None and longest > contents.length:
        raise UserError(
            f"{name} takes inputs of exactly {contents.length} tokens and the longest has {longest}; cut them with "
            f"--max-length {contents.length}"
        )
    return {contents.length: request.file}, contents.weights


def _answer(request: LoneFile, asked: Answering, inputs: Path, scratch: Path, labels: int) -> None:
    """Write `rows.safetensors`, one row of logits for each item.

    Raises:
        UserError: the runtime cannot run the file, or what it gives are not a finite number for each label.
    """
    from .measuring.latency import answers
    from .signals import load_rows

    output = scratch / "rows.safetensors"
    try:
        answers(asked, inputs, output, scratch)
    except EdgedistillError as error:
        raise _refused(request, error) from error
    values = np.asarray(load_rows(output).values)
    if values.ndim != 2 or values.shape[1] != labels:
        shown = " x ".join(map(str, values.shape[1:]))
        raise UserError(
            f"measure: '{request.file}' gives {shown} numbers for an item, its config.json names {labels} labels; "
            "expected one logit for each label"
        )
    if wrong := int((~np.isfinite(values)).any(axis=1).sum()):
        raise UserError(
            f"measure: '{request.file}' gives NaN or infinite logits for {wrong} of {len(values)} items; nothing can "
            "be measured of such a file"
        )


def _refused(request: LoneFile, error: EdgedistillError) -> EdgedistillError:
    """A file that its runtime cannot run is the user's to change; whatever was said before stays."""
    if isinstance(error, UserError):
        return error
    return UserError(f"measure: '{request.file}' cannot be run by {request.runtime}: {error}")


def _model_folder(file: Path) -> Path:
    """The folder beside or above the file that holds a tokenizer.

    Raises:
        UserError: none does.
    """
    for path in (Path(os.path.abspath(file)), file.resolve()):
        for folder in list(path.parents)[:3]:
            if (folder / "tokenizer.json").is_file():
                return folder
    raise UserError(
        f"measure: no tokenizer.json beside or above '{file}'; name the folder that holds it with --tokenizer"
    )
