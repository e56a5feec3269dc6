"""A teacher's distributions over classes or a vocabulary in one of three forms, and the student's for comparison.

Losses on soft targets see a `Compared` pair of log-probabilities, whatever the form. Shapes: R decisions, C classes, K
kept classes, H hidden size, S temperatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Form = Literal["dense", "top-k", "sampled", "hidden"]
"""Names in a recipe for: logits; the most likely classes and the remaining mass; classes drawn by their probability;
last hidden states and the output head."""
_LEAST = 1e-30
"""Threshold of sampling where nothing is left to sample."""
_LOG_ZERO = -1e4
"""Replaces log 0, whose product with 0 would be NaN; its exponential is exactly 0 in every precision."""


@dataclass(frozen=True)
class Compared:
    """Log-probabilities (R, M) of teacher and student over the same M outcomes, which sum to 1."""

    teacher: torch.Tensor
    student: torch.Tensor


@dataclass(frozen=True)
class Dense:
    """The teacher's logits, (R, C)."""

    logits_RC: torch.Tensor  # noqa: N815

    def __len__(self) -> int:
        return len(self.logits_RC)

    @property
    def classes(self) -> int:
        """C."""
        return self.logits_RC.shape[-1]

    def part(self, rows: slice) -> Dense:
        """These decisions only."""
        return Dense(self.logits_RC[rows])

    def first(self, classes: int) -> Dense:
        """The first classes only."""
        return self if classes == self.classes else Dense(self.logits_RC[:, :classes])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Dense:
        """The same on another device."""
        return Dense(self.logits_RC.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Dense:
        """The same in memory from which a GPU copies on its own."""
        return Dense(self.logits_RC.pin_memory())

    def dense(self) -> Dense:
        """Itself."""
        return self

    def beside(self, student_logits_RC: torch.Tensor, temperature: float) -> Compared:  # noqa: N803
        """Both distributions over the C classes at a temperature."""
        return Compared(
            log_probabilities(self.logits_RC, temperature), log_probabilities(student_logits_RC, temperature)
        )


@dataclass(frozen=True)
class HiddenAndHead:
    """The teacher's last hidden states (R, H) and output head (C, H), which give its exact logits.

    Args:
        cap: bounds the logits (see `capped`); None: unbounded.
    """

    hidden_RH: torch.Tensor  # noqa: N815
    weight_CH: torch.Tensor  # noqa: N815
    bias_C: torch.Tensor | None = None  # noqa: N815
    cap: float | None = None

    def __len__(self) -> int:
        return len(self.hidden_RH)

    @property
    def classes(self) -> int:
        """C."""
        return len(self.weight_CH)

    def part(self, rows: slice) -> HiddenAndHead:
        """These decisions only."""
        return replace(self, hidden_RH=self.hidden_RH[rows])

    def first(self, classes: int) -> HiddenAndHead:
        """The first classes only."""
        if classes == self.classes:
            return self
        bias = None if self.bias_C is None else self.bias_C[:classes]
        return replace(self, weight_CH=self.weight_CH[:classes], bias_C=bias)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> HiddenAndHead:
        """The same on another device; the head, shared by all batches, is copied only once."""
        bias = None if self.bias_C is None else _there(self.bias_C, device)
        hidden = self.hidden_RH.to(device, non_blocking=non_blocking)
        return replace(self, hidden_RH=hidden, weight_CH=_there(self.weight_CH, device), bias_C=bias)

    def pin_memory(self) -> HiddenAndHead:
        """The states in memory from which a GPU copies on its own; the head, copied once, stays where it is."""
        return replace(self, hidden_RH=self.hidden_RH.pin_memory())

    def as_multiplied(self) -> HiddenAndHead:
        """The same in the autocast precision, if enabled, so that the head is converted only once."""
        import torch

        device = self.weight_CH.device.type
        if not torch.is_autocast_enabled(device):
            return self
        dtype = torch.get_autocast_dtype(device)
        bias = None if self.bias_C is None else self.bias_C.to(dtype)
        return replace(self, hidden_RH=self.hidden_RH.to(dtype), weight_CH=self.weight_CH.to(dtype), bias_C=bias)

    def dense(self) -> Dense:
        """The head's logits for the states."""
        from torch.nn import functional

        hidden = self.hidden_RH.to(self.weight_CH.dtype)
        return Dense(capped(functional.linear(hidden, self.weight_CH, self.bias_C), self.cap))

    def beside(self, student_logits_RC: torch.Tensor, temperature: float) -> Compared:  # noqa: N803
        """Both distributions over the C classes at a temperature."""
        return self.dense().beside(student_logits_RC, temperature)


@dataclass(frozen=True)
class TopK:
    """The teacher's K most likely classes, and the total probability of the others.

    Since the other classes are merged, every divergence between these coarse distributions is a lower bound of the
    divergence between the full ones (data processing inequality; Cover & Thomas 2006, section 2.8), which tightens as K
    grows.

    Sampled classes have no rest, and weights instead of probabilities (see `sampled`).

    Args:
        ids_RK: class numbers, int64.
        log_p_RK: their log-probabilities at temperature 1, up to a constant per decision.
        log_rest_RS: log of the other classes' total probability at each of `temperatures`.
        temperatures: the usable ones; the others' total probability at another temperature does not follow from the
            kept classes.
    """

    ids_RK: torch.Tensor  # noqa: N815
    log_p_RK: torch.Tensor  # noqa: N815
    log_rest_RS: torch.Tensor  # noqa: N815
    temperatures: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.ids_RK)

    def part(self, rows: slice) -> TopK:
        """These decisions only."""
        return TopK(self.ids_RK[rows], self.log_p_RK[rows], self.log_rest_RS[rows], self.temperatures)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TopK:
        """The same on another device."""
        ids = self.ids_RK.to(device, non_blocking=non_blocking)
        log_p, log_rest = (tensor.to(device, non_blocking=non_blocking) for tensor in (self.log_p_RK, self.log_rest_RS))
        return TopK(ids, log_p, log_rest, self.temperatures)

    def pin_memory(self) -> TopK:
        """The same in memory from which a GPU copies on its own."""
        return TopK(
            self.ids_RK.pin_memory(), self.log_p_RK.pin_memory(), self.log_rest_RS.pin_memory(), self.temperatures
        )

    def beside(self, student_logits_RC: torch.Tensor, temperature: float) -> Compared:  # noqa: N803
        """Both distributions at a temperature over the K kept classes and, unless these are all, one class for the
        rest.

        Raises:
            ValueError: a temperature that was not recorded.
        """
        import torch

        if temperature not in self.temperatures:
            known = ", ".join(f"{value:g}" for value in self.temperatures)
            raise ValueError(f"temperature {temperature:g}: the signal was recorded for {known}")
        scaled = full(student_logits_RC) / temperature
        normaliser = scaled.logsumexp(-1, keepdim=True)
        student = scaled.gather(-1, self.ids_RK) - normaliser
        kept = full(self.log_p_RK) / temperature
        kept = kept - kept.logsumexp(-1, keepdim=True)
        if self.ids_RK.shape[-1] == student_logits_RC.shape[-1]:
            return Compared(kept, student)
        log_rest = full(self.log_rest_RS)[..., self.temperatures.index(temperature), None].clamp(_LOG_ZERO, -1e-7)
        teacher = kept + torch.log1p(-log_rest.exp())
        others = scaled.scatter(-1, self.ids_RK, -torch.inf).logsumexp(-1, keepdim=True) - normaliser
        return Compared(
            torch.cat([teacher, log_rest], -1).clamp(min=_LOG_ZERO),
            torch.cat([student, others], -1).clamp(min=_LOG_ZERO),
        )


