"""Which layers' outputs a model reads for its first token alone, found by gradients.

Exporters compute those for that token alone (`exporters/onnx_one_token.py`), so a file's scales that cover an input's
tokens cover this one there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

_ITEMS = 2
"""Of a batch that are looked at."""


@dataclass
class FirstTokenReaders:
    """The linear layers of a model of which only the first token's output (B, 1, N) reaches the logits."""

    layers: frozenset[nn.Module] | None = None
    """None until an input with several tokens was seen."""

    def __contains__(self, layer: nn.Module) -> bool:
        return self.layers is not None and layer in self.layers

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Look at the first input that the model is given."""
        hook = model.register_forward_pre_hook(self._look, with_kwargs=True)
        try:
            yield
        finally:
            hook.remove()

    def _look(self, model: nn.Module, _: tuple[object, ...], inputs: Mapping[str, object]) -> None:
        if self.layers is None and _tokens(inputs) > 1:
            self.layers = frozenset()  # while looking, which runs the model itself
            self.layers = read_for_the_first_token(model, inputs)


def read_for_the_first_token(model: nn.Module, inputs: Mapping[str, object]) -> frozenset[nn.Module]:
    """Linear layers whose outputs (B, T, N) change the logits at the first token only, in every call (layers that share
    their weights call them several times). Random numbers and gradients are left as they were.

    Args:
        inputs: of the forward pass; tensors are (B, ...), T > 1.
    """
    seen: list[tuple[nn.Module, torch.Tensor]] = []

    def note(layer: nn.Module, _: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if output.ndim == 3 and output.requires_grad:
            seen.append((layer, output))

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if isinstance(layer, nn.Linear)]
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(_accelerators(inputs)):
        try:
            logits = getattr(model(**{name: _first_items(value) for name, value in inputs.items()}), "logits", None)
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(logits, torch.Tensor) or not seen:
            return frozenset()
        slopes = torch.autograd.grad(logits.float().square().sum(), [output for _, output in seen], allow_unused=True)
    called = list(zip((layer for layer, _ in seen), slopes, strict=True))
    more = {layer for layer, slope in called if slope is None or slope[:, 1:].any() or not slope[:, :1].any()}
    return frozenset(layer for layer, _ in called) - more


def _tokens(inputs: Mapping[str, object]) -> int:
    return max(
        (value.shape[1] for value in inputs.values() if isinstance(value, torch.Tensor) and value.ndim > 1), default=0
    )


def _accelerators(inputs: Mapping[str, object]) -> list[torch.device]:
    """The CUDA devices that inputs are on."""
    devices = {value.device for value in inputs.values() if isinstance(value, torch.Tensor)}
    return [device for device in devices if device.type == "cuda"]


def _first_items(value: object) -> object:
    """Copied, since what was made in inference mode cannot be differentiated."""
    return value[:_ITEMS].clone() if isinstance(value, torch.Tensor) else value
