"""Reads what the steps of a run published, for its report. No figure is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from edgedistill import plugins
from edgedistill.artifacts import Artifact, Failure
from edgedistill.contracts.answers import Answers
from edgedistill.data import PreparedData
from edgedistill.model_files import ModelFiles, read_files
from edgedistill.results import HostResult, JudgementResult, TrialResult
from edgedistill.select import Verdict
from edgedistill.signals import load_logits

if TYPE_CHECKING:
    from edgedistill.arrays import Floats, Integers
    from edgedistill.candidates import Candidate
    from edgedistill.contracts.answers import References
    from edgedistill.step import Inputs
    from edgedistill.steps.report import Settings

Json = Mapping[str, object]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Questions:
    """A split that models were asked: the right answers, and what a person reads of it."""

    split: str
    references: References
    labels: Sequence[str]
    show: Callable[[int], str]
    """The text of an example."""


@dataclass(frozen=True)
class Training:
    """What is known of a model's training."""

    parameters: int
    seconds: float
    samples_per_second: float
    epochs: Sequence[Json]


class RunFiles:
    """The artifacts that a report is made of. A model is called as its round (`r1`), with `-control` for the one
    without a teacher, and `-seed5` behind that for a further seed; the teacher is called `teacher`, on a round's own
    data `teacher-ROUND`."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings, self._inputs = settings, inputs
        self.judge = plugins.task(settings.task.type).judge
        self._questions: dict[tuple[str, str], Questions] = {}

    def questions(self, split: str, round_id: str | None = None) -> Questions:
        """A split of the recipe's data, or of a round's own."""
        role = "data" if round_id is None else f"data:{round_id}"
        if (role, split) not in self._questions:
            data, task = PreparedData.of(self._inputs, role), plugins.task(self.settings.task.type)
            rows = data.rows(split)
            self._questions[role, split] = Questions(
                split,
                task.data.references(data.items(split)),
                data.labels,
                lambda example: task.data.show(rows[example], data.columns),
            )
        return self._questions[role, split]

    def ood_references(self, name: str) -> References:
        """The right answers of a set from elsewhere, as far as it has labels that training knows."""
        items = PreparedData.of(self._inputs, "elsewhere").items(name)
        return plugins.task(self.settings.task.type).data.references(items)

    def was_evaluated(self, model: str) -> bool:
        """Whether the run has such a model."""
        return f"evaluate:{model}" in self._inputs

    def answers(self, model: str, split: str) -> Answers:
        """What a torch model said of `validation`, `test` or a set from elsewhere."""
        step = "evaluate" if split == "validation" else "test"
        name = split if split in ("validation", "test") else f"ood-{split}"
        return Answers.open(self._inputs[f"{step}:{model}"].path(f"{name}.safetensors"))

    def file_answers(self, row: Candidate, split: str) -> Answers:
        """What a device file said of `validation` or `test`."""
        if split == "validation":
            return Answers.open(self._verified(row).path("validation.safetensors"))
        return Answers.open(self._inputs["measure"].path(f"test/{row.verify_key}.safetensors"))

    def emulated_answers(self, row: Candidate) -> tuple[Answers, Integers]:
        """What an emulated file said of some items of test, and the numbers of these items."""
        artifact = self._inputs[f"emulate:{row.verify_key}"]
        answers = Answers.open(artifact.path("test.safetensors"))
        return answers, np.unique(answers.item)

    def training(self, model: str) -> Training:
        """How a model was trained."""
        content = self.training_record(model)
        return Training(
            parameters=int(str(content["parameters"])),
            seconds=float(str(content["train_seconds"])),
            samples_per_second=float(str(content["samples_per_second"])),
            epochs=_of(list, content["epochs"]),
        )

    def training_record(self, model: str) -> Json:
        """The same, as it was written."""
        return self._inputs[f"model:{model}"].read_json("training.json")

    @property
    def trained(self) -> tuple[str, ...]:
        """The models that the run trained."""
        return tuple(role.split(":", 1)[1] for role in self._inputs if role.startswith("model:"))

    def model_folder(self, model: str) -> Artifact:
        """Its artifact."""
        return self._inputs[f"model:{model}"]

    def teacher_choice(self, round_id: str) -> tuple[Sequence[str], tuple[TrialResult, ...]] | None:
        """The chosen teachers of a round, and each that was tried; None where there was no choice."""
        if f"choice:{round_id}" not in self._inputs:
            return None
        content = self._inputs[f"choice:{round_id}"].read_json("choice.json")
        trials = [_of(dict, each) for each in _of(list, content["trials"])]
        chosen = [str(name) for name in _of(list, content["chosen"])]
        return chosen, tuple(TrialResult(teacher=tuple(each["teacher"]), value=each["metric"]) for each in trials)

    def teacher_logits(self, teacher: str) -> Floats | None:
        """What a teacher said of the training data; None where that was not recorded."""
        role = f"logits:{teacher}:train"
        if role not in self._inputs:
            return None
        return load_logits(self._inputs[role].path("logits.safetensors"))

    def failure(self, row: Candidate) -> Failure | None:
        """Why a candidate has no figures; None when it has."""
        if row.refused is not None:
            return Failure(row.refused, "refused")
        if row.emulated:
            return self._inputs[f"emulate:{row.verify_key}"].failure
        return self._verified(row).failure or self._inputs["measure"].manifest.failures.get(row.id)

    def files(self, row: Candidate) -> ModelFiles:
        """What was made for the device."""
        return read_files(self._inputs[f"file:{row.file_key}"])

    def fidelity(self, row: Candidate) -> Json:
        """How closely a file repeats its torch model."""
        return self._verified(row).read_json("fidelity.json")

    def measured(self, row: Candidate) -> Json:
        """Times and memory of a candidate."""
        return _of(dict, self._inputs["measure"].read_json("measurements.json")[row.id])

    def emulation(self, row: Candidate) -> Json:
        """What was counted of an emulated candidate."""
        return self._inputs[f"emulate:{row.verify_key}"].read_json("emulation.json")

    @cached_property
    def host(self) -> HostResult:
        """The machine that measured."""
        return HostResult.model_validate(self._inputs["measure"].read_json("environment.json"))

    @cached_property
    def _choice(self) -> Json:
        return self._inputs["choose"].read_json("choice.json")

    @property
    def chosen(self) -> tuple[str | None, str]:
        """The id of what to ship, and why."""
        found = self._choice["chosen"]
        return None if found is None else str(found), str(self._choice["why"])

    def verdict(self, row: Candidate) -> Verdict:
        """A candidate's standing."""
        verdicts = [_of(dict, each) for each in _of(list, self._choice["verdicts"])]
        return next(Verdict(**each) for each in verdicts if each["id"] == row.id)

    @cached_property
    def judgements(self) -> tuple[JudgementResult, ...]:
        """Of the rounds that the stop rule judged."""
        found = []
        for each in self.settings.rounds:
            if f"judge:{each.id}" in self._inputs:
                content = dict(self._inputs[f"judge:{each.id}"].read_json("judgement.json"))
                low, high = _of(list, content.pop("drop_ci"))
                drop = {"value": content.pop("drop"), "low": low, "high": high, "p": content.pop("p")}
                found.append(JudgementResult.model_validate({**content, "drop": {**drop, "split": "validation"}}))
        return tuple(found)

    @cached_property
    def split_facts(self) -> Mapping[str, Json]:
        """What was found in each split of the recipe's data."""
        data = PreparedData.of(self._inputs)
        return {split: data.split_facts(split) for split in ("train", *data.splits)}

    def _verified(self, row: Candidate) -> Artifact:
        return self._inputs[f"verify:{row.verify_key}"]


def _of(kind: type[_T], content: object) -> _T:
    """A part of a file of this run, which is of the type that its step wrote."""
    assert isinstance(content, kind)
    return content
