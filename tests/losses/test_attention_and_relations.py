from __future__ import annotations

from typing import Any

import pytest
import torch

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.errors import UserError
from edgedistill.losses.attention_mse import attention_mse
from edgedistill.losses.minilm_relations import relation_distance, relations

MASK = torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]])
EMPTY: dict[str, Any] = {"student": Dense(torch.zeros(2, 2)), "known_R": torch.zeros(2), "mask_BT": MASK}


def attention(seed: int, heads: int = 2) -> torch.Tensor:
    scores = torch.randn(2, heads, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return scores.softmax(-1)


def values(seed: int, width: int = 8) -> torch.Tensor:
    return torch.randn(2, 4, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def term(kind: str, student: ModelShape, teacher: ModelShape, **settings: Any):
    loss = registry.loss(kind)
    return loss.build(loss.spec(kind=kind, **settings), student, teacher)


def test_attention_zero_at_equality_and_padding_changes_nothing():
    a, b = attention(1), attention(2)
    changed = a.clone()
    changed[:, :, 3, :] += 1
    changed[:, :, :, 3] += 1
    changed[1, :, 2, :] += 1
    changed[1, :, :, 2] += 1
    assert attention_mse(a, a, MASK) == 0
    assert attention_mse(changed, b, MASK).item() == pytest.approx(attention_mse(a, b, MASK).item())
    assert torch.autograd.gradcheck(lambda x: attention_mse(x, b, MASK), (a.requires_grad_(),))


def test_attention_needs_equal_heads_or_their_mean():
    small, large = ModelShape(1, 8, heads=2), ModelShape(2, 12, heads=3)
    with pytest.raises(
        UserError, match="2 heads in layer 1, the teacher 3 in layer 2; expected equal numbers, or heads: mean"
    ):
        term("attention_mse", small, large)
    pruned = ModelShape(2, 8, heads=2, heads_by_layer=(2, 1))
    with pytest.raises(UserError, match="the student has 1 heads in layer 2, the teacher 2 in layer 2"):
        term("attention_mse", pruned, ModelShape(2, 8, heads=2))
    inputs = LossInputs(
        **EMPTY, student_attention=(attention(1),), teacher_attention=(attention(2, 3), attention(3, 3))
    )
    found = term("attention_mse", small, large, heads="mean")(inputs)
    by_hand = attention_mse(attention(1).mean(1, keepdim=True), attention(3, 3).mean(1, keepdim=True), MASK)
    assert found.item() == pytest.approx(by_hand.item())


def test_attention_layers_are_mapped():
    sizes = ModelShape(1, 8, heads=2), ModelShape(2, 8, heads=2)
    inputs = LossInputs(**EMPTY, student_attention=(attention(1),), teacher_attention=(attention(2), attention(3)))
    last = term("attention_mse", *sizes, layers="last")(inputs)
    first = term("attention_mse", *sizes, layers=((1, 1),))(inputs)
    assert last.item() == pytest.approx(attention_mse(attention(1), attention(3), MASK).item())
    assert first.item() == pytest.approx(attention_mse(attention(1), attention(2), MASK).item())


def test_relations_zero_at_equality_whatever_the_width_of_the_other_side():
    a = values(1)
    assert relation_distance(a, a, MASK, 2).item() == pytest.approx(0, abs=1e-9)
    assert relation_distance(a, values(2, 12), MASK, 2) > 0
    doubled = torch.cat([a.view(2, 4, 2, 4), torch.zeros(2, 4, 2, 4, dtype=a.dtype)], -1).view(2, 4, 16)
    scaled = doubled * 2**0.25  # the same products over a head of twice the width, once scaled by it
    assert relation_distance(a, scaled, MASK, 2).item() == pytest.approx(0, abs=1e-9)


def test_padding_gets_no_probability_and_changes_nothing():
    a, b = values(1), values(2)
    assert relations(a, MASK, 2).exp()[0, :, :, 3].max() < 1e-12
    changed = a.clone()
    changed[0, 3] += 9
    changed[1, 2:] += 9
    assert relation_distance(changed, b, MASK, 2).item() == pytest.approx(relation_distance(a, b, MASK, 2).item())
    assert torch.autograd.gradcheck(lambda x: relation_distance(x, b, MASK, 2), (a.requires_grad_(),))


def test_relations_read_the_named_teacher_layer():
    sizes = ModelShape(1, 8, heads=2), ModelShape(2, 12, heads=3)
    own = (values(1), values(2), values(3))
    layers = [(values(seed, 12), values(seed + 1, 12), values(seed + 2, 12)) for seed in (10, 20)]
    inputs = LossInputs(**EMPTY, student_relations=(own,), teacher_relations=layers)
    for chosen, given in ((None, layers[1]), (1, layers[0])):
        built = term("minilm_relations", *sizes, relation_heads=4, teacher_layer=chosen)
        expected = torch.stack([relation_distance(a, b, MASK, 4) for a, b in zip(own, given, strict=True)]).mean()
        assert built(inputs).item() == pytest.approx(expected.item())


def test_relations_split_the_width_that_a_pruned_layer_has_left():
    pruned = ModelShape(2, 12, heads=3, heads_by_layer=(3, 2))
    assert [pruned.relation_width(layer) for layer in (0, 1)] == [12, 8]
    with pytest.raises(UserError, match=r"expected a divisor of the student's width 8 \(for example 4, which divides"):
        term("minilm_relations", pruned, ModelShape(2, 12, heads=3), relation_heads=3)
    term("minilm_relations", pruned, ModelShape(2, 12, heads=3), relation_heads=4)
    with pytest.raises(UserError, match="expected a divisor of the teacher's width 8"):
        term("minilm_relations", ModelShape(2, 12, heads=3), pruned, relation_heads=3)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({"relation_heads": 3}, "expected a divisor of the student's width 8"), ({"teacher_layer": 3}, "expected 1 to 2")],
)
def test_relations_say_what_does_not_fit(settings, expected):
    with pytest.raises(UserError, match=expected):
        term("minilm_relations", ModelShape(1, 8), ModelShape(2, 12), **({"relation_heads": 4} | settings))
