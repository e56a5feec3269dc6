"""What each kind of plug-in module must offer. The engine knows these protocols and nothing behind them.

Shapes: B items, T tokens, C classes, H hidden size, R rows. A *row* is one decision of the task: a text classifier
makes one a text (R = B), a token classifier one a word. Everything that is recorded, compared or scored is rows with
`offsets` (N + 1,) that say which rows belong to which item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .contracts.driver import Graph, PortNames
from .contracts.items import Column
from .packages import Packages

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .contracts import batch
    from .contracts.items import Items
    from .contracts.task import AutoClass
    from .spec import Spec

Floats = NDArray[np.floating]
Integers = NDArray[np.integer]
Batch = dict[str, "torch.Tensor"]
Inputs = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class MaskedView:
    """A batch with some tokens masked, as the student's body sees it."""

    hidden_BTH: torch.Tensor  # noqa: N815
    targets_BT: torch.Tensor  # noqa: N815
    """The hidden tokens' ids, -100 elsewhere."""
    embeddings_VE: torch.Tensor  # noqa: N815
    """The student's token embeddings."""


Relations = tuple["torch.Tensor", "torch.Tensor", "torch.Tensor"]
"""Queries, keys and values of one layer before they are split into heads, each (B, T, D)."""


@dataclass(frozen=True)
class LossInputs:
    """All that a loss may look at in one batch; what no loss of the stage needs is not there.

    student_logits_RC, teacher_logits_RC: rows. known_R: which of them have a label. weights_R: how much each row
    counts; trust_R: how much the teacher is believed there; None when all count alike. Hidden states are indexed as
    `transformers` does: 0 is the embedding layer, i the output of layer i; each is (B, T, H). Attention probabilities
    are (B, A, T, T) by layer, from 0. mask_BT: 1 on real tokens.
    """

    student_logits_RC: torch.Tensor  # noqa: N815
    known_R: torch.Tensor  # noqa: N815
    mask_BT: torch.Tensor  # noqa: N815
    weights_R: torch.Tensor | None = None  # noqa: N815
    trust_R: torch.Tensor | None = None  # noqa: N815
    teacher_logits_RC: torch.Tensor | None = None  # noqa: N815
    student_hidden: Sequence[torch.Tensor] = ()
    teacher_hidden: Mapping[int, torch.Tensor] | None = None
    student_attention: Sequence[torch.Tensor] = ()
    teacher_attention: Sequence[torch.Tensor] = ()
    student_relations: Sequence[Relations] = ()
    teacher_relations: Sequence[Relations] = ()
    teacher_embedding_BE: torch.Tensor | None = None  # noqa: N815
    own_losses: Callable[[float], torch.Tensor] | None = None
    """(R,) the task's own objective on its labels, by the share of label smoothing."""
    mask_some: Callable[[float], MaskedView] | None = None
    """A masked view of the batch, by the probability of masking a token."""

    def teacher_logits(self) -> torch.Tensor:
        """(R, C); the plan gives them to every loss that needs logits."""
        assert self.teacher_logits_RC is not None
        return self.teacher_logits_RC

    def teacher_weights(self) -> torch.Tensor | None:
        """(R,) how much each row counts in a loss that listens to the teacher."""
        if self.weights_R is None or self.trust_R is None:
            return self.trust_R if self.weights_R is None else self.weights_R
        return self.weights_R * self.trust_R

    def teacher_embedding(self) -> torch.Tensor:
        """(B, E); the plan gives them to every loss that needs embeddings."""
        assert self.teacher_embedding_BE is not None
        return self.teacher_embedding_BE

    def student_embedding(self) -> torch.Tensor:
        """(B, H) mean of the last layer over the real tokens."""
        return pooled(self.student_hidden[-1], self.mask_BT)


