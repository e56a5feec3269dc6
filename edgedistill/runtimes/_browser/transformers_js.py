"""transformers.js on a published folder, unchanged, as its users load it: does it answer what the file's logits say?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgedistill.errors import EdgedistillError
from edgedistill.runtimes._browser.page import Page

DTYPES = {"model": "fp32", "model_fp16": "fp16", "model_quantized": "q8"}
"""The library's name of a precision, by the stem of the file that it then loads from `onnx/`."""
_NAME = "published"


@dataclass(frozen=True)
class PipelineAnswers:
    """What `pipeline("text-classification", ...)` answered."""

    probabilities: NDArray[np.floating]
    """(N, C), in the order of the model's labels."""
    version: str
    download_bytes: Mapping[str, int]
    """runtime (JavaScript and WebAssembly), model, tokenizer (with the configurations)."""


def published_folder(file: Path) -> Path | None:
    """The folder that holds `file` where transformers.js looks for it, None when the file lies elsewhere."""
    folder = Path(os.path.abspath(file)).parent.parent
    there = file.parent.name == "onnx" and file.stem in DTYPES and file.suffix == ".onnx"
    return folder if there and all((folder / name).is_file() for name in ("config.json", "tokenizer.json")) else None


def classify(file: Path, texts: Sequence[str], labels: Sequence[str], node_modules: Path) -> PipelineAnswers:
    """Load the folder of `file` and classify the texts one by one, with the precision that loads this file.

    Args:
        labels: the model's labels, in the order of their ids.

    Raises:
        EdgedistillError: the library fails, loads another file, or answers other labels.
    """
    folder = published_folder(file)
    if folder is None:
        raise EdgedistillError(f"transformers.js finds no model at '{file}'; expected FOLDER/onnx/model.onnx")
    page = Page({"npm": node_modules, _NAME: folder})
    try:
        facts, _ = page.ask("pipeline", folder=_NAME, dtype=DTYPES[file.stem])
        rows = [_probabilities(page.ask("classify", text=text)[0]["answers"], labels) for text in texts]
        sent = page.downloads
    finally:
        page.close()
    model = {path: size for path, size in sent.items() if path.startswith(f"{_NAME}/onnx/")}
    if f"{_NAME}/onnx/{file.name}" not in model:
        raise EdgedistillError(f"transformers.js loaded {', '.join(model) or 'no model'}, not {file.name}")
    runtime = {path: size for path, size in sent.items() if path.startswith("npm/")}
    rest = sum(sent.values()) - sum(model.values()) - sum(runtime.values())
    return PipelineAnswers(
        np.array(rows),
        str(facts["version"]),
        {"runtime": sum(runtime.values()), "model": sum(model.values()), "tokenizer": rest},
    )


def agreement(found: NDArray[np.floating], logits: NDArray[np.floating]) -> dict[str, float]:
    """How closely probabilities (N, C) repeat the softmax of logits (N, C): decisions, and the largest difference.

    Raises:
        EdgedistillError: other shapes.
    """
    if found.shape != logits.shape:
        raise EdgedistillError(f"transformers.js returns {found.shape} scores, the file {logits.shape} logits")
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    expected = shifted / shifted.sum(axis=1, keepdims=True)
    return {
        "agreement": float((found.argmax(axis=1) == expected.argmax(axis=1)).mean()),
        "max_score_diff": float(np.abs(found - expected).max()),
    }


def _probabilities(answers: object, labels: Sequence[str]) -> list[float]:
    """The scores of one text, which come sorted, in the order of the labels."""
    assert isinstance(answers, list)
    scores = {str(answer["label"]): float(answer["score"]) for answer in answers}
    if set(scores) != set(labels):
        strange = ", ".join(sorted(set(scores) ^ set(labels))[:5])
        raise EdgedistillError(f"transformers.js returns labels that the model does not have: {strange}")
    return [scores[label] for label in labels]
