"""What a recipe trained and evaluated, before anything is exported: for comparisons of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import plugins
from .artifacts import Artifact
from .contracts.answers import Answers, References
from .planning import Plan
from .recipe import Recipe

_EVALUATES, _TRIES = "evaluate", "probe_model"


def without_files(plan: Plan) -> Plan:
    """The part of a plan that trains and evaluates models, each tried before: no files, no measurements, no choice."""
    wanted: set[str] = set()
    for step in reversed(plan.steps):
        if step.kind in (_EVALUATES, _TRIES) or step.name in wanted:
            wanted |= {step.name, *step.inputs.values()}
    return Plan(plan.recipe, tuple(step for step in plan.steps if step.name in wanted), plan.models, ())


@dataclass(frozen=True)
class EvaluatedRun:
    """Trained models and their answers. A model is called as its round (`r1`), with `-control` for the one without a
    teacher, and `-seed5` behind that for a further seed; the teacher is called `teacher`."""

    folder: Path
    recipe: Recipe
    artifacts: Mapping[str, Artifact]
    """By the name of the step."""

    @property
    def models(self) -> tuple[str, ...]:
        """All that were evaluated."""
        return tuple(name.removeprefix("test-") for name in self.artifacts if name.startswith("test-"))

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of a model's name, for each seed."""
        return ("", *(f"-seed{seed}" for seed in self.recipe.seeds))

    def model_folder(self, model: str) -> Path:
        """The transformers folder with its weights and tokenizer."""
        return self.artifacts[model].path("model")

    def training(self, model: str) -> dict[str, object]:
        """What is known of its training: parameters, seconds, epochs."""
        return self.artifacts[model].read_json("training.json")

    def said(self, model: str, split: str = "test") -> Answers:
        """What a model said of a split: `test` or `validation`."""
        step = f"{'test' if split == 'test' else 'evaluate'}-{model}"
        return Answers.open(self.artifacts[step].path(f"{split}.safetensors"))

    def references(self, split: str = "test") -> References:
        """The right answers of a split."""
        from .data import PreparedData

        data, place = self.artifacts["data"], self.artifacts[f"data-{split}"]
        items = PreparedData(data.folder, {split: place.folder}).items(split)
        return plugins.task(self.recipe.task.type).data.references(items)

    def answers(self, model: str, rows: Sequence[Mapping[str, str]]) -> Answers:
        """What a model says of rows that are in no split.

        Args:
            rows: columns as the task calls them, such as `text`.
        """
        from datasets import Dataset

        from .contracts.task import Encoder
        from .data import encode
        from .inference import predict
        from .models import load_model, load_tokenizer

        task = plugins.task(self.recipe.task.type)
        folder = self.model_folder(model)
        tokenizer = load_tokenizer(folder)
        columns = {key: key for key in task.data.columns.known if key in rows[0] or key == task.data.columns.labels}
        table = Dataset.from_list([dict(row) for row in rows])
        items = encode(table, task, Encoder(columns, tokenizer, {}, self.recipe.data.max_length))
        return predict(load_model(task.model.auto_class(), folder, None, head_required=True), task, items)
