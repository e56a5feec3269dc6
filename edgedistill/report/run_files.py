"""Reads the published artifacts of a run for its report. No figure is computed here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import evenly_spaced
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.data.prepared import PreparedData
from edgedistill.evaluation.results import JudgementResult
from edgedistill.evaluation.results_candidates import SpeedUpResult
from edgedistill.evaluation.results_figures import Difference
from edgedistill.evaluation.results_hosts import HostResult
from edgedistill.evaluation.results_models import TrialResult
from edgedistill.exporting.files import ModelFiles, read_files
from edgedistill.signals.recorded import Shards
from edgedistill.store.artifacts import Failure
from edgedistill.store.data_inputs import DataInputs

if TYPE_CHECKING:
    from edgedistill.arrays import Floats, Integers
    from edgedistill.contracts.answers import References
    from edgedistill.evaluation.selection import Verdict
    from edgedistill.exporting.candidates import Candidate
    from edgedistill.steps.kinds.report import Inputs, Settings
    from edgedistill.store.records.data import SplitFacts
    from edgedistill.store.records.files import Emulated, Measurement, Verified
    from edgedistill.store.records.models import TrainedModel
    from edgedistill.store.records.samples import Sample


_LOGITS = 20_000_000
"""Maximum of numbers to read: those of a whole vocabulary would not fit into memory."""


@dataclass(frozen=True)
class Questions:
    """An evaluated split: its references and readable texts."""

    split: str
    references: References
    labels: Sequence[str]
    show: Callable[[int], str]
    """The text of an example."""


class RunFiles:
    """The artifacts behind a report. A model is named after its round (`r1`), with the suffix `-control` for the one
    without a teacher, and then `-seed5` for a further seed; the teacher is `teacher`, or `teacher-ROUND` on a round's
    own data."""

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings, self._inputs = settings, inputs
        self.judge = registry.task(settings.task.type).judge(settings.task)
        self._questions: dict[tuple[str | None, str], Questions] = {}

    def questions(self, split: str, round_id: str | None = None) -> Questions:
        """A split of the recipe's data in the teacher's tokens; for a round with its own data or decisions, of these.

        Args:
            round_id: the round of the model; none for the teacher.
        """
        if (round_id, split) not in self._questions:
            own = {**self._inputs.own_tokens, **self._inputs.own_data}
            given = own.get(round_id or "", self._inputs.data)
            data, task = PreparedData.of(given), registry.task(self.settings.task.type)
            rows = data.rows(split)
            self._questions[round_id, split] = Questions(
                split,
                task.data.references(data.items(split)),
                data.labels,
                lambda example: task.data.show(rows[example], data.columns),
            )
        return self._questions[round_id, split]

    def decides_as_teacher(self, round_id: str) -> bool:
        """Whether a round's student has the same decisions as its teacher."""
        return round_id not in self._inputs.own_tokens

    def ood_references(self, name: str) -> References:
        """The references of an out-of-distribution set, where its labels occur in training."""
        assert self._inputs.ood_data is not None, "an out-of-distribution set is prepared by a step"
        items = PreparedData.of(DataInputs(self._inputs.ood_data)).items(name)
        return registry.task(self.settings.task.type).data.references(items)

    def was_evaluated(self, model: str) -> bool:
        """Whether the run has such a model."""
        return model in self._inputs.evaluated

    def answers(self, model: str, split: str) -> Answers:
        """A PyTorch model's answers on `validation`, `test` or an out-of-distribution set."""
        asked = (self._inputs.evaluated if split == "validation" else self._inputs.tested)[model]
        name = asked.record.answers if split in ("validation", "test") else asked.record.ood[split]
        return Answers.open(asked.path(name))

    def file_answers(self, row: Candidate, split: str) -> Answers:
        """An exported file's answers on `validation` or `test`."""
        if split == "validation":
            return Answers.open(self._inputs.verified[row.verify_key].path(self.verified(row).answers))
        measured = self._inputs.measured
        return Answers.open(measured.path(measured.record.answers[str(row.verify_key)]))

    @property
    def rounds_on_recipe_data(self) -> tuple[str, ...]:
        """The rounds that are evaluated on the same test set as the teacher."""
        return tuple(round_.id for round_ in self.settings.rounds if round_.data is None)

    @property
    def beginnings(self) -> tuple[str, ...]:
        """Prefixes of a few test examples, for a task that generates text."""
        return self._inputs.tested["teacher"].record.beginnings

    def samples(self, model: str) -> tuple[Sample, ...]:
        """A PyTorch model's continuations of them."""
        return self._inputs.tested[model].record.samples

    def file_samples(self, row: Candidate) -> tuple[Sample, ...]:
        """An exported file's continuations of them; () if it failed."""
        return self._inputs.measured.record.samples.get(str(row.verify_key), ())

    def emulated_answers(self, row: Candidate) -> tuple[Answers, Integers]:
        """An emulated file's answers on some items of test, and the indices of these items."""
        answers = Answers.open(self._inputs.emulated[row.verify_key].path(self.emulation(row).test))
        return answers, np.unique(answers.item)

    def training(self, model: str) -> TrainedModel:
        """The training record of a model."""
        return self._inputs.models[model].record

    def model_folder(self, model: str) -> Path:
        """Its transformers folder."""
        artifact = self._inputs.models[model]
        return artifact.path(artifact.record.model)

    def teacher_choice(self, round_id: str) -> tuple[Sequence[str], tuple[TrialResult, ...]] | None:
        """The chosen teachers of a round, and all candidates; None if there was no choice."""
        if round_id not in self._inputs.choices:
            return None
        found = self._inputs.choices[round_id].record
        return found.chosen, tuple(TrialResult(teacher=trial.teacher, value=trial.metric) for trial in found.trials)

    def teacher_logits(self, teacher: str) -> Floats | None:
        """A teacher's logits on the training data, or a sample of it; None if not recorded."""
        recorded = self._inputs.recorded.get(teacher)
        if recorded is None:
            return None
        files = [recorded.path(file) for file in recorded.record.files]
        shards = Shards.of(files)
        some = evenly_spaced(len(shards), max(1, _LOGITS // shards.parts[0].shape[1]))
        return np.asarray(shards.rows(some), np.float64)

    def failure(self, row: Candidate) -> Failure | None:
        """Why a candidate has no figures; None if it has."""
        if row.refused is not None:
            return Failure(row.refused, "refused")
        if row.emulated:
            return self._inputs.emulated[row.verify_key].failure
        measured = self._inputs.measured.published.manifest.failures
        return self._inputs.verified[row.verify_key].failure or measured.get(row.id)

    def files(self, row: Candidate) -> ModelFiles:
        """The exported files."""
        return read_files(self._inputs.files[row.file_key])

    def verified(self, row: Candidate) -> Verified:
        """How closely a file matches its PyTorch model."""
        return self._inputs.verified[row.verify_key].record

    def measured(self, row: Candidate) -> Measurement:
        """Times and memory of a candidate."""
        return self._inputs.measured.record.candidates[row.id]

    def emulation(self, row: Candidate) -> Emulated:
        """The instruction counts of an emulated candidate."""
        return self._inputs.emulated[row.verify_key].record

    @cached_property
    def host(self) -> HostResult:
        """The machine that measured."""
        return HostResult.model_validate(dict(self._inputs.measured.record.environment))

    @property
    def chosen(self) -> tuple[str | None, str]:
        """The id of the candidate to ship, and why."""
        choice = self._inputs.chosen.record.choice
        return choice.chosen, choice.why

    @property
    def prompt_tokens(self) -> int | None:
        """Prompt length of the speed figures used for the choice."""
        return self._inputs.chosen.record.prompt_tokens

    def verdict(self, row: Candidate) -> Verdict:
        """The verdict on a candidate."""
        return next(verdict for verdict in self._inputs.chosen.record.choice.verdicts if verdict.id == row.id)

    def speed_up(self, row: Candidate) -> SpeedUpResult | None:
        """A quantized candidate's speed-up over its fp32 file, if that was measured."""
        beside = self._inputs.chosen.record.beside_fp32.get(row.id)
        return None if beside is None else SpeedUpResult(**asdict(beside.speed_up), over=beside.fp32)

    @cached_property
    def judgements(self) -> tuple[JudgementResult, ...]:
        """Judgements of the stopping rule."""
        found = [
            self._inputs.judged[round_.id].record.judgement
            for round_ in self.settings.rounds
            if round_.id in self._inputs.judged
        ]
        return tuple(
            JudgementResult(
                round=judgement.round,
                drop=Difference(
                    value=judgement.drop,
                    low=judgement.drop_ci[0],
                    high=judgement.drop_ci[1],
                    p=judgement.p,
                    split="validation",
                ),
                real=judgement.real,
                within_limits=judgement.within_limits,
                stop=judgement.stop,
                reason=judgement.reason,
            )
            for judgement in found
        )

    @cached_property
    def split_facts(self) -> Mapping[str, SplitFacts]:
        """Findings in each split of the recipe's data."""
        data = PreparedData.of(self._inputs.data)
        return {split: data.split_facts(split) for split in ("train", *data.splits)}
