"""A student with factorised token embeddings: V x H becomes V x E times E x H (ALBERT, Lan et al. 2020, section 3.1).

The result is an ELECTRA model, which is BERT with factorised embeddings, so any client can load it. It starts close to
the source: the E dimensions span the directions of largest second moment of the source's embeddings on the training
texts, and the projection back to H, and the head where ELECTRA's differs, are least-squares solutions on real text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field

from edgedistill.arrays import Floats
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.items import Items
from edgedistill.contracts.model_layers import layer_list
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.student import Config, PlannedStudent, Student, StudentRequest, StudentSpec
from edgedistill.contracts.task import AutoClass
from edgedistill.errors import UserError
from edgedistill.spec import RoundRef
from edgedistill.students._copy import evenly, source_name

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel


_SUPPORTED = ("bert", "electra")
# Share of the total weight for unseen tokens, which may occur in future texts.
_UNSEEN_SHARE = 0.05


class FactoriseSpec(StudentSpec):
    """`factorise`: the source with factorised embeddings, as an ELECTRA model."""

    init: Literal["factorise"]
    from_: Annotated[str, RoundRef()] = Field("teacher", alias="from")
    """The source model, a BERT or ELECTRA."""
    embedding_size: int = Field(ge=8)
    """Width of token, position and type embeddings; less than the source's."""
    layers: int | None = Field(None, ge=1)
    """Number of evenly spaced layers to keep. Default: all of the source's."""


def unsuitable(spec: FactoriseSpec | None, source: Config) -> str | None:
    """Only BERT has a stock architecture with factorised embeddings."""
    return None if source.get("model_type") in _SUPPORTED else f"and it supports {' and '.join(_SUPPORTED)}"


def planned(spec: FactoriseSpec, source: PreTrainedConfig, auto_class: AutoClass) -> PlannedStudent:
    """An ELECTRA of the source's sizes.

    Raises:
        UserError: another architecture, a width that is not less than the source's, or more layers than it has.
    """
    from transformers import ElectraConfig

    from edgedistill.models.sizes import resized, shape_of

    shape = shape_of(source)
    if shape.architecture not in _SUPPORTED:
        raise UserError(
            f"init: factorise supports {' and '.join(_SUPPORTED)}, but 'from' is a '{shape.architecture}', for which "
            "no stock architecture has factorised embeddings; use init: trim_vocabulary for smaller embeddings"
        )
    width = shape.embedding_size
    if spec.embedding_size >= width:
        raise UserError(f"student.embedding_size: got {spec.embedding_size}, expected less than the source's {width}")
    same = {
        key: value
        for key, value in resized(source, _kept(spec, shape)).to_dict().items()
        if key not in ("model_type", "architectures", "embedding_size")
    }
    return PlannedStudent(ElectraConfig(**same, embedding_size=spec.embedding_size))


def _kept(spec: FactoriseSpec, source: ModelShape) -> list[int]:
    return evenly(spec.layers or source.layers, source.layers)


def build(request: StudentRequest[FactoriseSpec]) -> PreTrainedModel:
    """The student, with the source's layers.

    Raises:
        UserError: another architecture, a width that is not less than the source's, or more layers than it has.
    """
    import torch

    from edgedistill.models.loading import load_model
    from edgedistill.models.sizes import shape_of

    spec = request.spec
    assert request.train is not None, "the distil step gives the training tokens"
    source = load_model(request.auto_class, request.source, None, request.config_overrides)
    config = planned(spec, source.config, request.auto_class).config
    kept = _kept(spec, shape_of(source.config))
    student = request.auto_class.from_config(config).eval()
    with torch.no_grad():
        same_head = copy_body(source, student, kept)
        copy_embeddings(source, student, request.train)
        solve_projection(source, student, request.probe)
        if not same_head:
            solve_head(source, student, request.probe)
    return student


_TOKENS, _TYPES = "input_ids", "token_type_ids"


