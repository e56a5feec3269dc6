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

On two cores of an AMD EPYC, fp32's seconds over bf16's (`bench/training_precision.py`): width 64 0.97, 128 1.00 (what
products save goes into conversions), 192 1.08, 256 1.18, 384 1.33; a Llama of 27M parameters 1.4.
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