Distribution = Dense | TopK | HiddenAndHead


def concatenated(parts: Sequence[Distribution]) -> Distribution:
    """Several distributions of one form concatenated; they share the head, or the temperatures.

    Raises:
        ValueError: no parts, or of different forms.
    """
    import torch

    first, *others = parts
    if isinstance(first, Dense) and all(isinstance(part, Dense) for part in others):
        return Dense(torch.cat([part.logits_RC for part in parts if isinstance(part, Dense)]))
    if isinstance(first, HiddenAndHead) and all(isinstance(part, HiddenAndHead) for part in others):
        return replace(
            first, hidden_RH=torch.cat([part.hidden_RH for part in parts if isinstance(part, HiddenAndHead)])
        )
    if isinstance(first, TopK) and all(isinstance(part, TopK) for part in others):
        same = [part for part in parts if isinstance(part, TopK)]
        return replace(
            first,
            ids_RK=torch.cat([part.ids_RK for part in same]),
            log_p_RK=torch.cat([part.log_p_RK for part in same]),
            log_rest_RS=torch.cat([part.log_rest_RS for part in same]),
        )
    raise ValueError(f"distributions of different forms: {sorted({type(part).__name__ for part in parts})}")


def top_k(logits_RC: torch.Tensor, k: int, temperatures: tuple[float, ...]) -> TopK:  # noqa: N803
    """The K most likely classes of dense logits, with the others' total probability at these temperatures."""
    import torch

    k = min(k, logits_RC.shape[-1])
    log_p = log_probabilities(logits_RC, 1.0)
    values, ids = log_p.topk(k, dim=-1)
    rests = []
    for temperature in temperatures:
        others = (log_p / temperature).scatter(-1, ids, -torch.inf).logsumexp(-1)
        rests.append((others - (log_p / temperature).logsumexp(-1)).clamp(min=_LOG_ZERO))
    return TopK(ids, values, torch.stack(rests, dim=-1), temperatures)