@dataclass(frozen=True)
class Linear:
    """y = x weight^T + bias: weight (D_out, D_in), bias (D_out,)."""

    weight: Floats
    bias: Floats


def copy_body(source: PreTrainedModel, student: PreTrainedModel, kept: Sequence[int]) -> bool:
    """Copy the source's `kept` layers and its head; returns False if the source's head differs."""
    old, new = source.base_model_prefix, student.base_model_prefix
    layers = layer_list(source)
    weights, own = source.state_dict(), student.state_dict()
    head = [name for name in own if not name.startswith(f"{new}.")]
    same_head = all(name in weights for name in head)
    for name in own:
        if name.startswith(f"{new}.encoder."):
            own[name] = weights[source_name(old + name.removeprefix(new), layers, kept)]
        elif name in head and same_head:
            own[name] = weights[name]
    student.load_state_dict(own)
    return same_head


def copy_embeddings(source: PreTrainedModel, student: PreTrainedModel, train: Items) -> None:
    """Token, position and type vectors in the leading directions, and the projection back.

    Exact for a source whose mean-free vectors span fewer than E dimensions.

    The student's LayerNorm gets no scale, since it is part of the projection.
    """
    old, new = source.base_model.embeddings, student.base_model.embeddings
    names = ("word_embeddings", "position_embeddings", "token_type_embeddings")
    # LayerNorm subtracts a vector's mean, so it need not be kept.
    tables = {name: (rows := _array(getattr(old, name).weight)) - rows.mean(axis=1, keepdims=True) for name in names}
    width, narrow = old.LayerNorm.weight.shape[0], new.LayerNorm.weight.shape[0]
    basis = principal_directions(
        list(tables.values()), usage(train, [len(rows) for rows in tables.values()]), narrow - 1
    )
    change = basis @ spread(narrow).T
    for name, rows in tables.items():
        getattr(new, name).weight.copy_(_tensor(rows @ change))
    after = _after_norm(source)
    restored = Linear(after.weight @ change * np.sqrt(width / narrow), after.bias)
    _set(student.base_model.embeddings_project, restored)


def usage(train: Items, sizes: Sequence[int]) -> list[Floats]:
    """Share of each token (V,), position (P,) and type (T,) among the training tokens, with a small share for unseen
    tokens."""
    tokens = train.values[_TOKENS].astype(np.int64)
    positions = np.arange(len(tokens)) - np.repeat(train.offsets[_TOKENS][:-1], train.lengths)
    types = train.values.get(_TYPES, np.zeros_like(tokens)).astype(np.int64)
    counts = [
        np.bincount(ids, minlength=size) / len(ids) for ids, size in zip((tokens, positions, types), sizes, strict=True)
    ]
    counts[0] = (1 - _UNSEEN_SHARE) * counts[0] + _UNSEEN_SHARE / sizes[0]
    return list(counts)


def principal_directions(tables: Sequence[Floats], shares: Sequence[Floats], count: int) -> Floats:
    """(H, count) leading orthonormal directions of the sum of one independent row from each table (n, H).

    By second moment instead of variance, since the following LayerNorm divides by the whole norm.
    """
    means = [share @ rows for rows, share in zip(tables, shares, strict=True)]
    total = np.sum(means, axis=0)
    moment = np.outer(total, total)
    for rows, share, mean in zip(tables, shares, means, strict=True):
        centred = rows - mean
        moment += centred.T @ (centred * share[:, None])
    _, directions = np.linalg.eigh(moment)
    largest: Floats = directions[:, ::-1][:, :count]
    return largest


def spread(size: int) -> Floats:
    """(size, size - 1) orthonormal columns, each of mean zero: the cosine transform without its constant.

    Coordinates in this basis are unaffected by LayerNorm's mean subtraction, and of similar size, which helps
    quantization.
    """
    places, waves = np.arange(size) + 0.5, np.arange(1, size)
    columns: Floats = np.sqrt(2 / size) * np.cos(np.pi * places[:, None] * waves[None, :] / size)
    return columns


