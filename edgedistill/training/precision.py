"""Whether a model is trained, and recorded as a teacher, with bf16 autocast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgedistill.models.sizes import shape_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from edgedistill.recipe.schema import Compute

_WIDE = 192
"""Least hidden size for which autocast is faster on CPUs with AVX-512's bf16 instructions but without AMX.

Measured on two cores of an AMD EPYC, fp32's seconds over bf16's in training: BERT of width 64 to 128 0.8 (conversions
cost more than products save), 192 1.2, 384 1.3 to 1.4; Llama of width 384 1.5; in recording, Llama of width 576 1.8.
"""


def wants_bf16(compute: Compute, config: PreTrainedConfig) -> bool:
    """As the recipe says; if it says `auto`, whether this model is faster in bf16 on that hardware.

    Raises:
        UserError: with `auto`, on such a CPU: the configuration does not give the width.
    """
    if compute.precision != "auto":
        return compute.precision == "bf16"
    if compute.device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    if able.get("amx_bf16", False):
        return True
    return bool(able.get("avx512_bf16", False)) and shape_of(config).hidden_size >= _WIDE