def sampled(logits_RC: torch.Tensor, k: int, temperature: float, draws_R: torch.Tensor) -> TopK:  # noqa: N803
    """K classes of each decision, drawn by their probability, with weights that sum to 1 and whose mean over draws is
    the whole distribution. So the mean of the cross-entropy with them is that with it, as is its gradient.

    Threshold sampling (Cohen et al. 2009, "Stream sampling for variance-optimal estimation of subset sums", section 2):
    classes above a threshold are always kept, with their own probability, and each other one with its share of the
    threshold, which becomes its weight. Sampling for distillation is due to Anshumann et al. 2025, "Sparse Logit
    Sampling: Accelerating Knowledge Distillation in LLMs".

    Args:
        temperature: of the distribution, and the only usable one.
        draws_R: a uniform number in [0, 1) for each decision.
    """
    import torch

    k = min(k, logits_RC.shape[-1])
    p = log_probabilities(logits_RC.float(), temperature).exp()
    likely = p.topk(k, dim=-1).values.double()
    others = (p.sum(-1, keepdim=True, dtype=torch.float64) - likely.sum(-1, keepdim=True)).clamp(min=0)
    remaining = others + likely.flip(-1).cumsum(-1).flip(-1)
    thresholds = remaining / torch.arange(k, 0, -1, device=p.device)  # if as many as come before are always kept
    always = (likely > thresholds).int().cumprod(-1).sum(-1, keepdim=True)
    threshold = thresholds.gather(-1, always).clamp(min=_LEAST).float()  # fewer classes than K may be possible at all
    share = (p / threshold).clamp(max=1)
    ends = share.cumsum(-1, dtype=torch.float64).add_(draws_R[..., None])  # many shares are too small for float32
    starts = ends - share
    drawn = ends.floor_() > starts.floor_()
    ids = (2 * drawn + share).topk(k, dim=-1).indices  # exactly K, whatever the sum of shares is rounded to
    log_weights = torch.maximum(p, threshold).gather(-1, ids).log()
    nothing = torch.full((len(p), 1), _LOG_ZERO, device=p.device)
    return TopK(ids, log_weights * temperature, nothing, (temperature,))


def _there(tensor: torch.Tensor, device: torch.device | str) -> torch.Tensor:
    """A cached copy on a device."""
    import torch

    if tensor.device == torch.device(device):
        return tensor
    copies: dict[str, torch.Tensor] = tensor.__dict__.setdefault("_copies", {})
    if str(device) not in copies:
        copies[str(device)] = tensor.to(device)
    return copies[str(device)]


def log_probabilities(logits_RC: torch.Tensor, temperature: float) -> torch.Tensor:  # noqa: N803
    """(R, C) log-softmax at a temperature, in float32 for half-precision logits."""
    import torch
    from torch.nn import functional

    if temperature == 1.0:  # without a scaled copy, and on a GPU without one in float32
        half = logits_RC.dtype in (torch.float16, torch.bfloat16)
        return functional.log_softmax(logits_RC, dim=-1, dtype=torch.float32 if half else None)
    return functional.log_softmax(full(logits_RC) / temperature, dim=-1)


def capped(logits: torch.Tensor, cap: float | None) -> torch.Tensor:
    """Logits between -cap and cap, as cap * tanh(logits / cap) (Gemma Team 2024, "Gemma 2", section 2); None: as they
    are."""
    return logits if cap is None else cap * (full(logits) / cap).tanh()


def full(values: torch.Tensor) -> torch.Tensor:
    """float32 for half-precision tensors, in which a softmax over many classes is too inaccurate."""
    import torch

    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
