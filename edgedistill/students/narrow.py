"""Cuts the source in width, keeping the most important hidden dimensions, heads and feed-forward neurons.

For encoders; for decoders see `_decoder_cut`.

Importance is measured on real inputs, as in Minitron (Muralidharan et al. 2024, "Compact Language Models via Pruning
and Knowledge Distillation", section 2.2): the mean magnitude of a hidden dimension's activations over the normalised
residual stream, the L2 norm of a head's output, the mean magnitude of a neuron's activation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.contracts.batch import Batch
from edgedistill.contracts.decoder_layout import DECODERS, decoder_fault
from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.model_layout import LAYOUTS, Layout, layout_of
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import Count, RoundRef
from edgedistill.students._copy import evenly, source_name
from edgedistill.students._decoder_cut import cut_decoder
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, narrowed, with_shape
from edgedistill.students._depth import Choose, chosen_layers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


class NarrowSpec(StudentSpec):
    """`narrow`: cuts the source to fewer hidden dimensions, heads and feed-forward neurons, and optionally layers.

    The width is given by `hidden_size`, or is the largest that `parameters` allow, in whole heads.
    """

    init: Literal["narrow"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model."""
    hidden_size: int | None = Field(None, ge=8)
    """Width of the hidden states."""
    parameters: Annotated[Count, Field(ge=1000)] | None = None
    """Maximum size of the whole model, embeddings and head included. The student gets the largest width, in whole heads
    of the source, that fits; all layers are alike. `layers` and `intermediate_size` are kept as given; without the
    latter, the feed-forward width scales with the hidden size. In decoders, head groups and feed-forward neurons stay
    as close to proportional to the width as the budget allows."""
    layers: int | None = Field(None, ge=1)
    """Number of layers. Default: all of the source's."""
    choose: Choose = "evenly"
    """How to select them among the source's layers."""
    heads: int | None = Field(None, ge=1)
    """Attention heads. Default: in proportion to the width. In decoders, whole groups that share keys and values, with
    the source's head size."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the feed-forward layers. Default: in proportion to the hidden size."""

    @model_validator(mode="after")
    def _one_target(self) -> NarrowSpec:
        if (self.hidden_size is None) == (self.parameters is None):
            raise ValueError("expected either 'hidden_size' or 'parameters'")
        if self.parameters is not None and self.heads is not None:
            raise ValueError("expected 'heads' only with 'hidden_size': 'parameters' determines the heads as well")
        if self.choose != "evenly" and self.layers is None:
            raise ValueError(f"expected 'layers' with 'choose: {self.choose}', which selects among the source's layers")
        return self


def unsuitable(spec: NarrowSpec | None, source: Config) -> str | None:
    """Why its weights cannot be cut: the layout must be known."""
    from edgedistill.models.architectures import fixed_layers

    kind = source.get("model_type")
    if kind in DECODERS:
        return decoder_fault(source) or fixed_layers(source)
    return None if kind in LAYOUTS else f"which it does not support (only {', '.join(sorted({*LAYOUTS, *DECODERS}))})"


