"""Removes the source's least important attention heads and feed-forward neurons, layer by layer.

Importance is the first-order change of the task's loss when a unit is switched off, |activation x gradient|, summed
over an item's tokens and averaged over labelled items: Michel et al. 2019 ("Are Sixteen Heads Really Better than One?",
eq. 2) for heads, Molchanov et al. 2017 ("Pruning Convolutional Neural Networks for Resource Efficient Inference", eq.
8) for neurons. Each layer's values are divided by their L2 norm, as both papers do, since their scale drifts with
depth. Heads and neurons of all layers are then ranked together by the square of that (Molchanov et al. 2019,
"Importance Estimation for Neural Network Pruning", eq. 8) for each parameter saved: the squares of independent effects
add up, so a head is comparable with the many neurons of equal cost, whose plain magnitudes would add up to too much.

Unlike with `narrow`, which cuts all layers equally, layers may end up with different sizes; hidden size and depth stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.model_layout import Layout, layout_of
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import Count, RoundRef

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


_SUPPORTED = ("bert", "edgedistill-pruned-bert")
_LEAST = {"heads": 1, "neurons": 8}


class PruneSpec(StudentSpec):
    """`prune`: removes the least important heads and neurons across all layers until `parameters` are left."""

    init: Literal["prune"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model: a BERT, or a round that was pruned from one."""
    parameters: Annotated[Count, Field(ge=1000)]
    """Maximum size of the whole model, embeddings and head included; the student is at most one head smaller."""


def unsuitable(spec: PruneSpec | None, source: Config) -> str | None:
    """Only BERT can be pruned."""
    return None if source.get("model_type") in _SUPPORTED else f"and it supports {' and '.join(_SUPPORTED)}"


