"""Of the steps that make models and ask them."""

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
    """One epoch as the report shows it: mean losses by name, validation metric, speed."""

    stage: str
    epoch: int
    loss: float
    losses: Mapping[str, float]
    metric: float
    seconds: float
    samples_per_second: float
    compute: str
    """What `compute: auto` came to: device, arithmetic and attention kernel (`cpu, fp32, sdpa attention`)."""


class TrainedModel(Record):
    """A transformers folder with its tokenizer, and how it was trained."""

    SCHEMA: ClassVar[str] = "trained-model/1"

    model: FileName = FileName("model")
    parameters: int
    train_seconds: float
    samples_per_second: float
    epochs: tuple[EpochRecord, ...]
    """Of all stages; empty for a model that is used as it is."""

    @property
    def last_stage(self) -> tuple[EpochRecord, ...]:
        """The epochs of the last stage."""
        return tuple(each for each in self.epochs if each.stage == self.epochs[-1].stage)

    def kept_metric(self, direction: Direction) -> float:
        """The validation metric of the weights that were kept: the best of the last stage's epochs."""
        best = max if direction == "higher" else min
        return best(each.metric for each in self.last_stage)


class Probe(Record):
    """A model that was tried before anything is trained."""

    SCHEMA: ClassVar[str] = "probe/1"

    model: str
    architecture: str
    parameters: int
    lengths: tuple[int, ...]
    largest_change_by_padding: float


Signal = Literal["logits", "top-k", "states", "hidden", "embedding"]
"""What can be recorded: a distribution in one of three forms (`states`: last hidden states and the output head), the
hidden states of layers, or a vector of each item."""

SIGNAL_OF: dict[Form, Signal] = {"dense": "logits", "top-k": "top-k", "hidden": "states"}
FORM_OF: dict[Signal, Form] = {signal: form for form, signal in SIGNAL_OF.items()}


class TopKFacts(Spec):
    """How the likeliest classes are packed."""

    classes: int
    k: int
    bits: int
    temperatures: tuple[float, ...]


class ProjectionFacts(Spec):
    """How many decisions of a student with fewer tokens have a teacher that reads its own."""

    decisions: int
    spanned: int
    """Without one, since a token of the student's spans the end of one of the teacher's there."""
    unknown: int
    """Without one, since too much of the probability is of what the teacher wasn't asked."""

    @property
    def untaught(self) -> int:
        """Decisions that are left out of losses on the teacher's distribution."""
        return self.spanned + self.unknown


class Signals(Record):
    """What one model says about one split or view of it."""

    SCHEMA: ClassVar[str] = "signals/3"

    signal: Signal
    files: tuple[FileName, ...]
    """Of one run of items after the other."""
    top_k: TopKFacts | None = None
    head: FileName | None = None
    """Of `states`."""
    projected: ProjectionFacts | None = None
    """Of a teacher that reads other tokens than the student."""


class Trial(Spec):
    """One teacher that was tried, or several together, and the validation metric of what they taught."""

    teacher: tuple[str, ...]
    metric: float


class TeacherChosen(Record):
    """A round's teacher, by the trials of each (the first of equals)."""

    SCHEMA: ClassVar[str] = "teacher-chosen/1"

    chosen: tuple[str, ...]
    trials: tuple[Trial, ...]


class Evaluation(Record):
    """What a torch model says of a split, and of the out-of-distribution sets."""

    SCHEMA: ClassVar[str] = "evaluation/2"

    split: Literal["validation", "test"]
    value: float
    """The primary metric on the split."""
    answers: FileName
    ood: Mapping[str, FileName] = {}
    """By the name of the set, what it says of that."""
    probe: FileName | None = None
    """What its files are asked besides (`TaskModel.probe`), of a task that asks something."""
    beginnings: tuple[str, ...] = ()
    """Prefixes of a few test examples, for a task that generates text."""
    samples: tuple[Sample, ...] = ()
    """How the model went on from each."""
