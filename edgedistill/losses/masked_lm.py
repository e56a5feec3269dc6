"""Masked language modelling: the encoder's own objective, without labels (BERT, Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.contracts.distribution import full
from edgedistill.contracts.loss import Loss, LossInputs, LossSpec
from edgedistill.contracts.model_shape import ModelShape

if TYPE_CHECKING:
    import torch


class MaskedLmSpec(LossSpec):
    """`masked_lm`: masked language modelling, with a temporary head tied to the token embeddings."""

    kind: Literal["masked_lm"]
    probability: float = Field(0.15, gt=0, lt=1)
    """Fraction of tokens to mask."""


def masked_lm(logits_KV: torch.Tensor, targets_K: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean cross-entropy over the masked tokens, in nats; zero if there are none."""
    from torch.nn import functional

    if len(targets_K) == 0:
        return logits_KV.sum() * 0
    return functional.cross_entropy(full(logits_KV), targets_K)


def build(spec: MaskedLmSpec, student: ModelShape, teacher: ModelShape | None = None) -> torch.nn.Module:
    """The loss term with BERT's prediction head: dense, GELU, normalisation, then the token embeddings and a bias."""
    import torch

    width = student.embedding_size

    class MaskedLm(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.transform = torch.nn.Sequential(
                torch.nn.Linear(student.hidden_size, width), torch.nn.GELU(), torch.nn.LayerNorm(width)
            )
            self.bias = torch.nn.Parameter(torch.zeros(student.vocabulary))

        def forward(self, inputs: LossInputs) -> torch.Tensor:
            assert inputs.mask_some is not None, "the trainee gives every masked_lm loss its masked view"
            view = inputs.mask_some(spec.probability)
            chosen = view.targets_BT >= 0
            states = self.transform(view.hidden_BTH[chosen])
            return masked_lm(states @ view.embeddings_VE.T.to(states.dtype) + self.bias, view.targets_BT[chosen])

    return MaskedLm()


LOSS = Loss(api=1, version=1, spec=MaskedLmSpec, needs=frozenset({"masked"}), build=build)
