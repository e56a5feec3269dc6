"""Image classification: one label per image, given as a list of integer pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.task import AutoClass, DataColumns, Encoder, Task, TaskData, TaskModel
from edgedistill.tasks import _classification as classification
from edgedistill.tasks._classification_judge import JUDGE

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from edgedistill.recipe.teacher_spec import Architecture

_PIXELS = "pixel_values"


def auto_class() -> AutoClass:
    """`AutoModelForImageClassification`."""
    from transformers import AutoModelForImageClassification

    from edgedistill.models import image_model  # noqa: F401 - its model becomes one that the auto class knows

    return AutoModelForImageClassification  # type: ignore[no-any-return,unused-ignore]


def scratch_config(
    architecture: Architecture, vocabulary: int, length: int, items: Items, entries: Mapping[str, object]
) -> PreTrainedConfig:
    """A network of `layers` fully connected layers on the pixels."""
    from edgedistill.models.image_model import PixelsConfig

    config = PixelsConfig(
        pixels=items.values[_PIXELS].shape[1],
        hidden_size=architecture.hidden_size,
        num_hidden_layers=architecture.layers,
        dropout=architecture.dropout,
    )
    config.update(dict(entries))
    return config


def problem(row: Mapping[str, object], columns: Mapping[str, str], labelled: bool) -> str | None:
    """What is wrong with a raw row, or None."""
    image = row.get(columns["image"])
    if not isinstance(image, list) or not image or not all(isinstance(pixel, int) for pixel in image):
        return f"'{columns['image']}' is {type(image).__name__} {image!r:.40}, expected a list of whole numbers"
    if labelled and not isinstance(row.get(columns["label"]), str | int):
        return f"'{columns['label']}' is {row.get(columns['label'])!r:.40}, expected a label name or number"
    return None


def encode(rows: Mapping[str, Sequence[object]], encoder: Encoder) -> Items:
    """The raw pixels and the label id, one item per row."""
    images = list(rows[encoder.columns["image"]])
    labels = classification.label_column(rows.get(encoder.columns["label"]), len(images), encoder.label_ids)
    columns = {
        _PIXELS: Column("input", "block"),
        classification.LABELS: Column("target", "scalar", pad=classification.NONE),
    }
    pixels = np.asarray(images, np.int64)
    return Items.of(columns, {_PIXELS: pixels, classification.LABELS: labels}, np.arange(len(images)))


def show(row: Mapping[str, object], columns: Mapping[str, str]) -> str:
    """The pixels as characters from light to dark, in lines if the image is square."""
    image = row[columns["image"]]
    assert isinstance(image, list)
    side = round(len(image) ** 0.5)
    shades = " .:-=+*#%@"
    darkest = max(*image, 1)
    text = "".join(shades[pixel * (len(shades) - 1) // darkest] for pixel in image)
    return "|".join(text[i : i + side] for i in range(0, len(text), side)) if side**2 == len(image) else text


TASK = Task(
    api=1,
    name="image-classification",
    version=2,
    data=TaskData(
        columns=DataColumns(("image",), "label"),
        tokens=False,
        problem=problem,
        label_names=classification.label_names,
        encode=encode,
        references=classification.references,
        show=show,
    ),
    model=TaskModel(
        auto_class=auto_class,
        scratch_config=scratch_config,
        configuration=classification.configuration,
        unsuitable=classification.unsuitable,
        outputs=("logits",),
        forward=classification.forward,
        answers=classification.answers,
        loss=classification.loss,
        logits=classification.logits,
        answers_of_logits=classification.answers_of_logits,
    ),
    judge=lambda spec: JUDGE,
    device="edgedistill.tasks._classification_device",
    snippets="edgedistill.bundling",
)
