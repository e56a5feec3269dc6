"""Refuses what the models' `config.json` already tells will not work, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from edgedistill import plugins
from edgedistill.architectures import Config, advice, is_encoder_decoder, kind_of, unsuitable
from edgedistill.errors import RecipeError
from edgedistill.layouts import LAYOUTS
from edgedistill.recipe import Recipe, Round, source_of
from edgedistill.shapes import ModelShape
from edgedistill.sources import Sources

from .estimates import shapes


def refuse_architectures(recipe: Recipe, sources: Sources) -> None:
    """Look at every model whose configuration is known.

    Raises:
        RecipeError: all that can't work, each with the recipe's key and what works instead.
    """
    if not plugins.task(recipe.task.type).data.tokens:
        return
    if found := [f"{path}: {sentence}" for path, sentence in problems(recipe, sources)]:
        raise RecipeError(found)


def problems(recipe: Recipe, sources: Sources) -> Iterator[tuple[str, str]]:
    """(dotted path, sentence) of each."""
    known: dict[str, Config | None] = {"teacher": _teacher(recipe, sources)}
    own = [("teacher.model", known["teacher"])]
    for i, each in enumerate(recipe.rounds):
        model = getattr(each.student, "model", None)
        if model is not None:
            own.append((f"rounds.{i}.student.model", sources.configs.get(model)))
    for path, config in own:
        if config is not None and is_encoder_decoder(config):
            yield (
                path,
                f"got a '{kind_of(config)}', which is an encoder and a decoder; expected a model of one part, an "
                "encoder (BERT, RoBERTa, DeBERTa, ...) or a decoder (GPT-2, Llama, ...)",
            )
            return  # nothing that follows could be right
    sizes = shapes(recipe, sources)
    for i, each in enumerate(recipe.rounds):
        yield from _initialisation_problems(each, f"rounds.{i}", known, sources)
        yield from _loss_problems(each, f"rounds.{i}", known, sizes)


def _teacher(recipe: Recipe, sources: Sources) -> Config | None:
    return {"model_type": "bert"} if recipe.teacher.scratch else sources.configs.get(recipe.teacher.model or "")


def _initialisation_problems(
    each: Round, where: str, known: dict[str, Config | None], sources: Sources
) -> Iterator[tuple[str, str]]:
    """What a student can't be made of; notes what it becomes."""
    source, init = source_of(each.student), each.student.init
    config = known.get(source) if source is not None else sources.configs.get(getattr(each.student, "model", ""))
    known[each.id] = config
    if config is None:
        return
    if source is None:
        cut = getattr(each.student, "layers", None) is not None
        if cut and (reason := unsuitable("keep_layers", config)) is not None:
            yield f"{where}.student.layers", f"'model' is a '{kind_of(config)}', {reason}; expected no 'layers'"
        return
    if (reason := unsuitable(init, config)) is not None:
        yield f"{where}.student.init", f"got '{init}', but 'from' is a '{kind_of(config)}', {reason}; {advice(config)}"
    becomes = getattr(plugins.find("students", init), "BECOMES", None)
    known[each.id] = config if becomes is None else {"model_type": becomes}


def _loss_problems(
    each: Round, where: str, known: Mapping[str, Config | None], sizes: Mapping[str, ModelShape | None]
) -> Iterator[tuple[str, str]]:
    """Losses over the inside of models that have it nowhere known, or in parts that don't fit."""
    teacher = "teacher" if each.data is not None else each.teachers()[0]
    for j, stage in enumerate(each.stages):
        for k, loss in enumerate(stage.losses):
            path = f"{where}.stages.{j}.losses.{k}"
            if loss.kind == "minilm_relations":
                strange = [config for name in (each.id, teacher) if (config := known.get(name)) and _unknown(config)]
                if strange:
                    known_here = ", ".join(sorted(LAYOUTS))
                    yield (
                        path,
                        f"'minilm_relations' does not know where a '{kind_of(strange[0])}' has its queries, keys and "
                        f"values, only {known_here}; use hidden_mse, attention_mse or a loss on logits",
                    )
                    continue
                yield from _relation_heads(path, getattr(loss, "relation_heads", 1), sizes[each.id], sizes[teacher])
            if loss.kind == "attention_mse" and getattr(loss, "heads", "each") == "each":
                yield from _attention_heads(path, sizes[each.id], sizes[teacher])


def _unknown(config: Config) -> bool:
    return kind_of(config) not in LAYOUTS


def _relation_heads(
    path: str, heads: int, student: ModelShape | None, teacher: ModelShape | None
) -> Iterator[tuple[str, str]]:
    known = {"student": student, "teacher": teacher}
    widths = {who: shape.hidden_size for who, shape in known.items() if shape and shape.pruned_to is None}
    for who, width in widths.items():
        if width % heads:
            example = math.gcd(*widths.values())
            yield (
                f"{path}.relation_heads",
                f"got {heads}, expected a divisor of the {who}'s width {width} (for example {example})",
            )
            return


def _attention_heads(path: str, student: ModelShape | None, teacher: ModelShape | None) -> Iterator[tuple[str, str]]:
    if student is None or teacher is None or student.pruned_to is not None or teacher.pruned_to is not None:
        return
    if student.heads != teacher.heads:
        yield (
            path,
            f"'attention_mse' compares head by head, and the student has {student.heads} heads, the teacher "
            f"{teacher.heads}; expected as many, or heads: mean, or the loss minilm_relations",
        )
