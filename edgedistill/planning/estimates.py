"""What models will be before they are: shapes, parameters, file sizes, and signals too large to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edgedistill import plugins
from edgedistill.recipe import Recipe, Round, StudentSpec, source_of
from edgedistill.shapes import ModelShape
from edgedistill.sources import Sources


@dataclass(frozen=True)
class ModelEstimate:
    """What a model will be; None where it can't be known without a download or before the data is read."""

    id: str
    origin: str
    layers: int | None
    hidden_size: int | None
    parameters: int | None
    file_bytes: Mapping[str, int | None] = field(default_factory=dict)
    """By precision, of the first target that has it."""


def estimate_models(recipe: Recipe, sources: Sources) -> tuple[ModelEstimate, ...]:
    """The teacher and every student with their expected parameters and file sizes."""
    origins = {"teacher": recipe.teacher.model or "scratch"} | {each.id: each.student.init for each in recipe.rounds}
    return tuple(_estimate(name, origins[name], shape, recipe) for name, shape in shapes(recipe, sources).items())


def shapes(recipe: Recipe, sources: Sources) -> dict[str, ModelShape | None]:
    """The shape of every model, None where it can't be known yet."""
    found = {"teacher": _teacher_shape(recipe, sources)}
    for each in recipe.rounds:
        shape = _student_shape(each.student, found, sources)
        labels = sources.rounds[each.id].labels if each.data is not None else sources.labels
        found[each.id] = None if shape is None else replace(shape, labels=labels or 2)
    return found


def depth(recipe: Recipe, sources: Sources, each: Round) -> int | None:
    """A student's number of layers, or None when it can't be known yet (all of the teacher's are recorded then)."""
    layers = getattr(each.student, "layers", None)
    if layers is not None:
        return len(layers) if isinstance(layers, tuple) else int(layers)
    shape = shapes(recipe, sources)[each.id]
    return shape.layers if shape else None


def live_signals(recipe: Recipe, sources: Sources, each: Round) -> dict[str, str]:
    """What a round's teacher gives while the student trains instead of being recorded, each with the reason."""
    needs = {need for stage in each.stages for need in plugins.needs(stage.losses)}
    found: dict[str, str] = {}
    if "attention" in needs:
        found["attention"] = "it grows with the square of the length"
    if "relations" in needs:
        found["relations"] = "queries, keys and values of every layer are too large to keep"
    if "hidden" in needs:
        shape = shapes(recipe, sources).get("teacher" if each.data is not None else each.teachers()[0])
        read = {split for stage in each.stages for split in stage.data}
        # A token of European text takes about four bytes; hidden states take two bytes a dimension.
        known = sources.rounds[each.id] if each.data is not None else sources
        tokens = sum(size for split, size in known.data_bytes.items() if split in read) / 4
        if shape is not None:
            size_gb = tokens * shape.hidden_size * 2 * (shape.layers + 1) / 1e9
            if size_gb > recipe.signals.max_gb:
                found["hidden"] = f"about {size_gb:.1f} GB are more than signals.max_gb {recipe.signals.max_gb:g}"
    return found


def sized(
    model: ModelEstimate, recipe: Recipe, parameters: int | None, layers: int | None, hidden_size: int | None
) -> ModelEstimate:
    """The estimate with these sizes, and the file sizes that follow from them."""
    sizes: dict[str, int | None] = {}
    for each in recipe.quantize:
        makers = [plugins.find("exporters", target).PRECISIONS for target in recipe.export.targets]
        maker = next((own[each.precision] for own in makers if each.precision in own), None)
        sizes[each.precision] = round(parameters * maker.bytes_per_parameter) if parameters and maker else None
    return replace(model, parameters=parameters, layers=layers, hidden_size=hidden_size, file_bytes=sizes)


def _estimate(name: str, origin: str, shape: ModelShape | None, recipe: Recipe) -> ModelEstimate:
    empty = ModelEstimate(name, origin, None, None, None)
    known = (shape.parameters(), shape.layers, shape.hidden_size) if shape else (None, None, None)
    return sized(empty, recipe, *known)


def _teacher_shape(recipe: Recipe, sources: Sources) -> ModelShape | None:
    architecture, labels = recipe.teacher.scratch, sources.labels or 2
    if architecture is not None:
        if architecture.heads is None or architecture.intermediate_size is None:
            return None
        return ModelShape(
            "bert",
            architecture.layers,
            architecture.hidden_size,
            architecture.heads,
            architecture.intermediate_size,
            architecture.vocabulary,
            recipe.data.max_length,
            2 if "text_pair" in recipe.data.columns else 1,
            labels,
        )
    config = sources.config(recipe.teacher)
    return ModelShape.from_config(config, labels) if config else None


def _student_shape(student: StudentSpec, known: Mapping[str, ModelShape | None], sources: Sources) -> ModelShape | None:
    source = source_of(student)
    if source is None:
        config = sources.config(student)
        base = ModelShape.from_config(config, sources.labels or 2) if config else None
    else:
        base = known[source]
    if base is None:
        return None
    resize = getattr(plugins.find("students", student.init), "shape", None)
    if resize is not None:
        shape: ModelShape | None = resize(student, base)
        return shape
    layers = getattr(student, "layers", None)
    return base.resized(
        layers=len(layers) if isinstance(layers, tuple) else layers,
        hidden_size=getattr(student, "hidden_size", None),
        heads=getattr(student, "heads", None),
        intermediate_size=getattr(student, "intermediate_size", None),
    )
