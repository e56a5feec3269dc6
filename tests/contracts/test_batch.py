"""A batch moves whole: to a device, and into memory from which a GPU copies on its own."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch.utils._pytree import tree_leaves

from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Dense, Distribution, HiddenAndHead, top_k


def batch(teacher: Distribution) -> Batch:
    return Batch(
        inputs={"input_ids": torch.ones(2, 3, dtype=torch.int64)},
        targets={"next_token": torch.ones(2, 3, dtype=torch.int32)},
        mask_BT=torch.ones(2, 3),
        item_R=torch.zeros(6, dtype=torch.int64),
        known_R=torch.ones(6, dtype=torch.bool),
        teacher=teacher,
        teacher_hidden={2: torch.randn(2, 3, 4)},
        teacher_embedding_BE=torch.randn(2, 4),
        weight_R=torch.rand(6),
        trust_R=torch.rand(6),
    )


def tensors(whole: Batch) -> dict[str, list[torch.Tensor]]:
    found = {field.name: tree_leaves(getattr(whole, field.name)) for field in fields(whole)}
    assert whole.teacher is not None
    found["teacher"] = [value for value in vars(whole.teacher).values() if isinstance(value, torch.Tensor)]
    return {name: [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)] for name, leaves in found.items()}


TEACHERS: dict[str, Distribution] = {
    "dense": Dense(torch.randn(6, 5)),
    "top-k": top_k(torch.randn(6, 5), 2, (1.0,)),
    "hidden": HiddenAndHead(torch.randn(6, 4), torch.randn(5, 4)),
}


@pytest.mark.parametrize("form", TEACHERS)
def test_every_tensor_is_pinned_but_a_head_that_all_batches_share(form, monkeypatch):
    pinned: list[torch.Tensor] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor.clone())
        return pinned[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    given = batch(TEACHERS[form])
    found = given.pin_memory()
    for name, values in tensors(found).items():
        for value, before in zip(values, tensors(given)[name], strict=True):
            shared = isinstance(given.teacher, HiddenAndHead) and before is given.teacher.weight_CH
            assert torch.equal(value, before)
            assert any(value is own for own in pinned) != shared


@pytest.mark.parametrize("form", TEACHERS)
def test_every_tensor_moves(form):
    found = tensors(batch(TEACHERS[form]).to("meta"))
    assert len(found["teacher"]) > 0
    assert all(value.device.type == "meta" for values in found.values() for value in values)
