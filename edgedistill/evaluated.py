"""What a recipe trained and evaluated, before anything is exported: for comparisons of recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import plugins
from .artifacts import Artifact
from .planning import Plan
from .recipe import Recipe

if TYPE_CHECKING:
    from .arrays import Floats, Integers

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

    def logits(self, model: str, split: str = "test") -> Floats:
        """(R, C) what a model said of a split: `test` or `validation`."""
        import numpy as np

        from .tasks._former import load_rows

        step = f"{'test' if split == 'test' else 'evaluate'}-{model}"
        return np.array(load_rows(self.artifacts[step].path(f"{split}.safetensors")).values)

    def references(self, split: str = "test") -> Integers:
        """(R,) the right answers of a split."""
        from .data import PreparedData
        from .tasks._former import references

        data, place = self.artifacts["data"], self.artifacts[f"data-{split}"]
        tokens = PreparedData(data.folder, {split: place.folder}).items(split)
        return references(plugins.task(self.recipe.task.type), tokens)

    def answers(self, model: str, rows: Sequence[Mapping[str, str]]) -> Floats:
        """(R, C) what a model says of rows that are in no split.

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
        own = load_model(task.model.auto_class(), folder, None, head_required=True)
        return predict(own, task, items).values["logits"]  # type: ignore[return-value]
