"""A round of a recipe: its student, its teachers, its stages and what they are taught with."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from edgedistill.contracts.distribution import Form
from edgedistill.recipe.augment import AugmentSpec
from edgedistill.recipe.data_spec import DataSpec
from edgedistill.recipe.plugin_unions import LossSpec, StudentSpec
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.spec import Name, NotInKey, PluginName, RoundRef, Spec


class ErrorWeights(Spec):
    """Upweights or oversamples examples that an earlier model gets wrong."""

    of: Annotated[str, RoundRef()]
    """The model whose errors count: `teacher` or an earlier round."""
    against: Literal["labels", "teacher"] = "labels"
    """What counts as correct: the labels, or the predictions of this round's teacher."""
    kind: Literal["focal", "boost"] = "focal"
    """`focal` weights an example by how wrong the model is, `boost` by whether it is wrong."""
    strength: float = Field(2.0, gt=0)
    """The exponent of `focal`, the factor of `boost`."""
    apply: Literal["weight", "oversample"] = "weight"
    """Upweight these examples in the loss, or sample them more often."""


class Place(NamedTuple):
    """A split, or a stage's augmented views of it."""

    split: Literal["train", "unlabeled"]
    stage: str = ""
    """The stage the views belong to; '' for the split itself."""


class Stage(Schedule):
    """Trains on one data set (or several, concatenated) with one list of losses."""

    name: Name
    """Name in logs and reports, unique within the round."""
    data: tuple[Literal["train", "unlabeled"], ...] = ("train",)
    """Splits to train on."""
    losses: tuple[LossSpec, ...] = Field(min_length=1)
    """Loss terms, summed with their `weight`."""
    errors: ErrorWeights | None = None
    """Upweights examples that an earlier model gets wrong."""
    teacher_errors: float = Field(1.0, ge=0, le=1)
    """Weight of the teacher on examples where it contradicts the label: 1 as usual, 0 ignored."""
    augment: AugmentSpec | None = None
    """Augmented views of the texts, in addition to the texts themselves."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of the student in this stage; null: as in its configuration. Students that are small relative to the
    data learn more without dropout."""
    quantize: Annotated[str | None, PluginName("quantizers")] = None
    """Train in the arithmetic of this precision's `onnx` file (`int8-dynamic`, `int8`, `int4`, `int4-tables`, `int2`),
    rounding included, and keep the epoch that is best in it. After the last stage the weights themselves are rounded,
    so that this file loses nothing more."""

    def places(self) -> tuple[Place, ...]:
        """The sources of items: the splits, then the stage's augmented views of them."""
        views = [Place(split, self.name) for split in self.data if self.augment is not None]
        return (*(Place(split) for split in self.data), *views)


Teachers = str | tuple[str, ...]
"""One model, or several whose logits are averaged."""


class TeacherChoice(Spec):
    """Chooses the teacher on validation, after a short trial of each candidate (capacity gap: Mirzadeh et al. 2020)."""

    choose: Annotated[tuple[Teachers, ...], RoundRef()] = Field(min_length=2)
    """At least two candidates: models, or lists of models to average."""
    epochs: int = Field(1, ge=1)
    """Length of each trial, in epochs."""


class SignalSpec(Spec):
    """Which teacher outputs are recorded, and which are recomputed while the student trains."""

    form: Form | Literal["live", "auto"] = "dense"
    """How distributions are recorded: `dense`, all logits; `top-k`, the most likely classes and the remaining mass;
    `sampled`, classes drawn by their probability, with weights whose mean is the distribution, for `kl` at one
    temperature; `hidden`, the last hidden states and the output head, which give exact logits at any temperature; or
    `live`, not at all: the teacher runs while the student trains. With `auto` (short: `signals: auto`) the plan picks
    the cheapest exact form within `max_gb`, and says why."""
    k: int = Field(40, ge=1)
    """Number of classes that `top-k` and `sampled` record."""
    log_p_bits: int = Field(6, ge=1, le=8)
    """Bits per log-probability in `top-k` and `sampled`."""
    hidden_bits: Literal[8, 16] = 16
    """Bits per entry of a hidden state: 16-bit floats, or 8-bit integers with one scale per state."""
    max_gb: Annotated[float, NotInKey()] = Field(4.0, ge=0)
    """Maximum size of all recorded signals together, in 10^9 bytes: of the whole recipe, or of a round with settings
    of its own. Hidden states of layers that would exceed it are recomputed during training; distributions that would
    exceed it are refused before anything is computed. The plan estimates from the bytes of the texts, and of data that
    is not downloaded yet only each distribution by itself is checked, when it is recorded."""

    @model_validator(mode="before")
    @classmethod
    def _by_one_word(cls, given: object) -> object:
        return {"form": "auto"} if given == "auto" else given


class Round(Spec):
    """Trains one student from one teacher."""

    id: Name
    """Name by which other parts of the recipe refer to the round's student."""
    teacher: Annotated[Teachers | TeacherChoice, RoundRef()] = "teacher"
    """`teacher`, an earlier round, a list of these (the mean of their logits), or a choice made on validation."""
    student: StudentSpec
    """Architecture and initial weights of the student."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Training stages, in order."""
    data: DataSpec | None = None
    """Another data set with its own labels; the head is replaced and the body kept. Default: the recipe's data."""
    fine_tune: Schedule | None = None
    """With `data`: schedule for fine-tuning the recipe's teacher on it, to teach this round."""
    signals: SignalSpec | None = None
    """Signal settings of this round. Default: the recipe's."""

    @model_validator(mode="after")
    def _own_data(self) -> Round:
        if (self.data is None) != (self.fine_tune is None):
            raise ValueError("expected 'data' and 'fine_tune' together: the teacher must know the round's labels")
        return self

    def teachers(self) -> tuple[str, ...]:
        """The ids of all models that this round may learn from."""
        if isinstance(self.teacher, TeacherChoice):
            return tuple(dict.fromkeys(teacher for option in self.teacher.choose for teacher in flat(option)))
        return flat(self.teacher)


def flat(teachers: Teachers) -> tuple[str, ...]:
    """The ids of one or several teachers."""
    return (teachers,) if isinstance(teachers, str) else teachers
