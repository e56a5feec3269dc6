"""Expected file size and latency of every candidate: sizes from the models' weights, latency from the times of layers
that `suggest` measured on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.data.token_lengths import token_lengths
from edgedistill.exporting.candidates import Candidate, candidates, native_candidates
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.exporting.file_kinds import kind_of
from edgedistill.measuring import encoder_times
from edgedistill.measuring.encoder_times import RUNTIME, TARGETS, LayerShape, Setup, Table
from edgedistill.models import hub
from edgedistill.planning.estimates import Shapes
from edgedistill.recipe.schema import Recipe
from edgedistill.store.records.files import FileId

TASK = "text-classification"
_TOKENIZER = "tokenizer.json"
NOT_TIMED = "the layers of this model have not been timed on this machine; `edgedistill suggest` does"


@dataclass(frozen=True)
class Lengths:
    """Lengths of the inputs that are timed, in tokens."""

    p50: int
    p95: int
    origin: str
    """Where they come from, for people."""


_NOT_READ = Lengths(0, 0, "")


def lengths_of(recipe: Recipe) -> Lengths:
    """Lengths of the test set if they can be read without loading a model, otherwise `data.max_length`."""
    if recipe.measure.lengths != "as_is":
        return Lengths(recipe.measure.lengths, recipe.measure.lengths, "measure.lengths")
    longest, folder = recipe.data.max_length, _teacher_folder(recipe)
    columns = registry.task(recipe.task.type).data.columns
    named = columns.read(recipe.data.columns)
    texts = [named[key] for key in columns.texts if key in named]
    found = token_lengths(recipe.data.test, texts, folder / _TOKENIZER, longest) if folder is not None else None
    if not found:
        return Lengths(longest, longest, "data.max_length")
    middle, long = (int(length) for length in np.percentile(found, (50, 95), method="nearest"))
    return Lengths(middle, long, "the test set")


def estimate_candidates(
    rows: Iterable[Candidate], recipe: Recipe, shapes: Shapes, lengths: Lengths, times: Table
) -> tuple[CandidateEstimate, ...]:
    """One per candidate that is measured; figures that cannot be estimated are None, with the reason."""
    known = kinds(recipe)
    return tuple(
        _estimate(row, known.get(row.file_key), recipe, shapes.get(row.model), lengths, times)
        for row in native_candidates(rows)
    )


def estimates_of_plan(rows: Iterable[Candidate], recipe: Recipe, shapes: Shapes) -> tuple[CandidateEstimate, ...]:
    """The same from the cache alone; the data is only read if there are times."""
    times = encoder_times.table()
    lengths = lengths_of(recipe) if times and unfit(recipe) is None else _NOT_READ
    return estimate_candidates(rows, recipe, shapes, lengths, times)


def unfit(recipe: Recipe) -> str | None:
    """Why no candidate of a recipe has an estimate, or None."""
    if recipe.task.type != TASK:
        return f"estimates are for {TASK}, and this is {recipe.task.type}"
    if not set(TARGETS) & set(recipe.export.targets):
        return f"estimates are for targets {' and '.join(TARGETS)}, which the recipe lacks"
    return None


def kinds(recipe: Recipe) -> dict[FileId, FileKind]:
    """Of all files of a recipe that have estimates."""
    found = {}
    for row in candidates(recipe):
        asked = next(quantize for quantize in recipe.quantize if quantize.id == row.precision)
        kind = kind_of(row.target, asked) if row.target in TARGETS else None
        if kind is not None:
            found[row.file_key] = kind
    return found


def _estimate(
    row: Candidate, kind: FileKind | None, recipe: Recipe, shape: ModelShape | None, lengths: Lengths, times: Table
) -> CandidateEstimate:
    reason = unfit(recipe) or _unknown(row, kind, shape)
    if reason is not None:
        return CandidateEstimate(id=row.id, without=reason)
    assert shape is not None
    assert kind is not None
    return estimate(row, kind, shape, lengths, times)


def estimate(row: Candidate, kind: FileKind, shape: ModelShape, lengths: Lengths, times: Table) -> CandidateEstimate:
    """A candidate with files of this kind, whose model has this shape, with known weights."""
    sizing, layer = kind.sizing, LayerShape.of(shape)
    file_bytes = sizing(shape.weights) if sizing is not None and shape.weights is not None else None
    if row.runtime != RUNTIME:
        return CandidateEstimate(id=row.id, file_bytes=file_bytes, without=f"latency is estimated under {RUNTIME} only")
    if layer is None:
        return CandidateEstimate(id=row.id, file_bytes=file_bytes, without="the width of its layers is not known")
    setups = [Setup(kind, row.threads, row.batch, tokens) for tokens in (lengths.p50, lengths.p95)]
    middle, long = (times.get((layer, setup)) for setup in setups)
    if middle is None or long is None:
        return CandidateEstimate(id=row.id, file_bytes=file_bytes, without=NOT_TIMED)
    return CandidateEstimate(
        id=row.id,
        file_bytes=file_bytes,
        p50_ms=middle.median_ms(shape.layers),
        p95_ms=long.median_ms(shape.layers) * long.spread,
    )


def _unknown(row: Candidate, kind: FileKind | None, shape: ModelShape | None) -> str | None:
    if row.target not in TARGETS:
        return f"estimates are for targets {' and '.join(TARGETS)}, not {row.target}"
    if kind is None:
        return f"the precisions of {row.precision} are searched after training"
    if shape is None:
        return "the model's size is not known yet"
    if shape.weights is None:
        return f"a '{shape.architecture}' is not an encoder with a known layout and equal layers"
    return None


def _teacher_folder(recipe: Recipe) -> Path | None:
    model = recipe.teacher.model
    if model is None or Path(model).is_absolute():
        return None if model is None else Path(model)
    return hub.cache_of(model) / "snapshots" / hub.commit_of(model, recipe.teacher.revision)