def planned(spec: PruneSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """The source before pruning, and the target size: the data decides which heads and neurons are removed.

    Raises:
        UserError: an architecture that cannot be pruned.
    """
    from edgedistill.models.pruned_model import PrunedBertConfig

    if source.model_type not in _SUPPORTED:
        raise UserError(f"init: prune supports {' and '.join(_SUPPORTED)}, but 'from' is a '{source.model_type}'")
    same = {key: value for key, value in source.to_dict().items() if key not in ("model_type", "architectures")}
    return PlannedStudent(PrunedBertConfig(**same), at_most=spec.parameters)


@dataclass(frozen=True)
class Importance:
    """By layer, importance of every head (A,) and neuron (I,)."""

    heads: list[torch.Tensor]
    neurons: list[torch.Tensor]

    def normalised(self) -> Importance:
        """Each layer's heads, and each layer's neurons, divided by their L2 norm."""
        return Importance(
            *([scores / scores.norm().clamp(min=1e-30) for scores in values] for values in (self.heads, self.neurons))
        )


@dataclass(frozen=True)
class Kept:
    """By layer, the sorted indices of the kept heads and neurons."""

    heads: list[list[int]]
    neurons: list[list[int]]


def build(request: StudentRequest[PruneSpec]) -> PreTrainedModel:
    """The pruned student, equivalent to the source with the removed heads and neurons switched off.

    Raises:
        UserError: an architecture that cannot be pruned, a target above the source's parameters or below the minimum,
            or no labelled items.
    """
    from transformers import BertForSequenceClassification

    from edgedistill.models.loading import load_model, parameter_count

    spec = request.spec
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    if source.config.model_type not in _SUPPORTED or not isinstance(source, BertForSequenceClassification):
        raise UserError(
            f"init: prune supports sequence classifiers that are {' or '.join(_SUPPORTED)}, but 'from' is a "
            f"'{source.config.model_type}' ({type(source).__name__}); use init: narrow or keep_layers"
        )
    total = parameter_count(source)
    if spec.parameters > total:
        raise UserError(f"student.parameters: got {spec.parameters}, expected at most the source's {total}")
    importance = measure_importance(source, request, layout_of(source.config.model_type, "init: prune"))
    size = source.config.hidden_size // source.config.num_attention_heads
    costs = unit_costs(source.config.hidden_size, size)
    kept = choose(importance.normalised(), costs, total - spec.parameters)
    least = total - removed(importance, kept, costs)
    if least > spec.parameters:
        raise UserError(
            f"student.parameters: got {spec.parameters}, expected at least {least}: the size with "
            f"{_LEAST['heads']} head and {_LEAST['neurons']} neurons in each layer"
        )
    return cut(source, kept)


def unit_costs(hidden_size: int, head_size: int) -> dict[str, int]:
    """Parameters of one head (rows of queries, keys, values with their biases; columns of the output), one neuron."""
    return {"heads": 4 * hidden_size * head_size + 3 * head_size, "neurons": 2 * hidden_size + 1}


def measure_importance(model: PreTrainedModel, request: StudentRequest[PruneSpec], layout: Layout) -> Importance:
    """Mean over labelled decisions of |sum over tokens of activation x gradient of the loss|.

    Raises:
        UserError: no labelled item, or a task without labels.
    """
    import torch

    if request.loss is None:
        raise UserError("init: prune needs labels to measure importance, and the task has none")
    layers, depth = layer_list(model), model.config.num_hidden_layers
    size = model.config.hidden_size // model.config.num_attention_heads
    names = [f"{layers}.{i}.{part}" for part in (layout.attention_out, layout.output) for i in range(depth)]
    seen: dict[str, torch.Tensor] = {}
    sums: dict[str, torch.Tensor] = {}

    def keep(name: str) -> object:
        def hook(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            seen[name] = inputs[0]

        return hook

    hooks = [model.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    labelled, objective = 0, request.loss
    try:
        for batch in request.probe:
            labelled += int(batch.known_R.sum())
            # Summed, so that the gradients of items are independent.
            loss = objective(model, batch)[batch.known_R].sum()
            gradients = torch.autograd.grad(loss, [seen[name] for name in names])
            for name, gradient in zip(names, gradients, strict=True):
                effect = (seen[name].detach() * gradient).sum(1)
                if name.endswith(layout.attention_out):
                    effect = effect.unflatten(1, (-1, size)).sum(-1)
                sums[name] = sums.get(name, torch.zeros_like(effect[0])) + effect.abs().sum(0)
    finally:
        for hook in hooks:
            hook.remove()
    if not labelled:
        raise UserError("init: prune needs labelled training items to measure importance, and there are none")
    means = [sums[name] / labelled for name in names]
    return Importance(heads=means[:depth], neurons=means[depth:])


def choose(importance: Importance, costs: dict[str, int], excess: int) -> Kept:
    """The units to keep after removing at least `excess` parameters, in order of squared importance per parameter.

    Every layer keeps one head and eight neurons, so fewer may be removed.
    """
    units = sorted(
        (value**2 / costs[kind], kind, layer, index)
        for kind, layer, values in _layers(importance)
        for index, value in enumerate(values.tolist())
    )
    left = {(kind, layer): set(range(len(values))) for kind, layer, values in _layers(importance)}
    for _, kind, layer, index in units:
        if excess <= 0:
            break
        if len(left[kind, layer]) > _LEAST[kind]:
            left[kind, layer].remove(index)
            excess -= costs[kind]
    depth = len(importance.heads)
    return Kept(
        heads=[sorted(left["heads", layer]) for layer in range(depth)],
        neurons=[sorted(left["neurons", layer]) for layer in range(depth)],
    )


def removed(importance: Importance, kept: Kept, costs: dict[str, int]) -> int:
    """Parameters of all removed units."""
    gone_heads = sum(len(values) for values in importance.heads) - sum(len(heads) for heads in kept.heads)
    gone_neurons = sum(len(values) for values in importance.neurons) - sum(len(neurons) for neurons in kept.neurons)
    return gone_heads * costs["heads"] + gone_neurons * costs["neurons"]


def cut(source: PreTrainedModel, kept: Kept) -> PreTrainedModel:
    """A model with these heads and neurons of `source` and everything else."""
    import torch

    from edgedistill.models.pruned_model import PrunedBertConfig, PrunedBertForSequenceClassification

    sizes = {
        "heads_by_layer": [len(heads) for heads in kept.heads],
        "neurons_by_layer": [len(neurons) for neurons in kept.neurons],
    }
    same = {key: value for key, value in source.config.to_dict().items() if key not in ("model_type", "architectures")}
    student = PrunedBertForSequenceClassification(PrunedBertConfig(**same | sizes))
    layout = layout_of(student.config.model_type, "init: prune")
    size = student.config.hidden_size // student.config.num_attention_heads
    weights = dict(source.state_dict())
    for i, (heads, neurons) in enumerate(zip(kept.heads, kept.neurons, strict=True)):
        within = torch.tensor([head * size + j for head in heads for j in range(size)])
        rows = [(part, within) for part in layout.attention_in] + [(layout.intermediate, torch.tensor(neurons))]
        columns = [(layout.attention_out, within), (layout.output, torch.tensor(neurons))]
        layer = f"{layer_list(source)}.{i}"
        for part, chosen in rows:
            weights[f"{layer}.{part}.weight"] = weights[f"{layer}.{part}.weight"][chosen]
            weights[f"{layer}.{part}.bias"] = weights[f"{layer}.{part}.bias"][chosen]
        for part, chosen in columns:
            weights[f"{layer}.{part}.weight"] = weights[f"{layer}.{part}.weight"][:, chosen]
    student.load_state_dict(weights)
    return student


def _layers(importance: Importance) -> Iterator[tuple[str, int, torch.Tensor]]:
    for kind, by_layer in (("heads", importance.heads), ("neurons", importance.neurons)):
        for layer, values in enumerate(by_layer):
            yield kind, layer, values


STUDENT = Student(
    api=1,
    version=1,
    spec=PruneSpec,
    build=build,
    planned=planned,
    unsuitable=unsuitable,
    becomes="edgedistill-pruned-bert",
)
