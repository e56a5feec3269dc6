"""Sizes of a decoder: read off a configuration, scaled to another width, fitted to a number of parameters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgedistill.contracts.decoder_layout import DECODERS, HEADS, Axes, Axis, DecoderLayout
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

_LARGEST_STEP, _SMALLEST_STEP, _STEPS = 64, 8, 16
# Of the parameters that a shape could have at most.
_ENOUGH = 0.98


@dataclass(frozen=True)
class DecoderShape:
    """What decides how many parameters a decoder has, its vocabulary apart."""

    layers: int
    hidden_size: int
    heads: int
    key_value_heads: int
    """Each shared by a group of `heads / key_value_heads` heads."""
    head_size: int
    intermediate_size: int
    """Feed-forward neurons."""

    @property
    def group(self) -> int:
        """Heads that share one key-value head."""
        return self.heads // self.key_value_heads

    def size(self, axis: Axis) -> int | None:
        """How long an axis of a weight is; None for one that is never cut."""
        query, key_value = self.heads * self.head_size, self.key_value_heads * self.head_size
        sizes: dict[Axis, int] = {
            "hidden": self.hidden_size,
            "query": query,
            "key_value": key_value,
            "joined": query + 2 * key_value,
            "neurons": self.intermediate_size,
        }
        return sizes.get(axis)


def shape_of_decoder(config: PreTrainedConfig) -> DecoderShape:
    """The sizes of a decoder of a known family."""
    from edgedistill.model_sizes import shape_of

    found = shape_of(config)
    own_size = DECODERS[config.model_type].own_head_size and getattr(config, "head_dim", None)
    return DecoderShape(
        layers=found.layers,
        hidden_size=found.hidden_size,
        heads=found.heads,
        key_value_heads=found.key_value_heads or found.heads,
        head_size=own_size or found.hidden_size // found.heads,
        # None of GPT-2: four times the hidden size.
        intermediate_size=found.intermediate_size or 4 * found.hidden_size,
    )


def with_shape(config: PreTrainedConfig, layers: Sequence[int], shape: DecoderShape) -> PreTrainedConfig:
    """A copy of a decoder's configuration at these sizes, its layer j being `config`'s layer `layers[j]`."""
    from edgedistill.model_sizes import resized

    before, layout = shape_of_decoder(config), DECODERS[config.model_type]
    smaller = resized(config, layers)
    smaller.hidden_size = shape.hidden_size
    smaller.num_attention_heads = shape.heads
    if hasattr(config, "num_key_value_heads"):
        smaller.num_key_value_heads = shape.key_value_heads
    if layout.own_head_size and (hasattr(config, "head_dim") or shape.heads * shape.head_size != shape.hidden_size):
        smaller.head_dim = shape.head_size
    if getattr(config, "query_pre_attn_scalar", None) == before.head_size:
        smaller.query_pre_attn_scalar = shape.head_size
    name = "n_inner" if hasattr(config, "n_inner") else "intermediate_size"
    if getattr(config, name) is not None or shape.intermediate_size != 4 * shape.hidden_size:
        setattr(smaller, name, shape.intermediate_size)
    return smaller


def narrowed(
    config: PreTrainedConfig, layers: int, hidden_size: int, heads: int | None, intermediate_size: int | None
) -> DecoderShape:
    """A decoder's sizes at another width: as many groups of heads and neurons for it as before, unless given, and heads
    of the same dimensions.

    Raises:
        UserError: more of anything than the source has, heads that aren't whole groups, or sizes that the family can't
            have.
    """
    source = shape_of_decoder(config)
    found = replace(_proportional(config, hidden_size), layers=layers)
    if heads is not None:
        if heads % source.group:
            raise UserError(
                f"student.heads: got {heads}, expected a multiple of {source.group}, as many as share keys and values"
            )
        found = replace(found, heads=heads, key_value_heads=heads // source.group)
    if intermediate_size is not None:
        found = replace(found, intermediate_size=intermediate_size)
    for name in ("hidden_size", "heads", "intermediate_size"):
        new, old = getattr(found, name), getattr(source, name)
        if new > old:
            raise UserError(f"student.{name}: got {new}, expected at most the source's {old}")
    _check(config, found)
    return found


def from_nothing(
    config: PreTrainedConfig,
    layers: int,
    hidden_size: int,
    heads: int | None = None,
    key_value_heads: int | None = None,
    head_size: int | None = None,
    intermediate_size: int | None = None,
) -> DecoderShape:
    """The sizes of a decoder with random weights; what is None follows from the source's.

    Heads have the hidden size divided by their number where the source's have, else the source's own dimensions.

    Raises:
        UserError: sizes that the family can't have.
    """
    source = shape_of_decoder(config)
    found = replace(_proportional(config, hidden_size), layers=layers)
    if heads is not None:
        usual = hidden_size // heads if source.heads * source.head_size == source.hidden_size else source.head_size
        shared = key_value_heads or max(1, heads // source.group)
        found = replace(found, heads=heads, key_value_heads=shared, head_size=head_size or usual)
    if intermediate_size is not None:
        found = replace(found, intermediate_size=intermediate_size)
    _check(config, found)
    return found


def fitted(
    config: PreTrainedConfig,
    auto_class: AutoClass,
    parameters: int,
    layers: int | None = None,
    intermediate_size: int | None = None,
) -> DecoderShape:
    """The sizes of a decoder with at most so many parameters; depth and feed-forward width as given, if they are.

    At every depth and width the feed-forward neurons take what is left. Of the shapes that come within a fiftieth of
    the largest, it is the one whose depth, width and neurons keep most nearly the same share of the source's.

    Raises:
        UserError: more parameters or neurons than the source has, or fewer parameters than the smallest student takes.
    """
    from edgedistill.models import outline

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
    neurons = (min(_step(source), source.intermediate_size), source.intermediate_size)
    if intermediate_size is not None:
        neurons = (intermediate_size, intermediate_size)
    shapes = [replace(each, layers=depth, intermediate_size=neurons[0]) for depth in depths for each in _widths(config)]
    fitting = [
        _filled(each, neurons[1], parameters, count, _step(source)) for each in shapes if count(each) <= parameters
    ]
    if not fitting:
        least = min(count(each) for each in shapes)
        raise UserError(f"student.parameters: got {parameters}, expected at least {least}, what the smallest takes")
    enough = _ENOUGH * max(count(each) for each in fitting)
    return min(
        (each for each in fitting if count(each) >= enough),
        key=lambda each: (_imbalance(each, source, layers is None), -count(each), -each.layers),
    )


def counter(source: PreTrainedModel, layout: DecoderLayout) -> Callable[[DecoderShape], int]:
    """How many parameters a model like `source` has at other sizes, tied weights counted once.

    Raises:
        UserError: a weight whose axes aren't known.
    """
    from edgedistill.students._copy import layer_list

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
        UserError: a weight that the family doesn't have.
    """
    inside = name.removeprefix(f"{model.base_model_prefix}.")
    layer, known = None, {**layout.body, **HEADS}
    if name.startswith(f"{layers}."):
        number, inside = name.removeprefix(f"{layers}.").split(".", 1)
        layer, known = int(number), dict(layout.layer)
    if inside not in known:
        raise UserError(
            f"'{name}' is a weight that a '{model.config.model_type}' is not known to have, so it cannot be cut to "
            "size; use init: keep_layers"
        )
    return layer, known[inside]


