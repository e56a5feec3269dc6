"""A student initialisation: how a student is made before its first stage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

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
    """What a student initialisation is given."""

    spec: S
    source: Path | None
    """Folder of the model that the student is cut from; None when it is cut from none."""
    auto_class: AutoClass
    config_overrides: Mapping[str, object]
    tokenizer: PreTrainedTokenizerBase | None
    """None for a task without one."""
    probe: Sequence[Batch]
    """A few training batches, for initialisations that measure importance."""
    loss: Callable[[PreTrainedModel, Batch], torch.Tensor] | None = None
    """(R,) the task's own objective on the labels of a batch; None for a task without."""
    train: Items | None = None
    """The training items, in the tokens of the student's tokenizer."""
    kept_tokens: list[int] | None = None
    """Ids in the source's tokenizer of the tokens of a student with a tokenizer of its own."""


@dataclass(frozen=True)
class PlannedStudent:
    """A student before there is any: what decides its size."""

    config: PreTrainedConfig
    at_most: int | None = None
    """The parameters that it is cut down to by what it finds in the data; None: it has those of a model of this
    configuration."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Student(Versioned, Generic[S]):
    """A module in `students/`, or found through the entry points `edgedistill.students`, exports one as `STUDENT`.

    Args:
        version: raised whenever it makes another student of the same settings and source.
        build: makes the student.
        planned: (spec, configuration of its source or pretrained model, auto class) -> what decides the student's size,
            from which the plan counts its parameters exactly; None for one whose size only the data decides.
        sized: (spec) -> whether it decides the size, so that `planned` can tell; None: always.
        layers: how many layers it will have, where the spec says so; None: as many as its source.
        unsuitable: (spec, or None for whatever spec; its source's or pretrained model's configuration) -> why no
            student can be made of such a model, as the end of a sentence; or None.
        becomes: the student's architecture, where it is another one than its source's.
        make_tokenizer: (spec, source's tokenizer, training items, folder) -> the source's ids of the student's tokens,
            having written its tokenizer to the folder; None for students that read their source's tokens.
        trims: spec -> the spec of the initialisation that makes the tokenizer of this student too, so that students
            that differ in shape alone read the same data; None where, or of which, it reads its source's tokens.
    """

    spec: type[S]
    build: Callable[[StudentRequest[S]], PreTrainedModel]
    planned: Callable[[S, PreTrainedConfig, AutoClass], PlannedStudent] | None = None
    sized: Callable[[S], bool] | None = None
    layers: Callable[[S], int | None] | None = None
    unsuitable: Callable[[S | None, Config], str | None] | None = None
    becomes: str | None = None
    make_tokenizer: Callable[[S, Path, Items, Path], list[int]] | None = None
    trims: Callable[[S], StudentSpec | None] | None = None

    def tokenizer_maker(self, spec: S) -> StudentSpec | None:
        """The spec of the initialisation whose `make_tokenizer` makes that student's; None: it reads its source's."""
        if self.make_tokenizer is not None:
            return spec
        return None if self.trims is None else self.trims(spec)

    def fault(self, name: str) -> str | None:
        """Why this cannot be used under that name, or None."""
        if (self.make_tokenizer is not None or self.trims is not None) and not may_name_rounds(self.spec):
            return "it makes a tokenizer, expected a field of its spec marked RoundRef for the source model"
        return super().fault(name) or fault_in_tag(self.spec, StudentSpec, "init", name)
