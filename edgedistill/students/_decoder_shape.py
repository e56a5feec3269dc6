"""Sizes of a decoder: read from a configuration, changed, and written back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgedistill.contracts.decoder_layout import DECODERS, Axis
from edgedistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_LARGEST_STEP, _SMALLEST_STEP, _STEPS = 64, 8, 16


@dataclass(frozen=True)
class DecoderShape:
    """Everything except the vocabulary that determines a decoder's number of parameters."""

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
        """The length of a weight's axis; None for one that is never cut."""
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
    from edgedistill.models.sizes import shape_of

    found = shape_of(config)
    own_size = DECODERS[config.model_type].own_head_size and getattr(config, "head_dim", None)
    return DecoderShape(
        layers=found.layers,
        hidden_size=found.hidden_size,
        heads=found.heads,
        key_value_heads=found.key_value_heads or found.heads,
        head_size=own_size or found.hidden_size // found.heads,
        # None for GPT-2: four times the hidden size.
        intermediate_size=found.intermediate_size or 4 * found.hidden_size,
    )


def with_shape(config: PreTrainedConfig, layers: Sequence[int], shape: DecoderShape) -> PreTrainedConfig:
    """A copy of a decoder's configuration with these sizes; its layer j is `config`'s layer `layers[j]`."""
    from edgedistill.models.sizes import resized

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
    """A decoder's sizes at another width: head groups and neurons in proportion unless given, and heads of the same
    size.

    Raises:
        UserError: more of anything than the source has, incomplete head groups, or sizes that the family does not
            support.
    """
    source = shape_of_decoder(config)
    found = replace(proportional(config, hidden_size), layers=layers)
    if heads is not None:
        if heads % source.group:
            raise UserError(
                f"student.heads: got {heads}, expected a multiple of {source.group}, the number of heads that share "
                "keys and values"
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
    """The sizes of a decoder with random weights; those that are None follow from the source's.

    The head size is the hidden size divided by the heads if it is in the source, otherwise the source's.

    Raises:
        UserError: sizes that the family does not support.
    """
    source = shape_of_decoder(config)
    found = replace(proportional(config, hidden_size), layers=layers)
    if heads is not None:
        usual = hidden_size // heads if source.heads * source.head_size == source.hidden_size else source.head_size
        shared = key_value_heads or max(1, heads // source.group)
        found = replace(found, heads=heads, key_value_heads=shared, head_size=head_size or usual)
    if intermediate_size is not None:
        found = replace(found, intermediate_size=intermediate_size)
    _check(config, found)
    return found


def proportional(config: PreTrainedConfig, hidden_size: int) -> DecoderShape:
    """The source at another width, with head groups and neurons as close to proportional as the family allows."""
    source, layout = shape_of_decoder(config), DECODERS[config.model_type]
    if hidden_size == source.hidden_size:
        return source
    ratio, block = hidden_size / source.hidden_size, step(source)
    neurons = max(1, math.floor(source.intermediate_size * ratio / block + 0.5)) * block
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
    return next((shape for shape in shapes if fault(config, shape) is None), shapes[0])


def _check(config: PreTrainedConfig, shape: DecoderShape) -> None:
    if (reason := fault(config, shape)) is not None:
        raise UserError(reason)


def fault(config: PreTrainedConfig, shape: DecoderShape) -> str | None:
    """Why the family does not support these sizes, or None."""
    kind = config.model_type
    layout = DECODERS[kind]
    if shape.heads % shape.key_value_heads:
        return (
            f"student.heads: got {shape.heads}, expected a multiple of key_value_heads {shape.key_value_heads}, since "
            "each is shared by the same number of heads"
        )
    if not layout.own_head_size and shape.hidden_size != shape.heads * shape.head_size:
        return (
            f"student.hidden_size: got {shape.hidden_size} with {shape.heads} heads of {shape.head_size} dimensions, "
            f"expected {shape.heads * shape.head_size}, since a '{kind}' splits its width among its heads"
        )
    if layout.divisible and shape.hidden_size % shape.heads:
        return (
            f"student.hidden_size: got {shape.hidden_size} with {shape.heads} heads, expected a multiple of the heads "
            f"in a '{kind}'; change hidden_size or heads"
        )
    if layout.own_head_size and shape.head_size % 2:
        return f"student.head_size: got {shape.head_size}, expected an even number for rotary embeddings"
    return None


def step(source: DecoderShape) -> int:
    """Widths are multiples of this power of two, for kernels and quantization blocks."""
    return max(_SMALLEST_STEP, min(1 << max(source.hidden_size // _STEPS, 1).bit_length() - 1, _LARGEST_STEP))
