"""The floating-point operations of distilling a decoder, by formula, and what a device can do."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from transformers import PreTrainedConfig, PreTrainedModel


@dataclass(frozen=True)
class Work:
    """Operations per token."""

    student: float
    """Forward and backward, with its head."""
    teacher_body: float
    """Forward, without its head."""
    teacher_head: float

    @property
    def live(self) -> float:
        """With the teacher in the loop."""
        return self.student + self.teacher_body + self.teacher_head

    @property
    def recorded(self) -> float:
        """From recorded hidden states, to which the teacher's head is still applied."""
        return self.student + self.teacher_head


def work(student: PreTrainedModel, teacher: PreTrainedModel, length: int) -> Work:
    """Of training on soft targets, per token of sequences of `length`.

    Two operations for each weight that is multiplied in a forward pass, four more in a backward pass (Kaplan et al.
    2020, section 2.1); recomputation, normalisation, softmax and the loss are not counted.
    """
    head = 2.0 * _head(teacher)
    return Work(3 * _forward(student, length), _forward(teacher, length) - head, head)


def _forward(model: PreTrainedModel, length: int) -> float:
    """Operations per token: weights of linear layers, the head, and attention, of which causality needs half."""
    multiplied = sum(
        layer.weight.numel() for name, layer in model.base_model.named_modules() if isinstance(layer, torch.nn.Linear)
    )
    config = model.config
    attention = 4.0 * config.num_hidden_layers * _attention_width(config) * length / 2
    return 2.0 * (multiplied + _head(model)) + attention


def _attention_width(config: PreTrainedConfig) -> int:
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(size * config.num_attention_heads)


def _head(model: PreTrainedModel) -> int:
    layer = model.get_output_embeddings()
    assert layer is not None, "a causal model has a head"
    return int(layer.weight.numel())


def peak_flops(device: str, size: int, seconds: float = 1.0) -> float:
    """Operations per second of a large product in bf16, the best of those within some seconds."""
    one, other = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        _wait(device)
        begun = time.perf_counter()
        one @ other
        _wait(device)
        best = min(best, time.perf_counter() - begun)
    return 2.0 * size**3 / best


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