def solve_projection(source: PreTrainedModel, student: PreTrainedModel, probe: Sequence[Batch]) -> None:
    """The least-squares projection from the student's embeddings to the source's on the real tokens of `probe`."""
    inputs, targets = [], []
    for batch in probe:
        real = batch.mask_BT.bool()
        inputs.append(student.base_model.embeddings(**_ids(batch))[real])
        targets.append(embedded(source, batch)[real])
    project = student.base_model.embeddings_project
    _set(project, least_squares(_joined(inputs), _joined(targets), _linear(project)))


def solve_head(source: PreTrainedModel, student: PreTrainedModel, probe: Sequence[Batch]) -> None:
    """Convert BERT's classification head to ELECTRA's.

    Both have a dense layer before the classifier, but ELECTRA applies GELU where BERT has tanh: the dense layer is the
    source's, and the classifier is fitted to the source's logits on `probe`.
    """
    head = student.classifier
    head.dense.load_state_dict(source.base_model.pooler.dense.state_dict())
    head.out_proj.load_state_dict(source.classifier.state_dict())
    inputs, targets = [], []
    for batch in probe:
        first = student.base_model(**batch.inputs).last_hidden_state[:, 0]
        inputs.append(head.activation(head.dense(first)))
        targets.append(source(**batch.inputs).logits)
    _set(head.out_proj, least_squares(_joined(inputs), _joined(targets), _linear(head.out_proj)))


def least_squares(inputs: Floats, targets: Floats, start: Linear) -> Linear:
    """The least-squares linear map (n, D_in) -> (n, D_out), regularised towards `start`.

    `start` has the weight of one input in every direction.
    """
    known = np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1)
    missing = targets - inputs @ start.weight.T - start.bias
    held = np.mean(inputs**2) * np.eye(known.shape[1])
    change = np.linalg.solve(known.T @ known + held, known.T @ missing)
    return Linear(start.weight + change[:-1].T, start.bias + change[-1])


def embedded(model: PreTrainedModel, batch: Batch) -> torch.Tensor:
    """(B, T, H) the first layer's input."""
    base = model.base_model
    out: torch.Tensor = base.embeddings(**_ids(batch))
    return base.embeddings_project(out) if hasattr(base, "embeddings_project") else out


def _after_norm(model: PreTrainedModel) -> Linear:
    """Everything after the normalisation of the embeddings: LayerNorm's scale and shift, then the projection, if
    any."""
    base = model.base_model
    scale, shift = _array(base.embeddings.LayerNorm.weight), _array(base.embeddings.LayerNorm.bias)
    if not hasattr(base, "embeddings_project"):
        return Linear(np.diag(scale), shift)
    project = _linear(base.embeddings_project)
    return Linear(project.weight * scale, project.weight @ shift + project.bias)


def _ids(batch: Batch) -> dict[str, torch.Tensor]:
    return {name: batch.inputs[name] for name in (_TOKENS, _TYPES) if name in batch.inputs}


def _linear(module: torch.nn.Linear) -> Linear:
    return Linear(_array(module.weight), _array(module.bias))


def _set(module: torch.nn.Linear, values: Linear) -> None:
    module.weight.copy_(_tensor(values.weight))
    module.bias.copy_(_tensor(values.bias))


def _joined(parts: Sequence[torch.Tensor]) -> Floats:
    return np.concatenate([_array(part) for part in parts])


def _array(values: torch.Tensor) -> Floats:
    array: Floats = values.detach().double().numpy()
    return array


def _tensor(values: Floats) -> torch.Tensor:
    import torch

    return torch.from_numpy(values).float()


STUDENT = Student(
    api=1,
    version=1,
    spec=FactoriseSpec,
    build=build,
    planned=planned,
    layers=lambda spec: spec.layers,
    unsuitable=unsuitable,
    becomes="electra",
)
