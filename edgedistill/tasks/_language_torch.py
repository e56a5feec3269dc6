"""Token-by-token decoding with a PyTorch model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Booleans, Floats, Integers
from edgedistill.device.decoding import positions_of

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel


class TorchDecoder:
    """Keeps the KV cache of a `transformers` model. Shapes: B texts, T new tokens, P previous tokens, V vocabulary
    size."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self._cache: DynamicCache | None = None
        self._tokens: Integers = np.zeros((0, 0), np.int64)
        self._real: Booleans = np.zeros((0, 0), np.bool_)

    @property
    def tokens(self) -> Integers:
        """(B, P)."""
        return self._tokens

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(B, T, V)."""
        import torch

        new = np.ones(tokens.shape, np.bool_) if real is None else real
        started = self._cache is not None
        self._tokens = np.concatenate([self._tokens, tokens], axis=1) if started else tokens
        self._real = np.concatenate([self._real, new], axis=1) if started else new
        positions = positions_of(self._real)[:, -tokens.shape[1] :]
        device = next(self._model.parameters()).device
        given, mask, places = (torch.from_numpy(array).to(device) for array in (tokens, self._real, positions))
        with torch.inference_mode():
            found = self._model(
                input_ids=given,
                attention_mask=mask.long(),
                position_ids=places,
                past_key_values=self._cache,
                use_cache=True,
            )
        self._cache = found.past_key_values
        logits: Floats = found.logits.float().cpu().numpy()
        return logits

    def rewind(self, count: int) -> None:
        """Keep only the first tokens."""
        if count == 0:
            self._cache = None
        elif self._cache is not None and count < self._tokens.shape[1]:
            self._cache.crop(count - self._tokens.shape[1])
        self._tokens, self._real = self._tokens[:, :count], self._real[:, :count]
