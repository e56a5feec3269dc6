"""The kernels say what plain PyTorch says, on a GPU or in Triton's interpreter; and where one is used, the loss is the
same."""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, HiddenAndHead
from edgedistill.contracts.loss import LossInputs
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.losses import kl as plain

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = ModelShape(1, 8)


def expected(teacher: torch.Tensor, student: torch.Tensor, temperature: float) -> torch.Tensor:
    return plain.kl(Dense(teacher).beside(student, temperature), temperature) / temperature**2


@pytest.fixture
def kernel():
    pytest.importorskip("triton", reason="Triton comes with PyTorch for GPUs")
    if DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("without a GPU these run with TRITON_INTERPRET=1 only")
    from edgedistill.losses._kl_kernels import kl_of_logits

    return kl_of_logits


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("classes", [3, 4096, 9001])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 2e-6), (torch.bfloat16, 8e-3), (torch.float16, 1e-3)])
def test_value_and_gradient_are_those_of_plain_pytorch(kernel, dtype, within, classes, temperature):
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(2, 4, classes, generator=generator)).to(DEVICE, dtype)
    student.requires_grad_()
    weights = torch.rand(4, generator=generator).to(DEVICE)
    value, exact = (measure(teacher, student, temperature) for measure in (kernel, expected))
    assert torch.allclose(value, exact, rtol=1e-5, atol=1e-5)
    found, wanted = (torch.autograd.grad((kl * weights).sum(), student)[0] for kl in (value, exact))
    assert found.dtype == dtype
    assert (found - wanted).abs().max() <= within * wanted.abs().max()


def test_equal_distributions_are_no_distance_apart_and_rows_of_a_wider_table_are_read_right(kernel):
    table = torch.randn(6, 50, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    assert kernel(table[:, :40], table[:, :40].clone(), 1.0).tolist() == [0.0] * 6
    other = table.flip(0)[:, :40]
    assert torch.allclose(kernel(table[:, :40], other, 1.0), expected(table[:, :40], other, 1.0), atol=1e-5)
    assert kernel(table[:0], table[:0], 1.0).shape == (0,)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_kernel_that_is_used_gives_the_same_loss_and_gradients(temperature, monkeypatch):
    asked = []

    def kernel(teacher: torch.Tensor, student: torch.Tensor, at: float) -> torch.Tensor:
        asked.append(len(student))
        return expected(teacher, student, at)

    generator = torch.Generator().manual_seed(0)
    said, own = (
        HiddenAndHead(*(torch.randn(n, 6, generator=generator).requires_grad_() for n in (300, 40))) for _ in range(2)
    )
    term = registry.loss("kl").build(plain.KlSpec(kind="kl", temperature=temperature), SIZES, SIZES)
    inputs = LossInputs(own, torch.ones(300).bool(), torch.ones(300, 1), teacher=said)
    found = []
    for used in (None, kernel):
        monkeypatch.setattr(plain, "kernel_on", lambda device, used=used: used)
        value = term(inputs)
        found.append((value, *torch.autograd.grad(value, [own.hidden_RH, own.weight_CH])))
    assert sum(asked) == 300
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


def test_only_a_gpu_with_triton_has_one(monkeypatch):
    assert plain.kernel_on(torch.device("cpu")) is None
    monkeypatch.setattr(plain, "find_spec", lambda name: None)
    assert plain.kernel_on(torch.device("cuda")) is None
    if find_spec("triton") is not None:
        monkeypatch.undo()
        assert plain.kernel_on(torch.device("cuda")) is not None
