"""What several tests build: real sentences from the shipped quickstart data, and a recipe that runs in seconds."""

from __future__ import annotations

import json
import logging
import os
import pkgutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

import numpy as np
import pytest
import yaml

from edgedistill.arrays import Array
from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.items import Column
from edgedistill.contracts.target import FileRequest
from edgedistill.recipe.reading import shipped
from edgedistill.store.artifacts import Failure, Manifest, Published, file_entries
from edgedistill.store.handle import Artifact
from edgedistill.store.records import base
from edgedistill.store.records.base import FileName, R
from edgedistill.store.records.files import FidelityFigures, TextsRead, Verified

LABELS = ["set_alarm", "weather", "play_music"]
MINILM = Path(__file__).parents[2] / "shared" / "models" / "all-MiniLM-L6-v2"
Tree = dict[str, Any]
"""A recipe as YAML reads it."""


def quickstart_rows(split: str) -> list[dict[str, str]]:
    file = shipped()["quickstart"].parent / "quickstart" / f"{split}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_jsonl(file: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def unused(*given: object) -> NoReturn:
    """In place of a function that must not be called."""
    raise AssertionError(f"called with {given}")


def assert_close(found: Array, expected: Array, atol: float = 0.0, rtol: float = 1e-7) -> None:
    """`np.testing.assert_allclose` of what a graph or answers hold, whatever its type."""
    numbers, wanted = (np.asarray(array, np.float64) for array in (found, expected))
    np.testing.assert_allclose(numbers, wanted, atol=atol, rtol=rtol)


def stand_in(**attributes: object) -> Any:
    """Something with these attributes, where a whole object would have many more than the test is about."""
    return SimpleNamespace(**attributes)


def verified_record(
    value: float,
    agreement: float,
    *,
    batched: float | None = None,
    checks: Mapping[str, float] | None = None,
    read: TextsRead | None = None,
) -> Verified:
    """A record of a file with this metric and these agreements: of single items, and of padded batches."""
    return Verified(
        answers=FileName("answers.safetensors"),
        answers_batched=None,
        backend={},
        fidelity=FidelityFigures(
            agreement=agreement, max_abs_diff=0.0, mean_abs_diff=0.0, mean_divergence=0.0, max_divergence=0.0
        ),
        value=value,
        agreement_batched=batched,
        value_batched=None,
        flips=(),
        checks=checks or {},
        texts_read=read,
    )


def move_smallest(row, by: float) -> None:
    """Change a golden row by its smallest number, so that its label stays."""
    row[row.argmin()] += by


def write_weights(folder: Path, content: str = "") -> None:
    """A safetensors file as far as a plan looks at it: one tensor, filled by `content`."""
    import numpy as np
    from safetensors.numpy import save_file

    values = np.full(200_000, sum(content.encode()), dtype=np.float32)
    save_file({"weight": values}, folder / "model.safetensors")


def tiny_recipe(data_folder: Path) -> Tree:
    """A recipe that runs in seconds; tests change a copy of it."""
    return {
        "schema": "edgedistill/1",
        "name": "tiny",
        "seed": 4,
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": str(data_folder / f"{name}.jsonl")} for name in ("train", "validation", "test")},
            "unlabeled": {"path": str(data_folder / "unlabeled.jsonl")},
            "max_length": 32,
        },
        "teacher": {
            "scratch": {
                "layers": 2,
                "hidden_size": 32,
                "heads": 4,
                "intermediate_size": 64,
                "vocabulary": 300,
            },
            "fine_tune": {"epochs": 20, "learning_rate": 2e-3, "batch_size": 16},
        },
        "rounds": [_first_round(), _second_round()],
        "compute": {"device": "cpu", "precision": "fp32"},
        "export": {"targets": ["onnx"], "teacher": False},
        "quantize": [{"precision": "fp32"}, {"precision": "int8-dynamic"}],
        "verify": {"min_agreement": 0.8},
        "measure": {"min_seconds": 0.1},
        "select": {"limits": {"file_mb": 5}},
    }


def _first_round() -> dict[str, object]:
    """The teacher's first layer, from both kinds of data and from hidden states."""
    return {
        "id": "r1",
        "student": {"init": "keep_layers", "layers": 1},
        "stages": [
            {
                "name": "soft-targets",
                "data": ["train", "unlabeled"],
                "epochs": 2,
                "learning_rate": 1e-3,
                "batch_size": 16,
                "losses": [
                    {"kind": "kl", "weight": 0.9},
                    {"kind": "hard_label", "weight": 0.1},
                    {"kind": "hidden_mse", "weight": 0.1},
                ],
            }
        ],
    }


