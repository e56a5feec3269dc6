"""The shape of a decoder of a number of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgedistill.contracts.decoder_layout import DECODERS
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.students._decoder_shape import DecoderShape, fault, proportional, shape_of_decoder, step
from edgedistill.students._decoder_weights import counter

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

# Share of the parameter budget.
_ENOUGH = 0.98


def fitted(
    config: PreTrainedConfig,
    auto_class: AutoClass,
    parameters: int,
    layers: int | None = None,
    intermediate_size: int | None = None,
) -> DecoderShape:
    """The sizes of a decoder with at most that many parameters, with depth and feed-forward width if given.

    At every depth and width, feed-forward neurons use the rest of the budget. Among shapes within 2% of the largest,
    chooses the one whose depth, width and neurons are closest to proportional to the source's.

    Raises:
        UserError: more parameters or neurons than the source has, or fewer parameters than the smallest student.
    """
    from edgedistill.models.loading import outline

    source = shape_of_decoder(config)
    count = counter(outline(auto_class, config), DECODERS[config.model_type])
    if parameters > count(source):
        raise UserError(f"student.parameters: got {parameters}, expected at most the source's {count(source)}")
    if intermediate_size is not None and intermediate_size > source.intermediate_size:
        raise UserError(
            f"student.intermediate_size: got {intermediate_size}, expected at most the source's "
            f"{source.intermediate_size}"
        )
    depths = range(1, source.layers + 1) if layers is None else (layers,)
    neurons = (min(step(source), source.intermediate_size), source.intermediate_size)
    if intermediate_size is not None:
        neurons = (intermediate_size, intermediate_size)
    widths = list(_widths(config))
    shapes = [replace(shape, layers=depth, intermediate_size=neurons[0]) for depth in depths for shape in widths]
    fitting = [
        _filled(shape, neurons[1], parameters, count, step(source)) for shape in shapes if count(shape) <= parameters
    ]
    if not fitting:
        least = min(count(shape) for shape in shapes)
        raise UserError(
            f"student.parameters: got {parameters}, expected at least {least}, the smallest possible student"
        )
    enough = _ENOUGH * max(count(shape) for shape in fitting)
    return min(
        (shape for shape in fitting if count(shape) >= enough),
        key=lambda shape: (_imbalance(shape, source, layers is None), -count(shape), -shape.layers),
    )


def _widths(config: PreTrainedConfig) -> Iterator[DecoderShape]:
    """The source's sizes at every candidate width, narrowest first, ending with the source's own."""
    source, layout = shape_of_decoder(config), DECODERS[config.model_type]
    block = step(source) if layout.own_head_size else source.head_size
    for width in (*range(block, source.hidden_size, block), source.hidden_size):
        found = proportional(config, width)
        if fault(config, found) is None:
            yield found


def _imbalance(shape: DecoderShape, source: DecoderShape, depth: bool) -> float:
    """Deviation between the kept shares of width, neurons and, if free, depth; 0 if equal."""
    names = ("hidden_size", "intermediate_size", *(("layers",) if depth else ()))
    shares = [math.log(getattr(shape, name) / getattr(source, name)) for name in names]
    return max(shares) - min(shares)


def _filled(
    shape: DecoderShape, neurons: int, parameters: int, count: Callable[[DecoderShape], int], block: int
) -> DecoderShape:
    """With as many feed-forward neurons, in steps, as the budget and the maximum allow."""
    now = shape.intermediate_size
    by_one = count(replace(shape, intermediate_size=now + 1)) - count(shape)
    more = (parameters - count(shape)) // by_one
    return replace(shape, intermediate_size=neurons if now + more >= neurons else now + more // block * block)
