from __future__ import annotations

import math

import pytest
import torch

from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs, MaskedView
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses.masked_lm import MaskedLmSpec, build, masked_lm
from edgedistill.training.masking import mask_tokens


def masked(probability: float, seed: int = 0):
    torch.manual_seed(seed)
    tokens = torch.randint(5, 1000, (200, 50))
    maskable = torch.ones_like(tokens, dtype=torch.bool)
    maskable[:, 0] = False
    return tokens, mask_tokens(tokens, maskable, probability, 4, 1000)


def test_the_shares_are_berts():
    tokens, (inputs, targets) = masked(0.15)
    chosen = targets >= 0
    assert chosen.float().mean().item() == pytest.approx(0.15 * 49 / 50, rel=0.1)
    assert (inputs[chosen] == 4).float().mean().item() == pytest.approx(0.8, abs=0.03)
    assert (inputs[chosen] == tokens[chosen]).float().mean().item() == pytest.approx(0.1, abs=0.03)
    assert torch.equal(inputs[~chosen], tokens[~chosen])
    assert torch.equal(targets[chosen], tokens[chosen])


def test_special_tokens_are_never_chosen_and_the_seed_decides():
    _, (inputs, targets) = masked(0.5)
    assert (targets[:, 0] == -1).all()
    assert torch.equal(masked(0.5)[1][0], inputs)
    assert not torch.equal(masked(0.5, seed=1)[1][0], inputs)


def test_the_value_is_the_cross_entropy_and_zero_without_targets():
    assert masked_lm(torch.zeros(3, 8), torch.tensor([1, 2, 3])).item() == pytest.approx(math.log(8))
    nothing = torch.zeros(0, 8, requires_grad=True)
    assert masked_lm(nothing, torch.zeros(0, dtype=torch.long)).item() == 0


def test_the_term_guesses_through_the_students_own_embeddings():
    term = build(MaskedLmSpec(kind="masked_lm", probability=0.3), ModelShape(1, 6, vocabulary=9, embedding_size=4))
    assert sum(parameter.numel() for parameter in term.parameters()) == 6 * 4 + 4 + 2 * 4 + 9
    embeddings = torch.randn(9, 4, requires_grad=True)
    asked = []

    def view(probability: float) -> MaskedView:
        asked.append(probability)
        targets = torch.tensor([[3, -1], [-1, 5]])
        return MaskedView(torch.randn(2, 2, 6), targets, embeddings)

    nothing = torch.empty(0)
    term(LossInputs(Dense(nothing), nothing, torch.ones(2, 2), mask_some=view)).backward()
    assert asked == [0.3]
    assert embeddings.grad.abs().sum() > 0
