"""What follows from the planned models' shapes: lines of the plan, file sizes, and signals that are too large to
record."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from edgedistill.contracts import registry
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.precision import BLOCK
from edgedistill.exporting.file_kinds import kind_of
from edgedistill.planning.fingerprints import Sources
from edgedistill.planning.signal_budget import Room
from edgedistill.recipe.quantization import Parts, QuantizeSpec
from edgedistill.recipe.round_spec import Place, Round
from edgedistill.recipe.schema import Recipe, projected
from edgedistill.signals.sizes import distribution_size, refuse_too_large
from edgedistill.steps.kinds import record_signals
from edgedistill.store.records.models import FORM_OF

Shapes = Mapping[str, ModelShape | None]
"""Of every model; None if not known yet."""


@dataclass(frozen=True)
class ModelEstimate:
    """A model's line in the plan; None for values that need a download or the data."""

    id: str
    origin: str
    layers: int | None
    hidden_size: int | None
    parameters: int | None
    exact: bool
    """Whether `parameters` is exact and not an estimate."""
    file_bytes: Mapping[str, int | None]
    """By precision, for the first target that has it."""
    heads: int | None = None
    """Attention heads per layer; also None if layers differ or have none."""
    key_value_heads: int | None = None
    """Fewer if heads share keys and values."""
    intermediate_size: int | None = None
    """Feed-forward neurons of each layer."""


def estimate_models(recipe: Recipe, shapes: Shapes) -> tuple[ModelEstimate, ...]:
    """The teacher and every student, with parameters and expected file sizes."""
    origins = {"teacher": recipe.teacher.model or "scratch"} | {
        round_.id: round_.student.init for round_ in recipe.rounds
    }
    return tuple(_estimate(name, origins[name], shape, recipe) for name, shape in shapes.items())


def depth(round_: Round, shapes: Shapes) -> int | None:
    """A student's number of layers, or None if not known yet (then all of the teacher's are recorded)."""
    layers = registry.student(round_.student.init).layers
    if layers is not None and (count := layers(round_.student)) is not None:
        return count
    shape = shapes[round_.id]
    return shape.layers if shape else None


def live_signals(sources: Sources, round_: Round, shapes: Shapes, room: Room) -> dict[str, str]:
    """Signals that a round's teacher computes live instead of being recorded, each with the reason.

    Args:
        room: what is left for hidden states.
    """
    needs = {need for stage in round_.stages for need in registry.needs(stage.losses)}
    found: dict[str, str] = {}
    if "attention" in needs:
        found["attention"] = "it grows quadratically with length"
    if "relations" in needs:
        found["relations"] = "queries, keys and values of every layer are too large to store"
    if "hidden" in needs:
        shape = shapes.get(first_teacher(round_))
        places = {place for stage in round_.stages for place in stage.places()}
        if shape is not None:
            size_gb = sum(hidden_bytes(sources, round_, shape, place) for place in places) / 1e9
            if size_gb > room.gb:
                left = "" if room.gb == room.max_gb else f"the {max(room.gb, 0):.1f} GB left of "
                found["hidden"] = f"about {size_gb:.1f} GB exceed {left}signals.max_gb {room.max_gb:g}"
    return found


def hidden_bytes(sources: Sources, round_: Round, teacher: ModelShape, place: Place) -> float:
    """Bytes of a teacher's hidden states of every layer, at two per dimension."""
    stage = next((stage for stage in round_.stages if stage.name == place.stage), None)
    copies = stage.augment.copies if stage is not None and stage.augment is not None else 1
    return copies * tokens_of(sources, round_, {place.split}) * teacher.hidden_size * 2 * (teacher.layers + 1)


@dataclass(frozen=True)
class ExpectedSize:
    """Size of a recorded distribution."""

    a_decision: int
    bytes: float
    """Of all decisions; 0 if not known."""

    def told(self) -> str:
        """As the plan prints it: `, 99 bytes per decision`."""
        total = f", about {self.bytes / 1e9:.2g} GB" if self.bytes else ""
        return f", {self.a_decision} bytes per decision{total}"