def planned(spec: NarrowSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source at another width; with `parameters`, the largest width in whole heads that fits.

    Raises:
        UserError: layers of unequal sizes, more layers than the source has, heads that do not divide the width, a width
            at which embeddings lose their projection, or fewer `parameters` than one head needs.
    """
    from edgedistill.models.sizes import refuse_unequal_layers

    if source.model_type in DECODERS:
        return PlannedStudent(with_shape(source, _kept(spec, source), _decoder(spec, source, auto_class)))
    refuse_unequal_layers(source)
    if spec.parameters is not None:
        return PlannedStudent(_widest(spec, source, auto_class, spec.parameters))
    assert spec.hidden_size is not None
    if _loses_projection(spec.hidden_size, source):
        raise UserError(
            f"student.hidden_size: got {spec.hidden_size}, equal to the source's embedding_size, for which this "
            "architecture has no embedding projection; expected another width"
        )
    return PlannedStudent(_at_width(spec, source, spec.hidden_size, spec.heads))


def _decoder(spec: NarrowSpec, source: PreTrainedConfig, auto_class: AutoClass) -> DecoderShape:
    layers = len(_kept(spec, source))
    if spec.parameters is not None:
        return fitted(source, auto_class, spec.parameters, layers, spec.intermediate_size)
    assert spec.hidden_size is not None
    return narrowed(source, layers, spec.hidden_size, spec.heads, spec.intermediate_size)


def _widest(spec: NarrowSpec, source: PreTrainedConfig, auto_class: AutoClass, parameters: int) -> PreTrainedConfig:
    from edgedistill.models.loading import outline, parameter_count

    count = 0
    for heads in range(source.num_attention_heads, 0, -1):
        width = heads * head_size(source)
        if _loses_projection(width, source):
            continue
        config = _at_width(spec, source, width, heads)
        count = parameter_count(outline(auto_class, config))
        if count <= parameters:
            return config
    raise UserError(f"student.parameters: got {parameters}, expected at least {count}, the size with one head")


def _at_width(spec: NarrowSpec, source: PreTrainedConfig, width: int, heads: int | None) -> PreTrainedConfig:
    from edgedistill.models.sizes import resized

    return resized(source, _kept(spec, source), width, heads, spec.intermediate_size)


def _kept(spec: NarrowSpec, source: PreTrainedConfig) -> list[int]:
    return evenly(spec.layers or source.num_hidden_layers, source.num_hidden_layers)


def _loses_projection(width: int, source: PreTrainedConfig) -> bool:
    """Whether the source projects its embeddings and a student of this width would not."""
    from edgedistill.models.sizes import shape_of

    shape = shape_of(source)
    return shape.embedding_size != shape.hidden_size and shape.embedding_size == width


@dataclass(frozen=True)
class Importance:
    """Importance of every hidden dimension (H,), and by layer of every head dimension (heads, size) and neuron (I,)."""

    hidden: torch.Tensor
    heads: list[torch.Tensor]
    neurons: list[torch.Tensor]


def build(request: StudentRequest[NarrowSpec]) -> PreTrainedModel:
    """The narrower student, with the source's most important weights.

    Raises:
        UserError: an architecture without a known layout, or a size larger than the source's.
    """
    from edgedistill.models.loading import load_model

    spec = request.spec
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    config = source.config
    if (fault := unsuitable(spec, config.to_dict())) is not None:
        raise UserError(f"init: narrow cannot cut a '{config.model_type}', {fault}; use init: scratch")
    if config.model_type in DECODERS:
        shape = _decoder(spec, config, request.auto_class)
        return cut_decoder(source, request, chosen_layers(source, request, shape.layers, spec.choose), shape)
    layout = layout_of(config.model_type, "init: narrow")
    kept = chosen_layers(source, request, len(_kept(spec, config)), spec.choose)
    smaller = planned(spec, config, request.auto_class).config
    for key, new, old in (
        ("hidden_size", smaller.hidden_size, config.hidden_size),
        ("heads", smaller.num_attention_heads, config.num_attention_heads),
        ("intermediate_size", feed_forward(smaller), feed_forward(config)),
        ("head size", head_size(smaller), head_size(config)),
    ):
        if new > old:
            raise UserError(f"student.{key}: got {new}, expected at most the source's {old}")
    student = request.auto_class.from_config(smaller)
    importance = measure_importance(source, request.probe, layout)
    copy_narrow(source, student, kept, importance, layout)
    return student


def head_size(config: PreTrainedConfig) -> int:
    """Dimensions of one attention head."""
    return int(config.hidden_size // config.num_attention_heads)


def feed_forward(config: PreTrainedConfig) -> int:
    """The feed-forward width, which every architecture with a known layout has."""
    from edgedistill.models.sizes import shape_of

    width = shape_of(config).intermediate_size
    assert width is not None
    return width


def measure_importance(model: PreTrainedModel, probe: Sequence[Batch], layout: Layout) -> Importance:
    """Mean magnitudes over the real tokens of `probe`."""
    import torch

    layers, config = layer_list(model), model.config
    count, size = config.num_attention_heads, head_size(config)
    sums: dict[str, torch.Tensor] = {}
    mask = torch.empty(0)

    def add(key: str, magnitude: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., None]:
        def hook(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            value = magnitude(inputs[0][mask])
            sums[key] = sums.get(key, torch.zeros_like(value)) + value

        return hook

    def per_dimension(x: torch.Tensor) -> torch.Tensor:
        return x.abs().sum(0)

    hooks = []
    for i in range(config.num_hidden_layers):
        layer = model.get_submodule(f"{layers}.{i}")
        for point, part in (
            ("hidden", layer.get_submodule(layout.attention_in[0])),
            (f"heads.{i}", layer.get_submodule(layout.attention_out)),
            (f"neurons.{i}", layer.get_submodule(layout.output)),
        ):
            hooks.append(part.register_forward_pre_hook(add(point, per_dimension)))
    try:
        with torch.no_grad():
            for batch in probe:
                mask = batch.mask_BT.bool()
                model(**batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return Importance(
        hidden=sums["hidden"],
        heads=[sums[f"heads.{i}"].view(count, size) for i in range(config.num_hidden_layers)],
        neurons=[sums[f"neurons.{i}"] for i in range(config.num_hidden_layers)],
    )


def head_dimensions(importance: torch.Tensor, heads: int, size: int) -> torch.Tensor:
    """Indices into heads x head size: the `heads` strongest heads, in each its `size` strongest dimensions."""
    import torch

    old_size = importance.shape[1]
    strongest = _top(importance.norm(dim=1), heads)
    return torch.cat([head * old_size + _top(importance[head], size) for head in strongest])


def copy_narrow(
    source: PreTrainedModel,
    student: PreTrainedModel,
    kept: Sequence[int],
    importance: Importance,
    layout: Layout,
) -> None:
    """Fill `student` with the chosen rows and columns of `source`'s weights.

    Raises:
        UserError: a parameter whose shape does not follow from the sizes.
    """
    config, layers = student.config, layer_list(source)
    hidden = _top(importance.hidden, config.hidden_size)
    heads = {
        j: head_dimensions(importance.heads[i], config.num_attention_heads, head_size(config))
        for j, i in enumerate(kept)
    }
    strongest_heads = {j: _top(importance.heads[i].norm(dim=1), config.num_attention_heads) for j, i in enumerate(kept)}
    neurons = {j: _top(importance.neurons[i], feed_forward(config)) for j, i in enumerate(kept)}
    weights = source.state_dict()
    chosen: dict[str, torch.Tensor] = {}
    for name, target in student.state_dict().items():
        value = weights[source_name(name, layers, kept)]
        index, part = _part(name, layers)
        rows, columns = hidden, hidden
        if part.rsplit(".", 1)[0] in layout.attention_in:
            rows = heads[index]
        elif part.startswith(layout.attention_out + "."):
            columns = heads[index]
        elif part.startswith(layout.intermediate + "."):
            rows = neurons[index]
        elif part.startswith(layout.output + "."):
            columns = neurons[index]
        elif "relative_attention_bias" in name:
            columns = strongest_heads[0]
        chosen[name] = _cut(name, value, target, rows, columns)
    student.load_state_dict(chosen)


def _cut(
    name: str, value: torch.Tensor, target: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> torch.Tensor:
    """`value` indexed by `rows` on its first and `columns` on its last axis, if the size differs."""
    if value.ndim and value.shape[0] != target.shape[0] and len(rows) == target.shape[0]:
        value = value.index_select(0, rows)
    if value.ndim > 1 and value.shape[-1] != target.shape[-1] and len(columns) == target.shape[-1]:
        value = value.index_select(value.ndim - 1, columns)
    if value.shape != target.shape:
        raise UserError(
            f"init: narrow cannot cut '{name}' from {tuple(value.shape)} to {tuple(target.shape)}; "
            "use init: scratch for this architecture"
        )
    return value


def _part(name: str, layers: str) -> tuple[int, str]:
    """(layer number, name inside the layer), or (-1, name) outside the layers."""
    if not name.startswith(layers + "."):
        return -1, name
    number, part = name[len(layers) + 1 :].split(".", 1)
    return int(number), part


def _top(importance: torch.Tensor, count: int) -> torch.Tensor:
    """The indices of the `count` largest, in their original order."""
    return importance.topk(count).indices.sort().values


STUDENT = Student(
    api=1,
    version=1,
    spec=NarrowSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
    unsuitable=unsuitable,
)
