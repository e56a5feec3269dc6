"""Records of steps that train models and run them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from edgedistill.contracts.distribution import Form
from edgedistill.contracts.metric import Direction
from edgedistill.store.records.base import FileName, Record, Spec
from edgedistill.store.records.samples import Sample


@dataclass(frozen=True)
class EpochRecord:
    """One epoch for the report: mean losses by name, validation metric, speed."""

    stage: str
    epoch: int
    loss: float
    losses: Mapping[str, float]
    metric: float
    seconds: float
    samples_per_second: float
    compute: str
    """The result of `compute: auto`: device, arithmetic and attention kernel (`cpu, fp32, sdpa attention`)."""


class TrainedModel(Record):
    """A transformers folder with its tokenizer, and how it was trained."""

    SCHEMA: ClassVar[str] = "trained-model/1"

    model: FileName = FileName("model")
    parameters: int
    train_seconds: float
    samples_per_second: float
    epochs: tuple[EpochRecord, ...]
    """Of all stages; empty for a model that is not fine-tuned."""

    @property
    def last_stage(self) -> tuple[EpochRecord, ...]:
        """The epochs of the last stage."""
        return tuple(epoch for epoch in self.epochs if epoch.stage == self.epochs[-1].stage)

    def kept_metric(self, direction: Direction) -> float:
        """The validation metric of the kept weights: the best of the last stage's epochs."""
        best = max if direction == "higher" else min
        return best(epoch.metric for epoch in self.last_stage)


class Probe(Record):
    """A model that was tried before anything is trained."""

    SCHEMA: ClassVar[str] = "probe/1"

    model: str
    architecture: str
    parameters: int
    lengths: tuple[int, ...]
    largest_change_by_padding: float


Signal = Literal["logits", "top-k", "sampled", "states", "hidden", "embedding"]
"""Kinds of signals: a distribution in one of four forms (`states`: last hidden states and the output head), the hidden
states of layers, or one vector per item."""

SIGNAL_OF: dict[Form, Signal] = {"dense": "logits", "top-k": "top-k", "sampled": "sampled", "hidden": "states"}
FORM_OF: dict[Signal, Form] = {signal: form for form, signal in SIGNAL_OF.items()}
PACKED: tuple[Signal, ...] = ("top-k", "sampled")
"""Of some classes only."""


class TopKFacts(Spec):
    """Packing of some classes: the most likely, or sampled ones."""

    classes: int
    k: int
    bits: int
    temperatures: tuple[float, ...]


class ProjectionFacts(Spec):
    """Coverage of decisions when a teacher with its own tokens is projected onto a student's."""

    decisions: int
    spanned: int
    """Without a teacher, since a student token spans a teacher token boundary."""
    unknown: int
    """Without a teacher, since too much probability is on continuations that were not evaluated."""

    @property
    def untaught(self) -> int:
        """Decisions left out of losses on the teacher's distribution."""
        return self.spanned + self.unknown


class Signals(Record):
    """A recorded signal of one model on one split or view."""

    SCHEMA: ClassVar[str] = "signals/3"

    signal: Signal
    files: tuple[FileName, ...]
    """Files for successive ranges of items."""
    top_k: TopKFacts | None = None
    head: FileName | None = None
    """For `states`."""
    projected: ProjectionFacts | None = None
    """For a teacher with a different tokenizer from the student."""


class Trial(Spec):
    """One candidate teacher, or several averaged, and the validation metric of the trial's student."""

    teacher: tuple[str, ...]
    metric: float


class TeacherChosen(Record):
    """A round's teacher, chosen from the trials (the first of equals)."""

    SCHEMA: ClassVar[str] = "teacher-chosen/1"

    chosen: tuple[str, ...]
    trials: tuple[Trial, ...]


class Evaluation(Record):
    """A PyTorch model's answers on a split, and on the out-of-distribution sets."""

    SCHEMA: ClassVar[str] = "evaluation/2"

    split: Literal["validation", "test"]
    value: float
    """The primary metric on the split."""
    answers: FileName
    ood: Mapping[str, FileName] = {}
    """Its answers by the name of the set."""
    probe: FileName | None = None
    """Additional outputs for verifying files (`TaskModel.probe`), for a task that has them."""
    beginnings: tuple[str, ...] = ()
    """Prefixes of a few test examples, for a task that generates text."""
    samples: tuple[Sample, ...] = ()
    """The model's continuation of each."""