def pooled(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:  # noqa: N803
    """(B, H) mean over the real tokens (Reimers & Gurevych 2019, section 3)."""
    mask = mask_BT.unsqueeze(-1).to(hidden_BTH.dtype)
    return (hidden_BTH * mask).sum(1) / mask.sum(1).clamp(min=1)


@dataclass(frozen=True)
class ModelSizes:
    """What a loss may need of a model's shape to build its projections or heads."""

    layers: int
    hidden_size: int
    heads: int = 1
    vocabulary: int = 0
    embedding_size: int = 0
    heads_by_layer: tuple[int, ...] = ()
    """Where layers differ in it; `heads` is what `hidden_size` is divided by, then."""

    def heads_at(self, layer: int) -> int:
        """Attention heads of a layer, counted from 0."""
        return self.heads_by_layer[layer] if self.heads_by_layer else self.heads

    def relation_width(self, layer: int) -> int:
        """Width of the queries (keys, values) of a layer, counted from 0."""
        return self.heads_at(layer) * self.hidden_size // self.heads


Need = Literal["labels", "logits", "hidden", "embedding", "attention", "relations", "masked"]
"""What a loss may ask for: labels, a signal of the teacher, or a masked view of the text."""


class Loss(Protocol):
    """A module in `losses/`: its spec (with `kind` and `weight`), what it needs, and how to build the term."""

    VERSION: int
    """Raised whenever it gives another value or gradient for the same inputs; it is part of the key of every step that
    uses it, as that of a student initialisation and of a task."""
    SPEC: type[Spec]
    NEEDS: frozenset[Need]

    def build(self, spec: object, student: ModelSizes, teacher: ModelSizes | None) -> torch.nn.Module:
        """A module `LossInputs -> scalar`. Its parameters train with the round and never enter the student."""


class StudentInitialisation(Protocol):
    """A module in `students/`: makes a student before its first stage.

    One with a tokenizer of its own also offers `make_tokenizer(spec, source folder, training tokens, folder)`, which
    writes it and returns the source's ids of its tokens; one whose size isn't in its spec offers `shape(spec, source)`.
    One that doesn't fit every source offers `unsuitable(source's config.json)`, which says why not, or None; one whose
    student has another architecture than its source names it in `BECOMES`.
    """

    VERSION: int
    """Raised whenever it makes another student of the same settings and source."""
    SPEC: type[Spec]
    OWN_TOKENIZER: bool

    def build(self, request: StudentRequest) -> PreTrainedModel: ...


@dataclass(frozen=True)
class StudentRequest:
    """What a student initialisation is given."""

    spec: object
    source: Path | None
    """Folder of the model that the spec's `from` names; None when it names none."""
    auto_class: AutoClass
    config_overrides: Mapping[str, object]
    tokenizer: PreTrainedTokenizerBase | None
    """None for a task without one."""
    probe: Sequence[batch.Batch]
    """A few training batches, for initialisations that measure importance."""
    loss: Callable[[PreTrainedModel, batch.Batch], torch.Tensor] | None = None
    """(R,) the task's own objective on the labels of a batch; None for a task without."""
    train: Items | None = None
    """The training items, in the tokens of the student's tokenizer."""
    kept_tokens: list[int] | None = None
    """Ids in the source's tokenizer of the tokens of a student with a tokenizer of its own."""


@dataclass(frozen=True)
class Precision:
    """One precision that a target's files can have."""

    file: str
    """Name of the file that a runtime opens."""
    bytes_per_parameter: float
    made_of: tuple[str, str] | None = None
    """(target, precision) of the file that it is made of; None: of the torch model. The plan makes that file first,
    once, whether or not it is a candidate itself."""
    calibrated: bool = False
    """Whether its making looks at real inputs, which the recipe's `calibration` chooses."""
    version: int = 1
    """Raised whenever its making would write other bytes."""


def outputs_of(model: PreTrainedModel, inputs: Batch) -> Mapping[str, torch.Tensor]:
    """What a model of transformers' gives, by its own names."""
    found: Mapping[str, torch.Tensor] = model(**inputs)
    return found


@dataclass(frozen=True)
class FileRequest:
    """What an exporter is given to make one file.

    A fixed-shape target is asked once for every bucket, with `length` set and `source` of the same bucket. Where a
    task's driver asks several components, every file is of one of them."""

    precision: str
    model: Callable[[], PreTrainedModel]
    """Loads the model, in float32 and evaluation mode, on the CPU."""
    samples: Callable[[int, int], Batch]
    """`samples(batch, length)`: real inputs by name, repeated or cut to (B, T); blocks are (B, ...), as they are."""
    max_length: int
    columns: Callable[[], Mapping[str, Column]]
    """What the model takes, in its own order."""
    outputs: tuple[str, ...]
    """Names of what the file gives, in the order in which the model does."""
    component: str = "model"
    """Which part of the model the file is of, where a task's driver asks several."""
    forward: Callable[[PreTrainedModel, Batch], Mapping[str, torch.Tensor]] = outputs_of
    """(model, inputs) -> its outputs by name: what the file is compared with."""
    length: int | None = None
    """The only length that the file must take; None: every length from `min_length` to `max_length`."""
    fixed: bool = False
    """Whether it takes one item of that length at a time, and not any number of them."""
    source: Path | None = None
    """The file that it is made of, where `Precision.made_of` names one."""
    calibration: Sequence[Inputs] = ()
    """Real inputs one by one, (1, T) by name, at their own length, or padded to `length` where that is set."""
    min_length: int = 1
    """The fewest tokens that an input can have: those that the tokenizer puts around every text, and one more."""


@dataclass(frozen=True)
class ShapeCheck:
    """One shape at which a file was compared with torch."""

    batch: int
    length: int
    max_abs_diff: float


@dataclass(frozen=True)
class RuntimeSize:
    """An estimate of the runtime that a file needs beside it, without the file: `MadeFile.facts["runtime_size"]`, as a
    mapping."""

    bytes: int
    operators: int
    """How many it has."""
    unknown: tuple[str, ...]
    """Those whose size nothing is known of, which come on top."""
    basis: str
    """What the estimate is made of."""


@dataclass(frozen=True)
class MadeFile:
    """What an exporter tells of the file that it wrote."""

    checks: tuple[ShapeCheck, ...] = ()
    inputs: tuple[str, ...] = ()
    """Names of the file's inputs in its order, where its format has no names."""
    build_files: tuple[str, ...] = ()
    """Names of files written beside it that no device needs (the configuration of a reduced build): published with it,
    but not counted in its size."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What else is to be reported (operators, delegated share, `runtime_size`)."""


class Exporter(Protocol):
    """A module found through the entry points `edgedistill.exporters`: one target, a file format.

    It imports nothing heavy at its top: the plan reads its constants.
    """

    VERSION: int
    PRECISIONS: Mapping[str, Precision]
    """By the name that a recipe gives; what is not here is refused, with that reason in plan and report."""
    RUNTIMES: tuple[str, ...]
    """The runtimes that measure it when the recipe names none."""
    FIXED_SHAPES: bool
    """Whether a file takes one item of one length, so that there is a file for every bucket of `export.buckets`."""
    ISOLATED: bool
    """Whether its files are made in a process of their own: native code that may crash, or global state. Where
    `PACKAGES` live in another environment, they always are."""
    PACKAGES: Packages

    def make(self, request: FileRequest, file: Path) -> MadeFile:
        """Write `file`, and beside it whatever else belongs to it (a weights file).

        Raises:
            RefusedError: the target cannot express this model.
            EdgedistillError: it failed, or the file differs from torch by more than rounding.
        """


class Quantizer(Protocol):
    """A module in `quantizers/`: one precision of the target `onnx`, made of its fp32 file."""

    BYTES_PER_PARAMETER: float
    FILE: str
    CALIBRATED: bool
    VERSION: int

    def quantize(self, source: Path, destination: Path, calibration: Sequence[Inputs]) -> None: ...


class Runtime(Protocol):
    """A module in `runtimes/`, or found through the entry points `edgedistill.runtimes`: opens files of some targets.

    It is imported by the measuring process, which has numpy, safetensors and `PACKAGES`, and nothing else for sure.
    """

    TARGETS: tuple[str, ...]
    SUFFIXES: tuple[str, ...]
    """Of the files that it opens."""
    PACKAGES: Packages

    def open(self, file: Path, threads: int, names: PortNames) -> Graph: ...

    def version(self) -> str: ...


@runtime_checkable
class HasClient(Protocol):
    """A runtime whose users load a published folder by a library of its own, which `measure` then tries too."""

    def client_facts(
        self, file: Path, texts: Sequence[str], labels: Sequence[str], logits: Floats
    ) -> dict[str, object]: ...
