"""What is refused of the data for a single file, before the file is opened."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers import write_jsonl
from language_models import TEACHER

from edgedistill.contracts import registry
from edgedistill.errors import UserError
from edgedistill.measuring.lone_file import _read
from edgedistill.measuring.lone_request import LoneFile
from edgedistill.measuring.options import MeasureOptions


def test_texts_in_which_nothing_is_predicted_are_refused(tmp_path):
    """A tokenizer without a token that begins texts predicts no single token."""
    folder = shutil.copytree(TEACHER, tmp_path / "teacher")
    for name, change in (
        ("tokenizer.json", {"post_processor": None}),
        ("tokenizer_config.json", {"bos_token": None, "eos_token": None, "pad_token": "<unk>"}),
    ):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    options = MeasureOptions(task="text-generation", metric="bits_per_byte", tokenizer=folder)
    data = write_jsonl(tmp_path / "letters.jsonl", [{"text": "a"}, {"text": "I"}])
    with pytest.raises(UserError, match=rf"measure: '{data}': there is nothing to predict in any of its rows"):
        _read(LoneFile(tmp_path / "model.onnx", data, options), registry.task("text-generation"), tmp_path)
    data = write_jsonl(tmp_path / "words.jsonl", [{"text": "a"}, {"text": "a word"}])
    read = _read(LoneFile(tmp_path / "model.onnx", data, options), registry.task("text-generation"), tmp_path)
    assert len(read.items) == 2
