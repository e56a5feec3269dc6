from __future__ import annotations

import math

import pytest
import torch

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses.contrastive import contrastive
from edgedistill.losses.embedding import cosine, mse, similarity


def vectors(seed: int, width: int = 6, items: int = 5) -> torch.Tensor:
    return torch.randn(items, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("distance", [mse, cosine, similarity])
def test_zero_at_equality_positive_elsewhere_and_smooth(distance):
    a, b = vectors(1), vectors(2)
    assert distance(a, a).abs().max().item() == pytest.approx(0, abs=1e-9)
    assert distance(a, b).min() > 0
    assert torch.autograd.gradcheck(lambda x: distance(x, b), (a.requires_grad_(),))


def test_what_each_distance_ignores():
    a = vectors(1)
    assert cosine(a, 3 * a).max().item() == pytest.approx(0, abs=1e-9)
    rotation = torch.linalg.qr(vectors(9, 6, 6)).Q
    assert similarity(a, 2 * a @ rotation).max().item() == pytest.approx(0, abs=1e-9)
    assert mse(a, 3 * a).min() > 0


def test_contrastive_is_small_when_each_finds_its_own_and_log_b_by_chance():
    a = torch.eye(5, dtype=torch.float64)
    assert contrastive(a, a, 0.05) < 1e-6
    assert contrastive(a, torch.ones(5, 5, dtype=torch.float64), 0.05).item() == pytest.approx(math.log(5))
    b = vectors(2)
    assert torch.autograd.gradcheck(lambda x: contrastive(x, b, 0.5), (vectors(1).requires_grad_(),))


@pytest.mark.parametrize(
    ("kind", "settings", "parameters"),
    [
        ("embedding", {"distance": "mse"}, 4 * 6 + 6),
        ("embedding", {"distance": "cosine"}, 4 * 6 + 6),
        ("embedding", {"distance": "similarity"}, 0),
        ("contrastive", {}, 4 * 6 + 6),
    ],
)
def test_terms_pool_the_last_layer_over_real_tokens_and_project_where_needed(kind, settings, parameters):
    loss = registry.loss(kind)
    built = loss.build(loss.spec(kind=kind, **settings), ModelShape(1, 4), ModelShape(2, 6)).double()
    assert sum(parameter.numel() for parameter in built.parameters()) == parameters
    states = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.tensor([[1, 1], [1, 0], [1, 0]])
    padded = states.clone()
    padded[1:, 1] += 7
    found = []
    for hidden in (states, padded):
        given = {"student_hidden": (hidden,), "teacher_embedding_BE": vectors(3, 6, 3)}
        found.append(built(LossInputs(Dense(torch.zeros(3, 2)), torch.zeros(3), mask, **given)).item())
    assert found[0] == pytest.approx(found[1])


def test_settings_change_the_value():
    a, b = vectors(1), vectors(2)
    assert contrastive(a, b, 0.05).item() != pytest.approx(contrastive(a, b, 0.5).item())
