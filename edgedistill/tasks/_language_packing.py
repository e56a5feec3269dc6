"""Several short items in one row of a batch, none of which attends to another: the same outputs from fewer places.

`transformers` reads from positions that restart where another sequence begins, and lets no token attend across
(`masking_utils.find_packed_sequence_indices`): exact wherever all that mixes tokens is attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FAMILIES = frozenset({"gemma", "gemma2", "gemma3_text", "gpt2", "llama", "qwen2", "qwen3", "smollm3"})
"""Architectures (`model_type`) whose packed outputs are known to be the unpacked ones."""
_WORTH = 0.75
"""Rows are packed where they become no more than this share: a mask for them costs more than causal attention."""


@dataclass(frozen=True)
class Packed:
    """B right-padded items of T places in R rows of as many places."""

    tokens: torch.Tensor
    """(R, T)"""
    positions: torch.Tensor
    """(R, T) of each token in its item."""
    places: torch.Tensor
    """(B, T) where each item's places are among the R x T; of padding, any."""

    def unpacked(self, values: torch.Tensor) -> torch.Tensor:
        """(B, T, ...) of (R, T, ...); anything where there is padding."""
        return values.flatten(0, 1)[self.places]


def packed(tokens: torch.Tensor, mask: torch.Tensor) -> Packed | None:
    """The items of a batch in fewer rows; None where that isn't worth it.

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
    # Padding behind the last item of a row counts on, as a part of it that no token of it sees.
    first = torch.zeros_like(flat)
    first[start[:, 0]] = start[:, 0]
    first = first.view(len(rows), width)
    first[:, 0] = torch.arange(len(rows), device=tokens.device) * width
    positions = torch.arange(len(flat), device=tokens.device).view(len(rows), width) - first.cummax(1).values
    return Packed(flat.view(len(rows), width), positions, places)


def first_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Items by row, each in the first row that has room, longest first (first-fit decreasing, Johnson 1973)."""
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
