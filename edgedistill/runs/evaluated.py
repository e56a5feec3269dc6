"""Trained and evaluated models of a recipe, before any export: for comparing recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers, References
from edgedistill.contracts.task import Encoder
from edgedistill.data.prepared import PreparedData, encode
from edgedistill.models.loading import load_model, load_tokenizer
from edgedistill.planning import Outputs, Plan
from edgedistill.recipe.schema import Recipe
from edgedistill.signals.inference import predict
from edgedistill.steps.kinds import evaluate, probe_model
from edgedistill.store.records.models import TrainedModel

if TYPE_CHECKING:
    from datasets import Dataset


def without_files(plan: Plan) -> Plan:
    """The part of a plan that probes, trains and evaluates models: no files, measurements or choice."""
    wanted: set[str] = set()
    for step in reversed(plan.steps):
        if step.kind in (evaluate.KIND, probe_model.KIND) or step.name in wanted:
            wanted |= {step.name, *step.sources}
    return replace(plan, steps=tuple(step for step in plan.steps if step.name in wanted), candidates=())


@dataclass(frozen=True)
class EvaluatedRun:
    """Trained models and their answers. A model is named after its round (`r1`), with the suffix `-control` for the one
    without a teacher, and then `-seed5` for a further seed; the teacher is `teacher`."""

    folder: Path
    recipe: Recipe
    outputs: Outputs
    """Those that exist."""

    def __repr__(self) -> str:
        return f"EvaluatedRun({str(self.folder)!r}, recipe {self.recipe.name!r}, models {', '.join(self.models)})"

    @property
    def models(self) -> tuple[str, ...]:
        """All evaluated models."""
        return tuple(self.outputs.tested)

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The names of a model for each seed."""
        return ("", *(f"-seed{seed}" for seed in self.recipe.seeds))

    def model_folder(self, model: str) -> Path:
        """The transformers folder with its weights and tokenizer."""
        made = self.outputs.models[model]
        return made.path(made.record.model)

    def training(self, model: str) -> TrainedModel:
        """Its training record: parameters, seconds, epochs."""
        return self.outputs.models[model].record

    def said(self, model: str, split: str = "test") -> Answers:
        """A model's answers on a split: `test` or `validation`."""
        asked = (self.outputs.tested if split == "test" else self.outputs.evaluated)[model]
        return Answers.open(asked.path(asked.record.answers))

    def rows(self, split: str = "test") -> Dataset:
        """The raw examples of a split: `train`, `validation` or `test`."""
        return self._data(split).rows(split)

    @property
    def labels(self) -> list[str]:
        """Class names in the order of their ids; none for a task without classes."""
        return self._data().labels

    def references(self, split: str = "test", model: str = "teacher") -> References:
        """The right answers of a split for the decisions of the given model (`r1`); for a language model these depend
        on its tokens."""
        items = PreparedData.of(self.outputs.data[model].reading(split)).items(split)
        return registry.task(self.recipe.task.type).data.references(items)

    def answers(self, model: str, rows: Sequence[Mapping[str, str]]) -> Answers:
        """A model's answers for new rows.

        Args:
            rows: columns under the task's names, such as `text`.
        """
        from datasets import Dataset

        task = registry.task(self.recipe.task.type)
        folder = self.model_folder(model)
        tokenizer = load_tokenizer(folder)
        columns = task.data.columns.read({key: key for key in task.data.columns.known if key in rows[0]})
        table = Dataset.from_list([dict(row) for row in rows])
        items = encode(table, task, Encoder(columns, tokenizer, {}, self.recipe.data.max_length, self.recipe.task))
        return predict(load_model(task.model.auto_class(), folder, None, head_required=True), task, items)

    def _data(self, split: str = "train") -> PreparedData:
        """The recipe's data, with one of its splits."""
        further = () if split == "train" else (split,)
        return PreparedData.of(self.outputs.data["teacher"].reading(*further))
