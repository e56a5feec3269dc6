"""The plan: a recipe as an ordered list of steps with content keys. It loads neither torch nor a model.

The models' sizes are computed once in another process, and cached.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgedistill.exporting.candidates import Candidate, candidates
from edgedistill.exporting.estimates import CandidateEstimate
from edgedistill.planning.architectures import refuse_architectures
from edgedistill.planning.candidate_estimates import estimates_of_plan
from edgedistill.planning.devices import plan_closing, plan_evaluation, plan_files, plan_judgement
from edgedistill.planning.draft import Draft, arms
from edgedistill.planning.estimates import ModelEstimate, estimate_models
from edgedistill.planning.exact_sizes import model_shapes
from edgedistill.planning.fingerprints import Sources
from edgedistill.planning.outputs import Outputs
from edgedistill.planning.signal_budget import refuse_over_budget
from edgedistill.planning.training import choose_forms, plan_round, plan_teacher
from edgedistill.recipe.schema import Recipe
from edgedistill.store import roles
from edgedistill.store.artifacts import Published
from edgedistill.store.step import Step

__all__ = ["ModelEstimate", "Outputs", "Plan", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """Steps in execution order, the models they produce, and the candidates they measure."""

    recipe: Recipe
    steps: tuple[Step, ...]
    models: tuple[ModelEstimate, ...]
    candidates: tuple[Candidate, ...]
    outputs: Outputs
    estimates: tuple[CandidateEstimate, ...] = ()
    """Of every candidate that is measured."""

    def __repr__(self) -> str:
        counts = f"{len(self.steps)} steps, {len(self.models)} models, {len(self.candidates)} candidates"
        return f"Plan({self.recipe.name!r}, {counts})"

    def made(self, done: Mapping[str, Published]) -> Outputs:
        """The existing outputs, by the name of the step."""
        return roles.resolved(self.outputs, lambda planned: done.get(planned.step))

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    def until(self, name: str) -> Plan:
        """The part of the plan up to the step of that name."""
        position = self.steps.index(self.step(name))
        return replace(self, steps=self.steps[: position + 1])


def make_plan(recipe: Recipe, sources: Sources, *, loading_torch: bool = False) -> Plan:
    """The plan of a recipe, given what is known of its inputs.

    Args:
        loading_torch: compute model sizes in this process, for a run that needs torch anyway.

    Raises:
        RecipeError: a model that its configuration shows to be unsuitable.
        UserError: recorded signals that exceed their budget.
    """
    shapes = model_shapes(recipe, sources, here=loading_torch)
    refuse_architectures(recipe, sources, shapes)
    rows = candidates(recipe)
    estimates = estimates_of_plan(rows, recipe, shapes)
    draft = Draft(recipe, sources, shapes, estimates)
    plan_teacher(draft)
    plan_evaluation(draft, "teacher", "teacher")
    plan_files(draft, [row for row in rows if row.model == "teacher"])
    for round_ in recipe.rounds:
        forms = choose_forms(draft, round_)
        for arm in arms(recipe):
            for model in plan_round(draft, round_, arm, forms):
                plan_evaluation(draft, model, round_.id)
        if round_.data is not None:
            continue  # not exported: its labels are not the recipe's
        own = [row for row in rows if row.model == round_.id]
        plan_files(draft, own)
        if recipe.stop is not None:
            plan_judgement(draft, round_, own)
    refuse_over_budget(draft.recordings.values())
    outputs = plan_closing(draft, rows)
    return Plan(recipe, tuple(draft.steps.ordered), estimate_models(recipe, shapes), rows, outputs, estimates)
