"""What `measure` can be told, in Python and on the command line alike."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edgedistill import MeasureOptions, api
from edgedistill.cli.app import app
from edgedistill.errors import UserError

FLAGS: dict[str, Any] = {
    "runtime": "openvino",
    "threads": 2,
    "batch": 3,
    "min_seconds": 0.5,
    "tokenizer": Path("folder"),
    "task": "text-generation",
    "metric": "perplexity",
    "columns": {"text": "sentence"},
    "max_length": 64,
    "emulated_cpu": "cortex-a53",
    "emulated_items": 9,
}


class Asked(Exception):
    """What the command asked for."""


def asked(monkeypatch, *arguments: str):
    def measure(*given, **options):
        raise Asked((*given, options))

    monkeypatch.setattr(api, "measure", measure)
    found = CliRunner().invoke(app, ["measure", *arguments])
    assert isinstance(found.exception, Asked), found.output
    return found.exception.args[0]


def test_every_option_has_a_flag_of_its_name(monkeypatch):
    assert set(FLAGS) == {field.name for field in fields(MeasureOptions)}
    flags = {name.replace("columns", "column").replace("_", "-"): value for name, value in FLAGS.items()}
    flags["column"] = "text=sentence"
    arguments = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    file, data, options, _ = asked(monkeypatch, "model.onnx", "--data", "test.jsonl", *arguments)
    assert (file, data, options) == (Path("model.onnx"), Path("test.jsonl"), MeasureOptions(**FLAGS))


def test_without_flags_they_are_as_without_arguments(monkeypatch):
    bundle, options = asked(monkeypatch, "bundle")
    assert (bundle, options["options"]) == (Path("bundle"), MeasureOptions())


@pytest.mark.parametrize("name", ["threads", "batch", "max_length", "emulated_items"])
def test_a_number_below_one_is_refused(name):
    refused: dict[str, Any] = {name: 0}
    with pytest.raises(UserError, match=f"measure: {name} is 0, expected 1 or more"):
        MeasureOptions(**refused)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_cannot_be_is_refused(seconds):
    with pytest.raises(UserError, match="measure: min_seconds is .*, expected a number above 0"):
        MeasureOptions(min_seconds=seconds)