def expected_size(
    recipe: Recipe, sources: Sources, round_: Round, shapes: Shapes, settings: record_signals.Settings, teacher: str
) -> ExpectedSize | None:
    """Size of a recorded distribution, if known.

    Raises:
        UserError: it exceeds the recipe's limit.
    """
    shape, over_vocabulary = shapes.get(teacher), registry.task(recipe.task.type).model.states is not None
    known = sources.rounds[round_.id].labels if round_.data is not None else sources.labels
    own = shapes.get(round_.id) if projected(recipe, round_, teacher) else shape
    classes = (own.vocabulary if own is not None else None) if over_vocabulary else known
    width = shape.hidden_size if shape is not None else None
    form = FORM_OF[settings.signal]
    if not classes or (form == "hidden" and width is None):
        return None
    size = distribution_size(form, classes, width or 0, settings.k, settings.bits, len(settings.temperatures))
    if not over_vocabulary:
        return ExpectedSize(size.a_decision, 0)
    total = size.of(tokens_of(sources, round_, {settings.split}))
    refuse_too_large(f"{form} signals of {teacher} on {settings.split}", total, size.a_decision, settings.max_gb)
    return ExpectedSize(size.a_decision, total if total > size.once else 0)


def first_teacher(round_: Round) -> str:
    """The first teacher of a round; with its own data, the recipe's teacher fine-tuned on it."""
    return "teacher" if round_.data is not None else round_.teachers()[0]


def tokens_of(sources: Sources, round_: Round, splits: Collection[str]) -> float:
    """Estimated number of tokens in these splits of a round's data, at about four bytes of European text per token."""
    known = sources.rounds[round_.id] if round_.data is not None else sources
    return sum(size for split, size in known.data_bytes.items() if split in splits) / 4


def _estimate(name: str, origin: str, shape: ModelShape | None, recipe: Recipe) -> ModelEstimate:
    if shape is None:
        return ModelEstimate(name, origin, None, None, None, False, _file_bytes(recipe, ModelShape(0, 0)))
    exact = shape.parameters is not None and not shape.estimated
    sizes = _file_bytes(recipe, shape)
    alike = not shape.heads_by_layer and (shape.heads > 1 or shape.intermediate_size is not None)
    return ModelEstimate(
        name,
        origin,
        shape.layers,
        shape.hidden_size,
        shape.parameters,
        exact,
        sizes,
        heads=shape.heads if alike else None,
        key_value_heads=shape.key_value_heads or shape.heads if alike else None,
        intermediate_size=shape.intermediate_size if alike else None,
    )


def _file_bytes(recipe: Recipe, shape: ModelShape) -> dict[str, int | None]:
    """From the weights where the target's precision tells how it stores them, otherwise from their number."""
    return {quantization.id: _bytes_in(quantization, recipe, shape) for quantization in recipe.quantize}


def _bytes_in(quantization: QuantizeSpec, recipe: Recipe, shape: ModelShape) -> int | None:
    kind = next((own for target in recipe.export.targets if (own := kind_of(target, quantization)) is not None), None)
    if kind is None or not shape.parameters:
        return None
    if (sizing := kind.sizing) is not None and shape.weights is not None:
        return sizing(shape.weights)
    if quantization.parts is not None:
        return round(_mixed_bytes(quantization.parts, quantization.block or BLOCK, shape))
    return round(shape.parameters * kind.how.bytes_per_parameter)


def _mixed_bytes(parts: Parts, block: int, shape: ModelShape) -> float:
    """Estimated size of a mix; the few parameters of the head, biases and norms count as feed-forward ones."""
    embeddings = shape.vocabulary * (shape.embedding_size or shape.hidden_size)
    attention = 4 * shape.layers * shape.hidden_size**2
    rest = max((shape.parameters or 0) - embeddings - attention, 0)
    counts = ((parts.embeddings, embeddings), (parts.attention, attention), (parts.feed_forward, rest))
    return sum(_bytes_of_weight(precision, block) * count for precision, count in counts)


def _bytes_of_weight(precision: str, block: int) -> float:
    """With scales (4 bytes a block) and zero points (as many bits as a weight has)."""
    whole = {"fp32": 4.0, "fp16": 2.0, "int8-dynamic": 1.03, "int8": 1 + 4 / block}
    if precision in whole:
        return whole[precision]
    weight = {"int4": 0.5, "int2": 0.25}[precision]
    return weight + (4 + weight) / block
