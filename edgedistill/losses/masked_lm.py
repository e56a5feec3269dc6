"""Masked language modelling: the encoder's own objective, without labels (BERT, Devlin et al. 2019, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from edgedistill.interfaces import LossInputs, ModelSizes
from edgedistill.losses._rows import full
from edgedistill.spec import Spec

if TYPE_CHECKING:
    import torch

VERSION = 1
NEEDS = frozenset({"masked"})


class MaskedLmSpec(Spec):
    """`masked_lm`: guess `probability` of the tokens; the head is the stage's own and shares the token embeddings."""

    kind: Literal["masked_lm"]
    weight: float = Field(1.0, gt=0)
    probability: float = Field(0.15, gt=0, lt=1)


SPEC = MaskedLmSpec


def mask_tokens(
    tokens_BT: torch.Tensor,  # noqa: N803
    maskable_BT: torch.Tensor,  # noqa: N803
    probability: float,
    mask_token: int,
    vocabulary: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(inputs, targets), both (B, T): of the chosen tokens 80% are masked, 10% random, 10% kept; -100 elsewhere."""
    import torch

    draw = torch.rand(tokens_BT.shape, device=tokens_BT.device)
    chosen = (draw < probability) & maskable_BT
    targets = tokens_BT.masked_fill(~chosen, -100)
    share = draw / probability
    inputs = tokens_BT.masked_fill(chosen & (share < 0.8), mask_token)
    noise = torch.randint_like(tokens_BT, vocabulary)
    return torch.where(chosen & (share >= 0.8) & (share < 0.9), noise, inputs), targets


def masked_lm(logits_KV: torch.Tensor, targets_K: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """Mean cross-entropy over the chosen tokens, in nats; zero when none was chosen."""
    from torch.nn import functional

    if len(targets_K) == 0:
        return logits_KV.sum() * 0
    return functional.cross_entropy(full(logits_KV), targets_K)


def build(spec: MaskedLmSpec, student: ModelSizes, teacher: ModelSizes | None = None) -> torch.nn.Module:
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
            chosen = view.targets_BT != -100
            states = self.transform(view.hidden_BTH[chosen])
            return masked_lm(states @ view.embeddings_VE.T.to(states.dtype) + self.bias, view.targets_BT[chosen])

    return MaskedLm()