def _widths(config: PreTrainedConfig) -> Iterator[DecoderShape]:
    """The source's sizes at every width that is considered, narrowest first, the source's own last."""
    source, layout = shape_of_decoder(config), DECODERS[config.model_type]
    step = _step(source) if layout.own_head_size else source.head_size
    for width in (*range(step, source.hidden_size, step), source.hidden_size):
        found = _proportional(config, width)
        if _fault(config, found) is None:
            yield found


def _proportional(config: PreTrainedConfig, hidden_size: int) -> DecoderShape:
    """The source at another width, with as many groups of heads and neurons for it as nearly as the family allows."""
    source, layout = shape_of_decoder(config), DECODERS[config.model_type]
    if hidden_size == source.hidden_size:
        return source
    ratio, step = hidden_size / source.hidden_size, _step(source)
    neurons = max(1, math.floor(source.intermediate_size * ratio / step + 0.5)) * step
    groups = max(1, hidden_size // source.head_size) if not layout.own_head_size else source.key_value_heads * ratio
    near = sorted(range(1, math.ceil(groups) + 1), key=lambda count: (abs(count - groups), -count))
    shapes = [
        replace(
            source,
            hidden_size=hidden_size,
            heads=count * source.group,
            key_value_heads=count,
            intermediate_size=min(neurons, source.intermediate_size) if ratio < 1 else neurons,
        )
        for count in near
    ]
    return next((each for each in shapes if _fault(config, each) is None), shapes[0])


def _check(config: PreTrainedConfig, shape: DecoderShape) -> None:
    if (fault := _fault(config, shape)) is not None:
        raise UserError(fault)


def _fault(config: PreTrainedConfig, shape: DecoderShape) -> str | None:
    """Why no model of the family can have these sizes, or None."""
    kind = config.model_type
    layout = DECODERS[kind]
    if shape.heads % shape.key_value_heads:
        return (
            f"student.heads: got {shape.heads}, expected a multiple of key_value_heads {shape.key_value_heads}, since "
            "as many heads share each of them"
        )
    if not layout.own_head_size and shape.hidden_size != shape.heads * shape.head_size:
        return (
            f"student.hidden_size: got {shape.hidden_size} with {shape.heads} heads, expected "
            f"{shape.heads * shape.head_size}: the heads of a '{kind}' have hidden_size / heads dimensions, which stay "
            f"{shape.head_size}"
        )
    if layout.divisible and shape.hidden_size % shape.heads:
        return (
            f"student.hidden_size: got {shape.hidden_size} with {shape.heads} heads, expected a multiple of them in a "
            f"'{kind}'; give another hidden_size, or heads"
        )
    if layout.own_head_size and shape.head_size % 2:
        return f"student.head_size: got {shape.head_size}, expected an even number: positions turn dimensions in pairs"
    return None


def _step(source: DecoderShape) -> int:
    """Widths are multiples of this, a power of two, for kernels and for blocks of quantized weights."""
    step = 1 << max(source.hidden_size // _STEPS, 1).bit_length() - 1
    return max(_SMALLEST_STEP, min(step, _LARGEST_STEP))


def _imbalance(shape: DecoderShape, source: DecoderShape, depth: bool) -> float:
    """How far the kept shares of width, neurons and, where it is free, depth are from each other: 0 where alike."""
    names = ("hidden_size", "intermediate_size", *(("layers",) if depth else ()))
    shares = [math.log(getattr(shape, name) / getattr(source, name)) for name in names]
    return max(shares) - min(shares)


def _filled(
    shape: DecoderShape, neurons: int, parameters: int, count: Callable[[DecoderShape], int], step: int
) -> DecoderShape:
    """With as many more feed-forward neurons, in steps, as the parameters allow, up to so many."""
    now = shape.intermediate_size
    by_one = count(replace(shape, intermediate_size=now + 1)) - count(shape)
    more = (parameters - count(shape)) // by_one
    return replace(shape, intermediate_size=neurons if now + more >= neurons else now + more // step * step)
