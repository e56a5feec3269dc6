"""A plan while it is being made: the steps so far, and what a later step must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from edgedistill.ingredients import plugin_versions
from edgedistill.recipe import Recipe
from edgedistill.sources import Sources
from edgedistill.spec import Spec
from edgedistill.step import Step, key_of


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
        self._by_key[key] = name
        self._keys[name] = key
        self.ordered.append(Step(name, kind, settings, dict(inputs), key, summary, optional))
        return name


@dataclass(frozen=True)
class Draft:
    """The recipe, what is known of its inputs, the steps, and which step holds the tokens that each model reads."""

    recipe: Recipe
    sources: Sources
    steps: Steps = field(default_factory=Steps)
    data_of: dict[str, str] = field(default_factory=lambda: {"teacher": "data"})


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
