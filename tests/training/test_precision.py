"""Which models are trained in bf16, on which hardware."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, GPT2Config

from edgedistill.recipe.schema import Compute
from edgedistill.training.precision import wants_bf16

AMX = {"amx_bf16": True, "avx512_bf16": True}
AVX512 = {"amx_bf16": False, "avx512_bf16": True}
NEITHER = {"amx_bf16": False, "avx512_bf16": False}


def width(size):
    return BertConfig(hidden_size=size)


@pytest.mark.parametrize(
    ("able", "config", "expected"),
    [
        (AMX, width(64), True),
        (AVX512, width(191), False),
        (AVX512, width(192), True),
        (AVX512, GPT2Config(n_embd=768), True),
        (NEITHER, width(768), False),
        ({}, width(768), False),
    ],
)
def test_on_a_cpu_its_instructions_and_the_width_decide(monkeypatch, able, config, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert wants_bf16(Compute(device="cpu"), config) is expected
    assert wants_bf16(Compute(device="cpu", precision="bf16"), config)
    assert not wants_bf16(Compute(device="cpu", precision="fp32"), config)


@pytest.mark.parametrize("supported", [True, False])
def test_on_a_gpu_the_gpu_decides(monkeypatch, supported):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: NEITHER if supported else AMX)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert wants_bf16(Compute(), width(64)) is supported
