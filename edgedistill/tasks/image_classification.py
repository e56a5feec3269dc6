"""Image classification: one label an image, given as a list of whole-numbered pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgedistill.arrays import Floats
from edgedistill.contracts.task import AutoClass
from edgedistill.interfaces import Columns
from edgedistill.tasks.text_classification import METRICS, label_names, references, row_counts, rows

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from edgedistill.recipe import Architecture

__all__ = ["METRICS", "label_names", "references", "row_counts", "rows"]

VERSION = 1
COLUMNS = Columns(required=("image",), labels="label")
TEXTS = ()
TOKENS = False


def auto_class() -> AutoClass:
    """`AutoModelForImageClassification`."""
    from transformers import AutoModelForImageClassification

    from edgedistill import image_model  # noqa: F401 - its model becomes one that the auto class knows

    return AutoModelForImageClassification  # type: ignore[no-any-return,unused-ignore]


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, labels: Mapping[str, object]
) -> PreTrainedConfig:
    """A network of `layers` fully connected layers on `length` pixels."""
    from edgedistill.image_model import PixelsConfig

    config = PixelsConfig(
        pixels=length,
        hidden_size=architecture.hidden_size,
        num_hidden_layers=architecture.layers,
        dropout=architecture.dropout,
    )
    config.update(dict(labels))
    return config


def problem_in(row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a raw row, or None."""
    image = row.get(columns["image"])
    if not isinstance(image, list) or not image or not all(isinstance(pixel, int) for pixel in image):
        return f"'{columns['image']}' is {type(image).__name__} {image!r:.40}, expected a list of whole numbers"
    if labelled and not isinstance(row.get(columns["label"]), str | int):
        return f"'{columns['label']}' is {row.get(columns['label'])!r:.40}, expected a label name or number"
    return None


def encode(
    rows: Mapping[str, Sequence[object]],
    columns: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase | None,
    label_ids: Mapping[str, int],
    max_length: int,
) -> dict[str, list[object]]:
    """The pixels as they are, and the label id; -100 for a row without a label."""
    images = list(rows[columns["image"]])
    labels = rows.get(columns["label"]) or [None] * len(images)
    return {
        "pixel_values": images,
        "labels": [-100 if label is None else label_ids[str(label)] for label in labels],
    }


def device_rows(outputs: Sequence[NDArray[np.generic]], batch: Mapping[str, NDArray[np.generic]]) -> Floats:
    """The file's first output, (B, C)."""
    return np.asarray(outputs[0], dtype=np.float32)


def show(row: Mapping[str, object], columns: Mapping[str, str]) -> str:
    """The pixels, each as one character from light to dark, line by line where the image is a square."""
    image = row[columns["image"]]
    assert isinstance(image, list)
    side = round(len(image) ** 0.5)
    shades = " .:-=+*#%@"
    darkest = max(*image, 1)
    text = "".join(shades[pixel * (len(shades) - 1) // darkest] for pixel in image)
    return "|".join(text[i : i + side] for i in range(0, len(text), side)) if side**2 == len(image) else text
