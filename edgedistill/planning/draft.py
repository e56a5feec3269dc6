"""A plan under construction: the steps so far, and their outputs for later steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from edgedistill.contracts.task_spec import TaskSpec
from edgedistill.errors import UserError
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.planning.estimates import Shapes
from edgedistill.planning.fingerprints import Sources
from edgedistill.planning.keys import KeyContent
from edgedistill.planning.signal_budget import Recording
from edgedistill.recipe.schema import Recipe
from edgedistill.spec import Spec
from edgedistill.steps.kinds.judge_round import Judged
from edgedistill.store import roles
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.base import Record
from edgedistill.store.records.files import Emulated, FileId, MadeFiles, SearchedFiles, Verified, VerifyId
from edgedistill.store.records.models import Evaluation, Signals, TeacherChosen, TrainedModel
from edgedistill.store.step import Step, StepKind, key_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound=Spec)
I = TypeVar("I", bound="DataclassInstance")  # noqa: E741 - inputs
R = TypeVar("R", bound=Record)


class Steps:
    """Collects steps; each key comes from the keys of its inputs, so order is checked as it is built."""

    def __init__(self, sources: Sources) -> None:
        self.ordered: list[Step] = []
        self._sources, self._content = sources, KeyContent(sources)
        self._by_key: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def add(
        self, name: str, kind: StepKind[S, I, R], settings: S, inputs: I, summary: str, *, optional: bool = False
    ) -> Artifact[R]:
        """Append a step, unless one with the same key exists; returns its output.

        Raises:
            UserError: a round is named like another step.
        """
        keys = {role: self._keys[artifact.step] for role, artifact in roles.named(inputs).items()}
        key = key_of(kind, self._content.of(settings), keys, self._sources.host)
        if key in self._by_key:
            return Artifact(self._by_key[key], key, kind.record)
        if name in self._keys:
            raise UserError(f"rounds: the id '{name}' is already the name of a step, expected another id")
        self._by_key[key] = name
        self._keys[name] = key
        self.ordered.append(Step(name, kind, settings, inputs, key, summary, optional))
        return Artifact(name, key, kind.record)


@dataclass(frozen=True)
class Draft:
    """The recipe, what is known of its inputs, the steps, and their outputs by model name or file id.

    A model is named after its step: `r1`, `r1-control`, `r1-seed7`, `teacher`, `teacher-r2`.
    """

    recipe: Recipe
    sources: Sources
    shapes: Shapes
    estimates: tuple[CandidateEstimate, ...] = ()
    data: dict[str, DataInputs] = field(default_factory=dict)
    """All splits of the data of each of the recipe's models, in its tokens."""
    models: dict[str, Artifact[TrainedModel]] = field(default_factory=dict)
    evaluated: dict[str, Artifact[Evaluation]] = field(default_factory=dict)
    tested: dict[str, Artifact[Evaluation]] = field(default_factory=dict)
    recorded: dict[str, Artifact[Signals]] = field(default_factory=dict)
    """Logits on the training set."""
    recordings: dict[str, Recording] = field(default_factory=dict)
    """Every recorded signal, by the key of its step."""
    choices: dict[str, Artifact[TeacherChosen]] = field(default_factory=dict)
    judged: dict[str, Artifact[Judged]] = field(default_factory=dict)
    files: dict[FileId, Artifact[MadeFiles]] = field(default_factory=dict)
    searched: dict[FileId, Artifact[SearchedFiles]] = field(default_factory=dict)
    """Those of `files` whose mix is searched."""
    verified: dict[VerifyId, Artifact[Verified]] = field(default_factory=dict)
    emulated: dict[VerifyId, Artifact[Emulated]] = field(default_factory=dict)

    @property
    def task(self) -> TaskSpec:
        """The task as passed to every step except the report."""
        return self.recipe.task.by_primary

    @property
    def unjudged_task(self) -> TaskSpec:
        """The task as passed to steps that read and encode data."""
        return self.recipe.task.without_metrics

    @cached_property
    def steps(self) -> Steps:
        """The steps so far."""
        return Steps(self.sources)

    def reading(self, model: str, *splits: str) -> DataInputs:
        """The part of a model's data that a step reads: the training data and these splits."""
        return self.data[model].reading(*splits)


@dataclass(frozen=True)
class Arm:
    """A repetition of the rounds: the first has the recipe's own seed, the others are named by theirs."""

    seed: int
    suffix: str = ""

    def at(self, model: str) -> str:
        """The step that trains a model in this arm; teachers are shared by all arms."""
        return model if model == "teacher" or model.startswith("teacher-") else f"{model}{self.suffix}"


def arms(recipe: Recipe) -> list[Arm]:
    """The repetitions of the rounds."""
    return [Arm(recipe.seed), *(Arm(seed, f"-seed{seed}") for seed in recipe.seeds)]
