"""Exports the files of one target and precision, in this process or in a child process with its own packages. A job is
plain data, so it can be sent to a child process."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from edgedistill.contracts.driver import Driver, Graph
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.precision import BLOCK, Mix
from edgedistill.contracts.target import FileRequest, ShapeCheck
from edgedistill.device.graphs import with_outputs
from edgedistill.errors import EdgedistillError, RefusedError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from edgedistill.arrays import Array
    from edgedistill.contracts.target import Target
    from edgedistill.contracts.task import Task
    from edgedistill.contracts.tensors import Tensors

# fp32 sums in another order round differently; a wrong graph differs by orders of magnitude more.
TOLERANCE = 1e-3
LOADING = ("torch", "transformers", "pydantic>=2.11")
"""What an exporter's environment needs that loads the model."""
WHOLE = "model"
"""The component of a task with one graph."""
_SHAPES = ((1, 1), (1, 16), (2, 37), (8, None))


class Part(NamedTuple):
    """One file to export."""

    component: str
    length: int | None
    """Its bucket."""
    file: str
    """The file to write."""
    source: str | None
    """The source file."""


@dataclass(frozen=True)
class ExportJob:
    """The files to export, one per length (None: one file for all lengths), and their source."""

    target: str
    exporter: str
    """Its reference."""
    precision: str
    task: str
    """Its reference."""
    model: str
    """Folder."""
    samples: str
    """File of real inputs."""
    calibration: str | None
    max_length: int
    only_length: int | None
    """Fixed input length of the task (pixels), whatever the target."""
    fixed: bool
    files: tuple[Part, ...]
    min_length: int = 1
    """Minimum input length: the special tokens around a text plus one."""
    parts: Mapping[str, str] | None = None
    """The precision of each part, or part of a layer, if it is a mix."""
    block: int = BLOCK
    """Weights of a mix that share a scale."""
    method: str | None = None
    """Of calibration."""


def run_job(job: ExportJob) -> list[dict[str, object]]:
    """Export the files, and return the exporter's record of each as plain data.

    Raises:
        EdgedistillError: the exporter's own, or a message around a library's error.
    """
    from edgedistill.models.loading import load_model

    exporter: Target = pkgutil.resolve_name(job.exporter)
    task: Task = pkgutil.resolve_name(job.task)
    driver: Driver = importlib.import_module(task.device).DRIVER
    samples = Items.open(Path(job.samples))
    model = cache(lambda: load_model(task.model.auto_class(), job.model, None, head_required=True))
    columns = cache(lambda: input_columns(model(), samples.columns))
    made = []
    for component, length, file, source in map(Part._make, job.files):
        request = FileRequest(
            precision=job.precision,
            model=model,
            samples=lambda batch, width: _samples(samples, columns(), batch, width),
            max_length=job.max_length,
            columns=columns,
            outputs=driver.outputs[component],
            component=component,
            forward=task.model.forward,
            length=job.only_length if length is None else length,
            fixed=job.fixed,
            source=Path(source) if source is not None else None,
            calibration=_calibration(job.calibration, length),
            method=job.method,
            min_length=job.min_length,
            folder=Path(job.model),
            mix=Mix(job.parts, job.block) if job.parts is not None else None,
        )
        with _in_a_sentence(job):
            made.append(asdict(exporter.make(request, Path(file))))
    return made


# Explanations of cryptic library errors.
_MEANINGS = {
    r"\b0x1[01]\b": "the runtime lacks a feature that the file needs",
    r"\b0x12\b": "an operator of the model has inputs that the runtime's kernel does not support",
    r"\b0x14\b": "the runtime has no kernel for an operator of the model",
    r"'Int8Table' object has no attribute": "the model accesses the weights of its token table directly, which int8 "
    "tables do not have",
    r"NOT_IMPLEMENTED": "the runtime has no kernel for an operator in that type",
    r"(?i)unsupported (?:operator|op)\b|no kernel|not supported": "an operator of the model is not supported",
}


@contextmanager
def _in_a_sentence(job: ExportJob) -> Iterator[None]:
    """An actionable message on which target failed and why, with the library's own message in brackets.

    A failure drops this target's candidates and those made from its files, and no others.
    """
    try:
        yield
    except RefusedError:
        raise
    except EdgedistillError as error:
        meaning = _meaning(str(error))
        raise EdgedistillError(f"{error} ({meaning})" if meaning else str(error)) from error
    except (OSError, MemoryError):
        raise
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        meaning = _meaning(words) or "its converter or runtime failed without an explanation"
        raise EdgedistillError(
            f"target {job.target}: {job.precision} cannot be exported from this model: {meaning}; targets that do not "
            f"depend on this file are not affected [{words}]"
        ) from error


