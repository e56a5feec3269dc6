"""KL divergence and its gradient straight from logits, as Triton kernels. No log-probability is written to memory;
plain PyTorch writes and reads again several tensors of (R, V) in float32.

The normalisers and the sum over classes are computed in one pass, rescaled whenever the maximum rises (Milakov &
Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3). Shapes: R decisions, V classes.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch.autograd.function import FunctionCtx, once_differentiable

_BLOCK = 4096
_WARPS = 8


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _forward(student, teacher, student_stride, teacher_stride, kl, student_log_z, teacher_log_z, inverse_t, CLASSES: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, N803, E501  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    s_max = -float("inf")
    t_max = -float("inf")
    s_sum = 0.0
    t_sum = 0.0
    gap = 0.0
    for first in range(0, CLASSES, BLOCK):
        places = first + tl.arange(0, BLOCK)
        there = places < CLASSES
        s = tl.load(student + row * student_stride + places, mask=there, other=0.0).to(tl.float32) * inverse_t
        t = tl.load(teacher + row * teacher_stride + places, mask=there, other=0.0).to(tl.float32) * inverse_t
        s_now = tl.maximum(s_max, tl.max(tl.where(there, s, -float("inf")), axis=0))
        t_now = tl.maximum(t_max, tl.max(tl.where(there, t, -float("inf")), axis=0))
        t_e = tl.where(there, tl.exp(t - t_now), 0.0)
        s_sum = s_sum * tl.exp(s_max - s_now) + tl.sum(tl.where(there, tl.exp(s - s_now), 0.0), axis=0)
        t_sum = t_sum * tl.exp(t_max - t_now) + tl.sum(t_e, axis=0)
        gap = gap * tl.exp(t_max - t_now) + tl.sum(t_e * (t - s), axis=0)
        s_max = s_now
        t_max = t_now
    s_log = s_max + tl.log(s_sum)
    t_log = t_max + tl.log(t_sum)
    tl.store(student_log_z + row, s_log)
    tl.store(teacher_log_z + row, t_log)
    tl.store(kl + row, gap / t_sum - t_log + s_log)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _backward(student, teacher, student_stride, teacher_stride, gradient, student_log_z, teacher_log_z, made, inverse_t, CLASSES: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, N803, E501  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    places = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = places < CLASSES
    s = tl.load(student + row * student_stride + places, mask=there, other=0.0).to(tl.float32) * inverse_t
    t = tl.load(teacher + row * teacher_stride + places, mask=there, other=0.0).to(tl.float32) * inverse_t
    difference = tl.exp(s - tl.load(student_log_z + row)) - tl.exp(t - tl.load(teacher_log_z + row))
    value = difference * tl.load(gradient + row) * inverse_t
    tl.store(made + row * CLASSES + places, value.to(made.dtype.element_ty), mask=there)


class _Kl(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        teacher_RV: torch.Tensor,  # noqa: N803
        student_RV: torch.Tensor,  # noqa: N803
        temperature: float,
    ) -> torch.Tensor:
        teacher, student = (rows if rows.stride(-1) == 1 else rows.contiguous() for rows in (teacher_RV, student_RV))
        count, classes = student.shape
        kl, student_log_z, teacher_log_z = torch.empty(3, count, dtype=torch.float32, device=student.device)
        if count:
            _forward[(count,)](
                student, teacher, student.stride(0), teacher.stride(0), kl, student_log_z, teacher_log_z,
                1 / temperature, CLASSES=classes, BLOCK=_BLOCK, num_warps=_WARPS,
            )  # fmt: skip
        ctx.save_for_backward(teacher, student, teacher_log_z, student_log_z)
        ctx.temperature = temperature  # type: ignore[attr-defined]
        return kl

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient_R: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: N803
        teacher, student, teacher_log_z, student_log_z = ctx.saved_tensors  # type: ignore[attr-defined]
        count, classes = student.shape
        made = torch.empty(count, classes, dtype=student.dtype, device=student.device)
        if count:
            _backward[(count, triton.cdiv(classes, _BLOCK))](
                student, teacher, student.stride(0), teacher.stride(0), gradient_R.float().contiguous(), student_log_z,
                teacher_log_z, made, 1 / ctx.temperature, CLASSES=classes, BLOCK=_BLOCK, num_warps=_WARPS,  # type: ignore[attr-defined]
            )  # fmt: skip
        return None, made, None


def kl_of_logits(teacher_RV: torch.Tensor, student_RV: torch.Tensor, temperature: float) -> torch.Tensor:  # noqa: N803
    """(R,) KL(teacher || student) at a temperature in nats, in float32; the gradient flows to the student's logits."""
    found: torch.Tensor = _Kl.apply(teacher_RV, student_RV, temperature)
    return found
