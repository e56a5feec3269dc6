"""Refuses models whose `config.json` shows that they will not work, before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgedistill.contracts import registry
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.planned_model import PlannedModel
from edgedistill.errors import RecipeError
from edgedistill.models.architectures import Config, advice, is_encoder_decoder, kind_of
from edgedistill.planning.estimates import Shapes
from edgedistill.planning.fingerprints import Sources
from edgedistill.recipe import references
from edgedistill.recipe.round_spec import Round
from edgedistill.recipe.schema import Recipe, source_of


def refuse_architectures(recipe: Recipe, sources: Sources, shapes: Shapes) -> None:
    """Check every model with a known configuration.

    Raises:
        RecipeError: everything that cannot work, each with the recipe's key and an alternative.
    """
    if not registry.task(recipe.task.type).data.tokens:
        return
    if found := [f"{path}: {sentence}" for path, sentence in problems(recipe, sources, shapes)]:
        raise RecipeError(found)


def problems(recipe: Recipe, sources: Sources, shapes: Shapes) -> Iterator[tuple[str, str]]:
    """(dotted path, sentence) of each."""
    known: dict[str, Config | None] = {"teacher": _teacher(recipe, sources)}
    for path, model in references.models(recipe):
        config = sources.configs.get(model)
        if config is not None and is_encoder_decoder(config):
            yield (
                path,
                f"got a '{kind_of(config)}', which is an encoder-decoder model; expected an "
                "encoder (BERT, RoBERTa, DeBERTa, ...) or a decoder (GPT-2, Llama, ...)",
            )
            return  # later checks depend on it
    for i, round_ in enumerate(recipe.rounds):
        yield from _initialisation_problems(round_, f"rounds.{i}", known, sources)
        yield from _loss_problems(round_, f"rounds.{i}", known, shapes)


def _teacher(recipe: Recipe, sources: Sources) -> Config | None:
    return {"model_type": "bert"} if recipe.teacher.scratch else sources.config(recipe.teacher)


def _initialisation_problems(
    round_: Round, where: str, known: dict[str, Config | None], sources: Sources
) -> Iterator[tuple[str, str]]:
    """Check a student's source, and record the student's architecture."""
    source, init = source_of(round_.student), round_.student.init
    config = known.get(source) if source is not None else sources.config(round_.student)
    known[round_.id] = config
    if config is None:
        return
    how = registry.student(init)
    reason = how.unsuitable(round_.student, config) if how.unsuitable is not None else None
    if source is None:
        if reason is not None:
            yield f"{where}.student", f"'model' is a '{kind_of(config)}', {reason}"
        return
    if reason is not None:
        yield f"{where}.student.init", f"got '{init}', but 'from' is a '{kind_of(config)}', {reason}; {advice(config)}"
    known[round_.id] = config if how.becomes is None else {"model_type": how.becomes}


def _loss_problems(
    round_: Round, where: str, known: Mapping[str, Config | None], shapes: Shapes
) -> Iterator[tuple[str, str]]:
    """Losses on internals that a model does not expose, or that do not match between student and teacher."""
    teacher = "teacher" if round_.data is not None else round_.teachers()[0]
    models = [PlannedModel(_kind(known.get(name)), _if_alike(shapes[name])) for name in (round_.id, teacher)]
    for j, stage in enumerate(round_.stages):
        for k, spec in enumerate(stage.losses):
            check = registry.loss(spec.kind).check
            if check is not None and (problem := check(spec, *models)) is not None:
                key, sentence = problem
                yield ".".join(filter(None, (where, "stages", str(j), "losses", str(k), key))), sentence


def _kind(config: Config | None) -> str | None:
    return kind_of(config) if config else None


def _if_alike(shape: ModelShape | None) -> ModelShape | None:
    """None if unknown, or if pruning will determine the layers."""
    return None if shape is None or shape.heads_by_layer else shape
