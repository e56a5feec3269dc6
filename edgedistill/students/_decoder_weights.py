"""The axes of a decoder's weights, and its parameter count at other sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from edgedistill.contracts.decoder_layout import HEADS, Axes, DecoderLayout
from edgedistill.contracts.model_layers import layer_list
from edgedistill.errors import UserError
from edgedistill.students._decoder_shape import DecoderShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def counter(source: PreTrainedModel, layout: DecoderLayout) -> Callable[[DecoderShape], int]:
    """The parameter count of a model like `source` at other sizes, counting tied weights once.

    Raises:
        UserError: a weight with unknown axes.
    """
    layers = layer_list(source)
    once: list[tuple[Axes, tuple[int, ...]]] = []
    each_layer: list[tuple[Axes, tuple[int, ...]]] = []
    for name, weight in source.named_parameters():
        layer, axes = axes_of(name, source, layers, layout)
        if layer is None:
            once.append((axes, tuple(weight.shape)))
        elif layer == 0:
            each_layer.append((axes, tuple(weight.shape)))

    def total(weights: list[tuple[Axes, tuple[int, ...]]], shape: DecoderShape) -> int:
        return sum(
            math.prod(
                old if (size := shape.size(axis)) is None else size for axis, old in zip(axes, sizes, strict=True)
            )
            for axes, sizes in weights
        )

    return lambda shape: total(once, shape) + shape.layers * total(each_layer, shape)


def axes_of(name: str, model: PreTrainedModel, layers: str, layout: DecoderLayout) -> tuple[int | None, Axes]:
    """The layer of a weight, None outside the layers, and its axes.

    Raises:
        UserError: an unknown weight for the family.
    """
    inside = name.removeprefix(f"{model.base_model_prefix}.")
    layer, known = None, {**layout.body, **HEADS}
    if name.startswith(f"{layers}."):
        number, inside = name.removeprefix(f"{layers}.").split(".", 1)
        layer, known = int(number), dict(layout.layer)
    if inside not in known:
        raise UserError(
            f"'{name}' is not a known weight of a '{model.config.model_type}', so it cannot be cut to size; "
            "use init: keep_layers"
        )
    return layer, known[inside]
