"""Shared by targets for causal language models: which models are supported, and comparison with PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Floats, Integers
from edgedistill.contracts.target import ShapeCheck
from edgedistill.device.decoding import LAYOUT, Decoder, decoder_of, positions_of
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.exporting.jobs import TOLERANCE

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from edgedistill.contracts.driver import Graph
    from edgedistill.contracts.target import FileRequest
    from edgedistill.contracts.tensors import Tensors

_SHAPES = ((1, 1), (1, 16), (3, 37), (1, None))


def is_causal(model: PreTrainedModel) -> bool:
    """Whether a model is a decoder with a language-model head."""
    return bool(model.can_generate()) and not model.config.is_encoder_decoder


def refuse_others(request: FileRequest, target: str) -> None:
    """Check for targets that only support causal language models.

    Raises:
        RefusedError: the model is not one.
    """
    if not is_causal(request.model()):
        raise RefusedError(
            f"target {target}: it only supports text-generation models; '{request.model().config.model_type}' with the "
            "head of this task is not one"
        )


def tie(model: PreTrainedModel) -> bool:
    """Tie a head that equals the token table, whatever the configuration says, so that it is stored once, and say
    whether it is tied."""
    import torch

    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and head.weight is not table.weight and torch.equal(head.weight, table.weight):
        head.weight = table.weight
    return head is not None and head.weight is table.weight


def compare(
    request: FileRequest, target: str, graph: Graph, *, batches: bool = True, tolerance: float = TOLERANCE
) -> tuple[ShapeCheck, ...]:
    """Compare all logits of a file with PyTorch's, in one pass and when continuing from half of a text and from all but
    its last token; texts of a batch are padded on the left.

    Args:
        batches: whether the file supports batches.

    Raises:
        EdgedistillError: logits of another shape, or a difference above the tolerance.
    """
    model, longest, checks = request.model(), request.max_length, []
    shapes = [(batch, min(width or longest, longest)) for batch, width in _SHAPES if batches or batch == 1]
    for batch, width in dict.fromkeys(shapes):
        tokens = request.samples(batch, width)[model.main_input_name].numpy()
        real = np.arange(width)[None] >= np.arange(batch)[:, None] * width // (batch + 1)
        expected = _of_torch(request, model, tokens, real)
        splits = {0, width - 1, *([width // 2] if batch == 1 else [])}
        worst = float(np.max([_difference(decoder_of(graph), target, tokens, real, expected, kept) for kept in splits]))
        if not worst <= tolerance:
            raise EdgedistillError(
                f"target {target}: at batch {batch}, length {width} the file differs from PyTorch by {worst:.3g}, "
                f"expected at most {tolerance:g}"
            )
        checks.append(ShapeCheck(batch, width, worst))
    return tuple(checks)


def _of_torch(request: FileRequest, model: PreTrainedModel, tokens: Integers, real: Booleans) -> Floats:
    import torch

    given: Tensors = {
        LAYOUT.tokens: torch.from_numpy(tokens),
        LAYOUT.mask: torch.from_numpy(real.astype(np.int64)),
        LAYOUT.positions: torch.from_numpy(positions_of(real)),
    }
    with torch.no_grad():
        logits: Floats = request.forward(model, given)[LAYOUT.logits].float().numpy()
    return logits


def _difference(decoder: Decoder, target: str, tokens: Integers, real: Booleans, expected: Floats, kept: int) -> float:
    """The largest difference outside padding with that many tokens in the cache; NaN if any is NaN."""
    padding = None if real.all() else real
    if kept:
        decoder.advance(tokens[:, :kept], None if padding is None else padding[:, :kept])
    found = decoder.advance(tokens[:, kept:], None if padding is None else padding[:, kept:])
    wanted = expected[:, kept:]
    if found.shape != wanted.shape:
        raise EdgedistillError(f"target {target}: the file returns logits of {found.shape}, PyTorch of {wanted.shape}")
    return float(np.max(np.abs(found - wanted)[real[:, kept:]]))