def _meaning(words: str) -> str | None:
    return next((meaning for pattern, meaning in _MEANINGS.items() if re.search(pattern, words)), None)


def compare_with_torch(
    request: FileRequest, target: str, graph: Graph, tolerance: float = TOLERANCE
) -> tuple[ShapeCheck, ...]:
    """Compare all outputs of a file with PyTorch on the shortest possible input, one item, an odd batch and the longest
    batch, as far as the file supports these shapes.

    Raises:
        EdgedistillError: an output is missing or has another shape, or a difference exceeds `tolerance`.
    """
    import torch

    model, checks = request.model(), []
    graph = with_outputs(graph, request.outputs)
    longest = request.max_length
    shortest = min(request.min_length, longest)
    lengths = [request.length or min(max(width or longest, shortest), longest) for _, width in _SHAPES]
    batches = [1 if request.fixed else batch for batch, _ in _SHAPES]
    for batch, width in dict.fromkeys(zip(batches, lengths, strict=True)):
        inputs = request.samples(batch, width)
        with torch.no_grad():
            expected = request.forward(model, inputs)
        found = graph.run({name: tensor.numpy() for name, tensor in inputs.items()})
        differences = []
        for name in request.outputs:
            got, wanted = found[name].astype(np.float32), expected[name].float().numpy()
            if got.shape != wanted.shape:
                raise EdgedistillError(
                    f"target {target}: at {(batch, width)} the file returns {name!r} of {got.shape}, PyTorch "
                    f"{wanted.shape}"
                )
            differences.append(np.abs(got - wanted).max())
        worst = float(np.max(differences))  # NaN if either is
        if not worst <= tolerance:
            raise EdgedistillError(
                f"target {target}: at batch {batch}, length {width} the file differs from PyTorch by {worst:.3g}, "
                f"expected at most {tolerance:g}"
            )
        checks.append(ShapeCheck(batch, width, worst))
    return tuple(checks)


class _Plain:
    """The unwrapped model."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model, self._forward = model, model.forward

    def __call__(self, **inputs: torch.Tensor) -> object:
        return self._forward(**inputs)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)


@contextmanager
def giving_outputs(request: FileRequest, sample: Tensors) -> Iterator[PreTrainedModel]:
    """The model with a forward pass that returns the task's outputs by name, for exporters that trace transformers
    models. A model that already returns them is unchanged."""
    import torch

    model = request.model()
    with torch.no_grad():
        own, asked = model(**sample), request.forward(model, sample)
    if all(name in own and torch.equal(own[name], asked[name]) for name in request.outputs):
        yield model
        return
    plain = cast("PreTrainedModel", _Plain(model))

    @functools.wraps(model.forward)
    def forward(**inputs: torch.Tensor) -> Tensors:
        found = request.forward(plain, inputs)
        return {name: found[name] for name in request.outputs}

    with with_forward(model, forward):
        yield model


@contextmanager
def with_forward(model: PreTrainedModel, forward: Callable[..., object]) -> Iterator[None]:
    """Another forward pass for a model while the context lasts."""
    own = vars(model)
    before = own.get("forward")
    own["forward"] = forward
    try:
        yield
    finally:
        # Tracing may have left the class's own pass there, bound to the model.
        if before is None or getattr(before, "__func__", None) is type(model).forward:
            del own["forward"]
        else:
            own["forward"] = before


def refuse_components(request: FileRequest, target: str) -> None:
    """Check for targets that export whole models.

    Raises:
        RefusedError: a single component is requested.
    """
    if request.component != WHOLE:
        raise RefusedError(
            f"target {target}: it exports whole models; the task needs the component '{request.component}'"
        )


def input_columns(model: PreTrainedModel, given: Mapping[str, Column]) -> dict[str, Column]:
    """The inputs of a model's files: the data columns that its forward pass names, in its order. Others that it merely
    accepts would be unused inputs that every client must provide."""
    named = inspect.signature(model.forward).parameters
    return {name: given[name] for name in named if name in given and given[name].role == "input"}


def _samples(samples: Items, columns: Mapping[str, Column], batch: int, width: int) -> Tensors:
    """Real items, longest first; one shorter than `width` is repeated to fill it, so that none is only padding."""
    import torch

    longest_first = np.argsort(-samples.lengths, kind="stable")
    rows = [samples.inputs([int(item)]) for item in np.resize(longest_first, batch)]
    return {
        name: torch.from_numpy(
            np.stack([np.resize(row[name][0], width) if column.layout == "sequence" else row[name][0] for row in rows])
        )
        for name, column in columns.items()
    }


def _calibration(file: str | None, length: int | None) -> list[dict[str, Array]]:
    if file is None:
        return []
    items = Items.open(Path(file))
    return [items.inputs([item], length) for item in range(len(items))]
