"""Packs several short items into one row without attention between them: the same outputs with less padding.

`transformers` detects packed sequences from restarting positions, and blocks attention across them
(`masking_utils.find_packed_sequence_indices`): exact if only attention mixes tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FAMILIES = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "llama", "qwen2", "qwen3", "smollm3"})
"""Architectures (`model_type`) with packed outputs known to equal unpacked ones."""
_WORTH = 0.75
"""Pack only if the rows shrink to this share, since the mask costs more than causal attention."""


@dataclass(frozen=True)
class Packed:
    """B right-padded items of length T in R rows of the same length."""

    tokens: torch.Tensor
    """(R, T)"""
    positions: torch.Tensor
    """(R, T) position of each token in its item."""
    places: torch.Tensor
    """(B, T) index of each item's positions among the R x T; arbitrary for padding."""

    def unpacked(self, values: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) from (R, T, ...); arbitrary on padding."""
        return values.flatten(0, 1)[self.places]


def packed(tokens: torch.Tensor, mask: torch.Tensor) -> Packed | None:
    """The items of a batch in fewer rows; None if that is not worthwhile.

    Args:
        tokens: (B, T) padded on the right.
        mask: (B, T) 1 on real tokens.
    """
    import torch

    lengths = mask.sum(1).tolist()
    width = tokens.shape[1]
    rows = first_fit(lengths, width)
    if len(rows) > _WORTH * len(lengths):
        return None
    starts = [0] * len(lengths)
    for number, row in enumerate(rows):
        place = number * width
        for item in row:
            starts[item], place = place, place + lengths[item]
    along = torch.arange(width, device=tokens.device)
    start = torch.tensor(starts, device=tokens.device)[:, None]
    places = (start + along).clamp(max=len(rows) * width - 1)
    real = mask.bool()
    flat = tokens.new_zeros(len(rows) * width)
    flat[places[real]] = tokens[real]
    # Padding after a row's last item continues its positions; none of its tokens attends to it.
    first = torch.zeros_like(flat)
    first[start[:, 0]] = start[:, 0]
    first = first.view(len(rows), width)
    first[:, 0] = torch.arange(len(rows), device=tokens.device) * width
    positions = torch.arange(len(flat), device=tokens.device).view(len(rows), width) - first.cummax(1).values
    return Packed(flat.view(len(rows), width), positions, places)


def first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Items by row: first-fit decreasing (Johnson 1973)."""
    rows: list[list[int]] = []
    room: list[int] = []
    for item in sorted(range(len(lengths)), key=lambda item: -lengths[item]):
        row = next((number for number, free in enumerate(room) if free >= lengths[item]), None)
        if row is None:
            rows.append([item])
            room.append(width - lengths[item])
        else:
            rows[row].append(item)
            room[row] -= lengths[item]
    return rows
