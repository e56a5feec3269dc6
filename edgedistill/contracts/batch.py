"""A batch: the input of one training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self, TypeVar

from edgedistill.contracts.distribution import Distribution

if TYPE_CHECKING:
    import torch

N = TypeVar("N", str, int)


@dataclass(frozen=True)
class Batch:
    """B padded items with D decisions, and a teacher's signals for them. Shapes: T tokens, C classes, H hidden size.

    Signals are present if they were recorded. Rows (R) are decisions: R = D.
    """

    inputs: Mapping[str, torch.Tensor]
    """The model's inputs, by column."""
    targets: Mapping[str, torch.Tensor]
    """The other columns."""
    mask_BT: torch.Tensor  # noqa: N815
    """int64, 1 on real tokens; (B, 1) of ones if items are not sequences."""
    item_R: torch.Tensor  # noqa: N815
    """The item of each decision, from 0."""
    known_R: torch.Tensor  # noqa: N815
    """Whether a decision has a right answer."""
    tokens: str | None = None
    """The input that holds the tokenizer's tokens."""
    teacher: Distribution | None = None
    """Over classes or a vocabulary, in the recorded form."""
    teacher_hidden: Mapping[int, torch.Tensor] = field(default_factory=dict)
    """By layer, (B, T, H)."""
    teacher_embedding_BE: torch.Tensor | None = None  # noqa: N815
    weight_R: torch.Tensor | None = None  # noqa: N815
    """Weight of each decision; None: equal."""
    trust_R: torch.Tensor | None = None  # noqa: N815
    """Weight of the teacher at each decision; None: equal."""

    def __len__(self) -> int:
        return len(self.mask_BT)

    @property
    def columns(self) -> dict[str, torch.Tensor]:
        """Inputs and targets, as passed to the task's functions."""
        return {**self.inputs, **self.targets}

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """The same on another device."""
        teacher = None if self.teacher is None else self.teacher.to(device, non_blocking)
        return self._changed(lambda tensor: tensor.to(device, non_blocking=non_blocking), teacher)

    def pin_memory(self) -> Self:
        """The same in memory from which a GPU copies on its own, while the program goes on; called by `DataLoader`."""
        teacher = None if self.teacher is None else self.teacher.pin_memory()
        return self._changed(lambda tensor: tensor.pin_memory(), teacher)

    def _changed(self, change: Callable[[torch.Tensor], torch.Tensor], teacher: Distribution | None) -> Self:
        """The same with every tensor changed, and this teacher."""

        def changed(value: torch.Tensor | None) -> torch.Tensor | None:
            return None if value is None else change(value)

        def every(values: Mapping[N, torch.Tensor]) -> dict[N, torch.Tensor]:
            return {name: change(value) for name, value in values.items()}

        return replace(
            self,
            inputs=every(self.inputs),
            targets=every(self.targets),
            mask_BT=change(self.mask_BT),
            item_R=change(self.item_R),
            known_R=change(self.known_R),
            teacher=teacher,
            teacher_hidden=every(self.teacher_hidden),
            teacher_embedding_BE=changed(self.teacher_embedding_BE),
            weight_R=changed(self.weight_R),
            trust_R=changed(self.trust_R),
        )
