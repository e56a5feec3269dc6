"""Exports encoders of a few layers with random weights, on which the time of a layer is measured.

    python -m edgedistill.exporting.trial_encoders < wanted.json

Runs in a separate process, so that callers load neither torch nor transformers. Writes a JSON line per encoder as soon
as its files are there: for each kind null, or why it cannot be exported.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from edgedistill.arrays import Array
from edgedistill.contracts import registry
from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.precision import BLOCK
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import WHOLE, ExportJob, Part, run_job
from edgedistill.models.meta_sizes import Request, planned_config

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

ITEMS = 8
"""Inputs of each length."""
_VOCABULARY = 1000
"""Tokens of a trial: the time of a lookup does not depend on the table's size, and small files are made faster."""


class KindGiven(TypedDict):
    """A `FileKind` as plain data."""

    target: str
    precision: str | None
    parts: Sequence[tuple[str, str]]
    block: int | None


class Trial(TypedDict):
    """One encoder to export."""

    request: Request
    """The model whose layers it has."""
    layers: int
    folder: str
    """Where to write its files, one per kind."""


class Wanted(TypedDict):
    """The encoders to export."""

    kinds: Sequence[KindGiven]
    longest: int
    """Length of the longest inputs, in tokens."""
    trials: Sequence[Trial]


def trial_file(folder: Path, kind: FileKind) -> Path:
    """A trial's file."""
    words = kind.precision or "-".join([*(precision for _, precision in kind.parts), str(kind.block)])
    return folder / f"{kind.target}-{words}.onnx"


def as_given(kind: FileKind) -> KindGiven:
    """As plain data."""
    return KindGiven(target=kind.target, precision=kind.precision, parts=kind.parts, block=kind.block)


def _kind(given: KindGiven) -> FileKind:
    parts = tuple((part, precision) for part, precision in given["parts"])
    return FileKind(given["target"], given["precision"], parts, given["block"])


def inputs_of(length: int, *, types: bool = True) -> Items:
    """Random inputs of exactly `length` tokens, without padding."""
    tokens = np.random.default_rng(length).integers(5, _VOCABULARY // 2, (ITEMS, length))
    content: dict[str, Array] = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    columns = {"input_ids": Column("input", "sequence", tokens=True), "attention_mask": Column("input", "sequence")}
    if types:
        content["token_type_ids"] = np.zeros_like(tokens)
        columns["token_type_ids"] = Column("input", "sequence")
    return Items.of(columns, {name: list(rows) for name, rows in content.items()}, np.arange(ITEMS))


def export(trial: Trial, wanted: Wanted) -> list[str | None]:
    """Write one encoder's files; for each kind why it cannot be exported, or None."""
    from edgedistill.models.loading import save_model

    folder = Path(trial["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    config = _small(trial)
    auto_class = registry.task(trial["request"]["task"]).model.auto_class()
    save_model(_random(auto_class.from_config(config)), folder / "model")
    samples = folder / "samples.safetensors"
    inputs_of(wanted["longest"], types=getattr(config, "type_vocab_size", 1) > 1).save(samples)
    kinds, reasons = [_kind(one) for one in wanted["kinds"]], dict[FileKind, str]()
    for kind in with_sources(kinds):
        source = _source(kind)
        try:
            if source in reasons:
                raise EdgedistillError(reasons[source])
            run_job(_job(trial, kind, samples, wanted["longest"]))
        except EdgedistillError as error:
            reasons[kind] = str(error)
    return [reasons.get(kind) for kind in kinds]


def with_sources(kinds: Iterable[FileKind]) -> list[FileKind]:
    """These kinds, each after the one that it is made from, if any."""
    found: dict[FileKind, None] = {}
    for kind in kinds:
        source = _source(kind)
        found |= dict.fromkeys([kind] if source is None else [*with_sources([source]), kind])
    return list(found)


def _source(kind: FileKind) -> FileKind | None:
    made_of = kind.how.made_of
    return None if made_of is None else FileKind(*made_of)


def _random(model: PreTrainedModel) -> PreTrainedModel:
    """The model with different biases and norms everywhere, since a file stores equal ones once."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight += 0.02 * torch.randn_like(weight)
    return model


def _small(trial: Trial) -> PreTrainedConfig:
    """The model's configuration, with fewer layers and tokens."""
    from edgedistill.models.sizes import resized

    config, _, _ = planned_config(trial["request"])
    own = config.num_hidden_layers
    smaller = resized(config, [number % own for number in range(trial["layers"])])
    smaller.vocab_size = min(config.vocab_size, max(_VOCABULARY, (config.pad_token_id or 0) + 1))
    return smaller


def _job(trial: Trial, kind: FileKind, samples: Path, longest: int) -> ExportJob:
    folder, task, source, mix = Path(trial["folder"]), trial["request"]["task"], _source(kind), kind.mix
    made_from = None if source is None else str(trial_file(folder, source))
    return ExportJob(
        target=kind.target,
        exporter=registry.reference("exporters", kind.target),
        precision=kind.precision or "mix",
        task=registry.reference("tasks", task),
        model=str(folder / "model"),
        samples=str(samples),
        calibration=str(samples) if kind.calibrated else None,
        max_length=longest,
        only_length=None,
        fixed=False,
        files=(Part(WHOLE, None, str(trial_file(folder, kind)), made_from),),
        min_length=min(3, longest),
        parts=None if mix is None else mix.parts,
        block=mix.block if mix is not None else BLOCK,
    )


def main() -> None:
    """Read, export, answer trial by trial."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        wanted: Wanted = json.load(sys.stdin)
        from edgedistill.models.loading import quiet_transformers

        quiet_transformers()
        for trial in wanted["trials"]:
            print(json.dumps(export(trial, wanted)), file=answers, flush=True)


if __name__ == "__main__":
    main()
