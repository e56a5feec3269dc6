"""Fills an order for the files of one target and precision: in this process, or in one of its own, whose packages may
be other ones. An order is plain data, so that it can cross over."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .contracts.items import Items
from .errors import EdgedistillError, RefusedError
from .interfaces import FileRequest, ShapeCheck

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .arrays import Floats
    from .interfaces import Batch, Inputs, Session

# Rounding of fp32 sums in another order; a wrong graph is off by orders of magnitude more.
TOLERANCE = 1e-3
_SHAPES = ((1, 1), (1, 16), (2, 37), (8, None))


@dataclass(frozen=True)
class Order:
    """The files to make, one for every length (None: one file for all), and what of."""

    exporter: str
    """Module name."""
    precision: str
    task: str
    """Module name."""
    model: str
    """Folder."""
    samples: str
    """File of real inputs, the longest first."""
    calibration: str | None
    max_length: int
    only_length: int | None
    """Of every input of the task (pixels), whatever the target."""
    fixed: bool
    files: tuple[tuple[int | None, str, str | None], ...]
    """Bucket, file to write, file that it is made of."""
    min_length: int = 1
    """Of every input: what the tokenizer puts around a text, and one more."""


def fill(order: Order) -> list[dict[str, object]]:
    """Make the files; what the exporter tells of each, as plain data.

    Raises:
        EdgedistillError: the exporter's own, or a sentence around what a library raised.
    """
    exporter = importlib.import_module(order.exporter)
    samples = Items.open(Path(order.samples))
    model = cache(lambda: _load(order))
    made = []
    for length, file, source in order.files:
        request = FileRequest(
            precision=order.precision,
            model=model,
            samples=lambda batch, width: _samples(samples, input_names(model(), samples), batch, width),
            max_length=order.max_length,
            length=order.only_length if length is None else length,
            fixed=order.fixed,
            source=Path(source) if source is not None else None,
            calibration=_calibration(order.calibration, length),
            min_length=order.min_length,
        )
        with _in_a_sentence(order):
            made.append(asdict(exporter.make(request, Path(file))))
    return made


# What a library's words mean, where they alone say little.
_MEANINGS = {
    r"\b0x1[01]\b": "the runtime lacks a feature that the file asks for",
    r"\b0x12\b": "an operator of the model is given what the runtime's kernel does not take",
    r"\b0x14\b": "the runtime has no kernel for an operator of the model",
    r"'Int8Table' object has no attribute": "the model reads the weights of its token table itself, which int8 tables "
    "have not",
    r"NOT_IMPLEMENTED": "the runtime has no kernel for an operator in that type",
    r"(?i)unsupported (?:operator|op)\b|no kernel|not supported": "an operator of the model is not supported",
}


@contextmanager
def _in_a_sentence(order: Order) -> Iterator[None]:
    """Say which target failed at what, in words that a person can act on; the library's own stand behind, in brackets.

    What fails costs this target's candidates, and those that are made of its files, and no others.
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
        target = order.exporter.rsplit(".", 1)[-1].replace("_", "-")
        meaning = _meaning(words) or "its converter or runtime failed at something that it does not name"
        raise EdgedistillError(
            f"target {target}: {order.precision} cannot be made of this model: {meaning}; targets that are not made of "
            f"this file are not affected [{words}]"
        ) from error


def _meaning(words: str) -> str | None:
    return next((meaning for pattern, meaning in _MEANINGS.items() if re.search(pattern, words)), None)


def compare_with_torch(
    request: FileRequest, target: str, run: Callable[[Inputs], Floats], tolerance: float = TOLERANCE
) -> tuple[ShapeCheck, ...]:
    """Logits of a file against torch at the shortest input there can be, one text, an odd batch and the longest batch,
    as far as the file takes these shapes.

    Args:
        run: the file's logits for one batch of inputs.

    Raises:
        EdgedistillError: another shape, or a difference above `tolerance`.
    """
    import torch

    model, checks = request.model(), []
    longest = request.max_length
    shortest = min(request.min_length, longest)
    lengths = [request.length or min(max(width or longest, shortest), longest) for _, width in _SHAPES]
    batches = [1 if request.fixed else batch for batch, _ in _SHAPES]
    for batch, width in dict.fromkeys(zip(batches, lengths, strict=True)):
        inputs = request.samples(batch, width)
        with torch.no_grad():
            expected = model(**inputs).logits.float().numpy()
        got = np.asarray(run({name: tensor.numpy() for name, tensor in inputs.items()}))
        if got.shape != expected.shape:
            raise EdgedistillError(
                f"target {target}: at {(batch, width)} the file gives {got.shape}, torch {expected.shape}"
            )
        check = ShapeCheck(batch, width, float(np.abs(got - expected).max()))
        if not check.max_abs_diff <= tolerance:
            raise EdgedistillError(
                f"target {target}: at batch {batch}, length {width} the file differs from torch by "
                f"{check.max_abs_diff:.3g}, expected at most {tolerance:g}"
            )
        checks.append(check)
    return tuple(checks)


def logits_of(session: Session) -> Callable[[Inputs], Floats]:
    """What `compare_with_torch` runs: an opened file's first output."""

    def run(inputs: Inputs) -> Floats:
        logits: Floats = np.asarray(session.run(inputs)[0], dtype=np.float32)
        return logits

    return run


@contextmanager
def quiet() -> Iterator[None]:
    """Keep a converter's own progress, advice and version remarks off the terminal; its exceptions pass."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _load(order: Order) -> PreTrainedModel:
    from .models import load_model

    return load_model(
        importlib.import_module(order.task).TASK.model.auto_class(), order.model, None, head_required=True
    )


def input_names(model: PreTrainedModel, items: Items) -> list[str]:
    """The inputs of a model's files: those of its data that its forward pass names. What it only tolerates would be an
    input that nothing reads, yet that every client must feed."""
    named = inspect.signature(model.forward).parameters
    given = [name for name, column in items.columns.items() if column.role == "input" and name in named]
    return sorted(given, key=list(named).index)


def _samples(samples: Items, names: Sequence[str], batch: int, width: int) -> Batch:
    """Real inputs; a sequence shorter than `width` is repeated until it fills it, so that no row is all padding."""
    import torch

    items = np.resize(np.arange(len(samples)), batch)
    rows = [{name: column[0] for name, column in samples.inputs([int(i)]).items()} for i in items]
    sequences = [name for name in names if samples.columns[name].layout == "sequence"]
    return {
        name: torch.from_numpy(
            np.stack([np.resize(row[name], width) if name in sequences else row[name] for row in rows])
        )
        for name in names
    }


def _calibration(file: str | None, length: int | None) -> list[Inputs]:
    if file is None:
        return []
    data = Items.open(Path(file))
    return [data.inputs([item], length) for item in range(len(data))]