def _second_round() -> dict[str, object]:
    """Half the first student's width, from two teachers."""
    return {
        "id": "r2",
        "teacher": ["teacher", "r1"],
        "student": {"init": "narrow", "from": "r1", "hidden_size": 16},
        "stages": [
            {
                "name": "soft-targets",
                "epochs": 8,
                "learning_rate": 3e-3,
                "batch_size": 16,
                "losses": [{"kind": "kl"}],
            }
        ],
    }


def write_recipe(tree: Mapping[str, object], folder: Path) -> str:
    file = folder / "recipe.yaml"
    file.write_text(yaml.safe_dump(tree))
    return str(file)


def change_plugin(patch: pytest.MonkeyPatch, group: registry.Group, name: str, **changes: object) -> None:
    """Have a plug-in export an object with other fields."""
    module, _, exported = registry.reference(group, name).partition(":")
    patch.setattr(f"{module}.{exported}", replace(pkgutil.resolve_name(f"{module}:{exported}"), **changes))


def raise_version(
    patch: pytest.MonkeyPatch, group: Literal["tasks", "losses", "students", "quantizers", "exporters"], name: str
) -> None:
    """Have a plug-in say that it makes something else now."""
    change_plugin(patch, group, name, version=registry.version(group, name) + 1)


def text_items(ids, labels=None, *, pad: int = 0, mask: bool = True, example=None):
    """Items of a text classifier: N lists of token ids, and a class id for each (-100: none)."""
    from edgedistill.contracts.items import Column, Items

    columns = {"input_ids": Column("input", "sequence", pad=pad, tokens=True)}
    content = {"input_ids": ids}
    if mask:
        columns["attention_mask"] = Column("input", "sequence")
        content["attention_mask"] = [[1] * len(tokens) for tokens in ids]
    columns["labels"] = Column("target", "scalar", pad=-100)
    content["labels"] = [-100] * len(ids) if labels is None else labels
    return Items.of(columns, content, range(len(ids)) if example is None else example)


def made(record: R, folder: Path, failure: Failure | None = None) -> Artifact[R]:
    """What a step left in a folder: this record; or nothing, where it failed."""
    folder.mkdir(parents=True, exist_ok=True)
    if failure is None:
        base.write(record, folder)
    failures = {"step": failure} if failure is not None else {}
    manifest = Manifest("step", "kind", "key", {}, {}, file_entries(folder), {}, "", 0.0, 0.0, failures)
    return Artifact("step", "key", type(record), Published(folder, manifest))


def record_of(kind: type[R], folder: Path) -> R:
    """What a step said of what it left in a folder."""
    found = base.read(kind, folder)
    assert found is not None, f"{folder} has no record {kind.SCHEMA}"
    return found


@contextmanager
def plugged_in(site: Path, points: Mapping[str, Mapping[str, str]]) -> Iterator[None]:
    """Plug-ins of this folder or of `toy_tasks` as installed entry points (group -> name -> reference), here and in
    children."""
    here = Path(__file__).parent
    folders = [str(here), str(here / "toy_tasks")]
    info = site / "toys-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    groups = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in named.items()) for group, named in points.items()]
    (info / "entry_points.txt").write_text("\n".join(groups))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), *folders, os.environ.get("PYTHONPATH")])))
        patch.setattr(sys, "path", [str(site), *folders, *sys.path])
        registry.forget()
        yield
    registry.forget()


LOGITS = PortNames(outputs=("logits",))
"""What the record of a classifier's file says where the format has names of its own."""


def file_request(precision, model, samples, max_length, **more) -> FileRequest:
    """What an exporter is given to make a classifier's file; `samples(batch, length)` gives its inputs."""

    def columns():
        layouts: dict[str, Literal["block", "sequence"]] = {
            name: "block" if name == "pixel_values" else "sequence" for name in samples(1, more.get("length") or 8)
        }
        return {name: Column("input", layout) for name, layout in layouts.items()}

    return FileRequest(precision, model, samples, max_length, columns, ("logits",), **more)


class _Listener(logging.Handler):
    def __init__(self, messages: list[str]) -> None:
        super().__init__()
        self._messages = messages

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.append(record.getMessage())


@contextmanager
def heard() -> Iterator[list[str]]:
    """What is told meanwhile, warnings and progress, message by message."""
    messages: list[str] = []
    handler = _Listener(messages)
    logger = logging.getLogger("edgedistill")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def drifting(opening):
    """A runtime's `open` whose graphs are off by 0.01."""

    def open_drifting(*given):
        graph = opening(*given)
        run = graph.run
        graph.run = lambda feeds: {name: array + 0.01 for name, array in run(feeds).items()}
        return graph

    return open_drifting
