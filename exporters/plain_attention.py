"""Attention written out: two products, a scale, an added mask and a softmax.

The attention of `transformers` traces to comparisons, selections and a mask per head, which cost time on a device and
which some converters refuse. Here the mask is an addend, computed once from the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import TYPE_CHECKING

import torch
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, bidirectional_mask_function

from edgedistill.errors import RefusedError
from edgedistill.exporting.jobs import with_forward

if TYPE_CHECKING:
    from torch import nn

    from edgedistill.contracts.target import FileRequest
    from edgedistill.contracts.tensors import Tensors

NAME = "edgedistill-plain"
"""Its name among the attention implementations of `transformers`."""
MASK = "attention_mask"
"""The mask's name in every `transformers` model."""
MASKED = -1e4
"""Added to a masked score: within fp16's range, and low enough for a probability of 0 in fp32."""
_TOLERANCE = 1e-4
"""Of fp32 sums in another order."""
given: ContextVar[Tensors] = ContextVar("given")
"""The inputs of the forward pass that is running, since the mask that reaches attention has been cast and expanded."""


@contextmanager
def plain_attention(request: FileRequest, sample: Tensors) -> Iterator[bool]:
    """Write out the attention of the request's model while the context lasts.

    Yields whether it is written out. A model keeps its own attention if that is not one of `transformers`'
    implementations, masks more than padding, or if the plain one would answer differently (position biases, sinks).

    Args:
        sample: inputs (B, T) by name for comparing the two, B >= 2 and T >= 2.
    """
    model, padded = request.model(), _padded(sample)
    with torch.no_grad():
        expected = request.forward(model, padded)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    forward = model.forward

    @wraps(forward)
    def noting(**inputs: torch.Tensor) -> object:
        given.set({**inputs, MASK: inputs[MASK].float()} if MASK in inputs else inputs)
        return forward(**inputs)

    try:
        with with_forward(model, noting):
            same = _agrees(request, padded, expected)
            if not same:
                model.set_attn_implementation(before)
            yield same
    finally:
        model.set_attn_implementation(before)


def _padded(sample: Tensors) -> Tensors:
    """The same, with the second half of the last item masked."""
    if MASK not in sample:
        return sample
    mask = sample[MASK].clone()
    mask[-1, mask.shape[1] // 2 + 1 :] = 0
    return {**sample, MASK: mask}


def _agrees(request: FileRequest, inputs: Tensors, expected: Tensors) -> bool:
    try:
        with torch.no_grad():
            found = request.forward(request.model(), inputs)
    except RefusedError:
        return False
    return all(torch.allclose(found[name], expected[name], atol=_TOLERANCE) for name in request.outputs)


def _mask(*, mask_function: object, **_: object) -> torch.Tensor | None:
    """(B, 1, 1, T) of 0 and `MASKED`, computed from the input.

    Raises:
        RefusedError: the model masks more than padding.
    """
    if mask_function is not bidirectional_mask_function:
        raise RefusedError("its attention masks more than padding")
    mask_BT = given.get().get(MASK)  # noqa: N806
    return None if mask_BT is None else (1.0 - mask_BT)[:, None, None, :] * MASKED


def _attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **_: object,
) -> tuple[torch.Tensor, torch.Tensor]:
    """From queries, keys and values (B, heads, T, size), the attention output (B, T, heads, size), and the weights."""
    scores = torch.matmul(query, key.transpose(2, 3)) * (query.size(-1) ** -0.5 if scaling is None else scaling)
    shares = torch.softmax(scores if attention_mask is None else scores + attention_mask, dim=-1)
    return torch.matmul(shares, value).transpose(1, 2), shares


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _mask)
