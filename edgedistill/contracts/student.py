"""A student initialisation: builds a student before its first stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from edgedistill.arrays import Integers
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.items import Items
from edgedistill.contracts.plugin import Versioned
from edgedistill.contracts.tagged import fault_in_tag
from edgedistill.contracts.task import AutoClass
from edgedistill.spec import Spec, may_name_rounds

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

Config = Mapping[str, object]
"""A model's `config.json`."""


class StudentSpec(Spec):
    """Base of the specs of students; `init` is the plug-in's name, a `Literal` in each spec.

    A field that names the source model in the run is marked `Annotated[str, RoundRef()]`; one that names a pretrained
    model, `Annotated[str, ModelRef()]`.
    """

    init: str


S = TypeVar("S", bound=StudentSpec)


@dataclass(frozen=True)
class StudentRequest(Generic[S]):
    """The inputs of a student initialisation."""

    spec: S
    source: Path | None
    """Folder of the source model, or None."""
    auto_class: AutoClass
    config_overrides: Mapping[str, object]
    tokenizer: PreTrainedTokenizerBase | None
    """None for a task without one."""
    probe: Sequence[Batch]
    """A few training batches, for initialisations that measure importance."""
    loss: Callable[[PreTrainedModel, Batch], torch.Tensor] | None = None
    """(R,) the task's loss on the labels of a batch; None for a task without one."""
    read: Callable[[PreTrainedModel, Batch], None] | None = None
    """One pass of a batch through the model's layers without logits over a vocabulary, for initialisations that look at
    what passes through them. None: the model called on the batch's inputs."""
    train: Items | None = None
    """The training items, in the tokens of the student's tokenizer."""
    kept_tokens: list[int] | None = None
    """For a student with its own tokenizer: the ids of its tokens in the source's tokenizer, -1 for bytes it lacks."""
    texts: Sequence[str] = ()
    """Some training texts, on which a pretrained student's own tokenizer must agree with `tokenizer`."""


@dataclass(frozen=True)
class PlannedStudent:
    """A planned student: what determines its size."""

    config: PreTrainedConfig
    at_most: int | None = None
    """Parameter count that it is pruned to, depending on the data; None: that of a model with this configuration."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Student(Versioned, Generic[S]):
    """A module in `students/`, or found through the entry points `edgedistill.students`, exports one as `STUDENT`.

    Args:
        version: raised whenever the same settings and source give a different student.
        build: builds the student.
        planned: (spec, configuration of its source or pretrained model, auto class) -> what determines the student's
            size, from which the plan counts its parameters exactly; None if the size depends on the data.
        sized: (spec) -> whether the spec determines the size, so that `planned` can be used; None: always.
        layers: (spec) -> its number of layers; None: as many as its source.
        unsuitable: (spec, or None for any spec; configuration of its source or pretrained model) -> why no student can
            be built from such a model, as the end of a sentence; or None.
        becomes: the student's architecture, if it differs from its source's.
        make_tokenizer: (spec, source's tokenizer, its token ids for all training texts, folder) -> the source's ids of
            the student's tokens, after writing its tokenizer to the folder; None for students that keep their source's
            tokenizer.
        trims: (spec) -> the spec of another initialisation whose tokenizer this student uses, so that students that
            differ only in shape share their data; None if it keeps its source's tokenizer.
    """

    spec: type[S]
    build: Callable[[StudentRequest[S]], PreTrainedModel]
    planned: Callable[[S, PreTrainedConfig, AutoClass], PlannedStudent] | None = None
    sized: Callable[[S], bool] | None = None
    layers: Callable[[S], int | None] | None = None
    unsuitable: Callable[[S | None, Config], str | None] | None = None
    becomes: str | None = None
    make_tokenizer: Callable[[S, Path, Integers, Path], list[int]] | None = None
    trims: Callable[[S], StudentSpec | None] | None = None

    def tokenizer_maker(self, spec: S) -> StudentSpec | None:
        """The spec of the initialisation that makes the student's tokenizer; None: it keeps its source's."""
        if self.make_tokenizer is not None:
            return spec
        return None if self.trims is None else self.trims(spec)

    def fault(self, name: str) -> str | None:
        """Why it cannot be used under this name, or None."""
        if (self.make_tokenizer is not None or self.trims is not None) and not may_name_rounds(self.spec):
            return "it makes a tokenizer, expected a field of its spec marked RoundRef for the source model"
        return super().fault(name) or fault_in_tag(self.spec, StudentSpec, "init", name)
