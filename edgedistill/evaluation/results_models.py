"""What results say of the teacher and of each round."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from edgedistill.evaluation.results_figures import Difference, Figure, Judged, OodResult, Part


class TeacherResult(Judged):
    """The teacher, in PyTorch."""

    SHOWN: ClassVar[tuple[str, ...]] = ("parameters",)

    parameters: int
    train_seconds: float
    calibration_error: float | None = None
    """Expected calibration error on test."""
    ood: dict[str, OodResult] = Field(default_factory=dict)
    """By the name of the set in `evaluate.ood`."""


class SeedResult(Part):
    """One repetition of a round: the primary metric on test."""

    seed: int
    value: float
    control: float | None = None


class TrialResult(Part):
    """A candidate teacher, and the primary metric of its trial on validation."""

    teacher: tuple[str, ...]
    value: float


class ErrorCounts(Part):
    """On test, in decisions."""

    corrected: int
    introduced: int
    """Both relative to the previous model in the run."""
    inherited: int
    """The same wrong answer as the teacher."""


class RoundResult(Judged):
    """A round's student in PyTorch, with its control. Differences are paired, on test."""

    SHOWN: ClassVar[tuple[str, ...]] = ("id", "teacher", "student", "parameters")

    id: str
    teacher: str
    student: str
    parameters: int
    drop: Difference
    """From the teacher."""
    control: Figure | None = None
    gain: Difference | None = None
    """Over the control."""
    agreement_with_teacher: float | None
    """Share of decisions; None if the student has its own tokens and so other decisions."""
    train_seconds: float
    samples_per_second: float
    calibration_error: float | None = None
    ood: dict[str, OodResult] = Field(default_factory=dict)
    own_teacher: Figure | None = None
    """For a round with its own data: the teacher fine-tuned on it. All figures of such a round are on its own test
    set."""
    teacher_trials: tuple[TrialResult, ...] = ()
    """All candidate teachers, if the teacher was chosen."""
    errors: ErrorCounts | None = None
    """Null for a task without correct answers."""
    loads_in: tuple[str, ...] = ()
    """Libraries whose auto classes load `models/ID`: `edgedistill`, and `transformers` if it knows the model type."""
    seeds: tuple[SeedResult, ...] = ()
    """Every repetition, this one first; empty if there was no other."""

    @property
    def only_edgedistill_loads_it(self) -> bool:
        """Whether the folder's model type is unknown to transformers, optimum and transformers.js."""
        return self.loads_in == ("edgedistill",)

    @property
    def on_recipe_data(self) -> bool:
        """Whether the figures are on the recipe's test set, not on the round's own."""
        return self.own_teacher is None
