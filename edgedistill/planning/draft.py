"""A plan while it is being made: the steps so far, and what a later step must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from edgedistill.errors import UserError
from edgedistill.ingredients import plugin_versions
from edgedistill.recipe import Recipe
from edgedistill.sources import Sources
from edgedistill.spec import Spec
from edgedistill.step import Step, key_of

from .estimates import Shapes


class Steps:
    """Collects steps; each key comes from the keys of its inputs, so order is checked as it is built."""

    def __init__(self) -> None:
        self.ordered: list[Step] = []
        self._by_key: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def add(
        self,
        name: str,
        kind: str,
        settings: Spec,
        inputs: Mapping[str, str],
        summary: str,
        identity: object = None,
        *,
        optional: bool = False,
        tools: Mapping[str, object] | None = None,
    ) -> str:
        """Append a step, unless one with the same key is there already; returns the name of the one to read.

        Raises:
            UserError: a round has the name of another step.

        Args:
            identity: stands for the settings in the key where they hold paths.
            tools: versions of the programs that the step runs, and the machine where it measures that.
        """
        version = import_module(f"edgedistill.steps.{kind}").VERSION
        known = identity if identity is not None else settings.model_dump(mode="json", by_alias=True)
        keys = {role: self._keys[step] for role, step in inputs.items()}
        key = key_of(kind, version, known, keys, plugin_versions(settings), tools)
        if key in self._by_key:
            return self._by_key[key]
        if name in self._keys:
            raise UserError(f"rounds: got the id of a step that the run has already ('{name}'), expected another id")
        self._by_key[key] = name
        self._keys[name] = key
        self.ordered.append(Step(name, kind, settings, dict(inputs), key, summary, optional))
        return name


@dataclass(frozen=True)
class Draft:
    """The recipe, what is known of its inputs, the steps, and which step holds the tokens that each model reads."""

    recipe: Recipe
    sources: Sources
    shapes: Shapes
    steps: Steps = field(default_factory=Steps)
    data_of: dict[str, str] = field(default_factory=lambda: {"teacher": "data"})

    def reading(self, model: str, *splits: str, role: str = "data") -> dict[str, str]:
        """The inputs of a step that reads these splits, beside the training data, in the tokens of a model."""
        return reading(self.data_of[model], *splits, role=role)


def reading(data: str, *splits: str, role: str = "data") -> dict[str, str]:
    """The inputs under `role`: a data step, and the steps of the further splits of it that are read."""
    return {role: data} | {f"{role}/{split}": split_step(data, split) for split in splits if split != "train"}


def split_step(data: str, split: str) -> str:
    """The step that publishes a further split of a data step."""
    return f"{data}-{split}"


@dataclass(frozen=True)
class Arm:
    """Which repetition of the rounds: the first with the recipe's own seed, the others named by theirs."""

    seed: int
    suffix: str = ""

    def at(self, model: str) -> str:
        """The step that makes a model in this arm; the teacher, tuned on whatever data, is one for all."""
        return model if model == "teacher" or model.startswith("teacher-") else f"{model}{self.suffix}"


def arms(recipe: Recipe) -> list[Arm]:
    """The repetitions of the rounds."""
    return [Arm(recipe.seed), *(Arm(seed, f"-seed{seed}") for seed in recipe.seeds)]
