"""Checks that a model's configuration and weights match, before anything is allocated and after loading."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edgedistill.errors import UserError
from edgedistill.models.foreign_code import entries
from edgedistill.models.weights_header import StoredTensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_COUNTED = re.compile(r"(layers?|groups?|blocks|stages)$")
_WIDTHS = re.compile(
    r"(^vocab_size|hidden_size|intermediate_size|embedding_size|_dim|^dim|^d_\w+|^n_embd|^n_inner|heads?|experts)$"
)
_POSITIONS = re.compile(r"^(max_position_embeddings|n_positions|n_ctx|max_seq_len\w*)$")
_EPSILONS = re.compile(r"(^|_)eps(ilon)?$")
_MOST_POSITIONS, _MOST_EPSILON = 1 << 26, 0.1
_MOST_LAYERS = 128
# Allowance for tensors of a body without a known name in the checkpoint: renamed, split or small new ones.
_SPARE_ELEMENTS = 1 << 24
_POOLER = "pooler"


def check_sizes(config: Mapping[str, object], stored: Mapping[str, StoredTensor], name: str) -> None:
    """Refuse impossible sizes and numbers in a configuration before a library uses them.

    Args:
        config: contents of `config.json`.
        stored: the tensors of the weight files.

    Raises:
        UserError: a width, vocabulary or number of layers beyond the files' contents; an epsilon that is not small.
    """
    elements = sum(tensor.elements for tensor in stored.values())
    layers = max(_MOST_LAYERS, len(stored))
    for key, value in entries(config, f"{name}: config.json"):
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for pattern, most in ((_COUNTED, layers), (_WIDTHS, elements), (_POSITIONS, _MOST_POSITIONS)):
            least = -most if pattern is _POSITIONS else 0  # -1 means unlimited in some configurations
            if pattern.search(key) and not least <= value <= most:
                raise UserError(
                    f"{name}: config.json has {key} {value:.6g}, which the weights rule out: their files contain "
                    f"{len(stored)} tensors with {elements} numbers"
                )
        if _EPSILONS.search(key) and not 0 <= value <= _MOST_EPSILON:
            raise UserError(f"{name}: config.json has {key} {value:.6g}, expected 0 to {_MOST_EPSILON}")


def check_shapes(model: PreTrainedModel, stored: Mapping[str, StoredTensor], name: str) -> None:
    """Compare a model built from its configuration, on the meta device, with the tensors of its files.

    Raises:
        UserError: a weight of its body has another shape or is not floating point, or the model is far larger than its
            files.
    """
    unknown = 0
    for weight, tensor in model.state_dict().items():
        found = _stored_as(weight, model.base_model_prefix, stored)
        if found is None or not tensor.is_floating_point():
            unknown += tensor.numel() if tensor.is_floating_point() else 0
            continue
        kept = stored[found]
        if not kept.floating:
            raise UserError(f"{name}: {found} is stored as {kept.dtype} in {kept.file}; expected floating point")
        if kept.shape != tuple(tensor.shape) and in_body(weight, model):
            raise UserError(
                f"{name}: {found} is {_by(kept.shape)} in {kept.file}, but {_by(tensor.shape)} according to "
                "config.json; expected matching configuration and weights"
            )
    elements = sum(tensor.elements for tensor in stored.values())
    if unknown > 2 * elements + _SPARE_ELEMENTS:
        raise UserError(
            f"{name}: config.json implies {unknown} numbers that its files, with {elements}, don't contain; expected "
            "matching configuration and weights"
        )


def check_loaded(
    model: PreTrainedModel, info: Mapping[str, object], name: str, *, head_required: bool, remedy: str
) -> None:
    """Check the library's loading report, and the weights themselves.

    Args:
        info: its `loading_info`: missing, unexpected and mismatched names.
        head_required: whether the task's head is required besides the body.
        remedy: what to do about a missing head.

    Raises:
        UserError: weights that are missing, of another shape, or left over from a deeper model; NaN or infinity.
    """
    missing = sorted(set(_names(info["missing_keys"])) | set(_names(info["mismatched_keys"])))
    body = [weight for weight in missing if in_body(weight, model) and (head_required or not _pooler(weight, model))]
    if body:
        raise UserError(
            f"{name} lacks weights of its body ({', '.join(body[:3])}{', ...' if len(body) > 3 else ''}); "
            "expected a complete checkpoint"
        )
    if missing and head_required:
        raise UserError(f"{name} has no trained head for this task (missing {', '.join(missing[:3])}); {remedy}")
    if deeper := _of_more_layers(sorted(_names(info["unexpected_keys"])), model):
        raise UserError(
            f"{name} contains weights of more layers than config.json declares ({', '.join(deeper[:3])}); expected "
            "matching configuration and weights"
        )
    _refuse_not_finite(model, name)


def in_body(weight: str, model: PreTrainedModel) -> bool:
    """Whether a weight belongs to the pretrained body and not to a task's head.

    A model without a named body is all body except its classifier.
    """
    if getattr(model, model.base_model_prefix or "", None) is not None:
        return weight.startswith(f"{model.base_model_prefix}.")
    return weight.split(".")[0] not in ("classifier", "score")


def _of_more_layers(unexpected: Sequence[str], model: PreTrainedModel) -> list[str]:
    """Names that differ from the model's own only in a layer index, or index layers where it has none."""
    known = {_numberless(weight) for weight in model.state_dict()}
    without_layers = not any("#" in name for name in known)
    return [
        weight
        for weight in unexpected
        if "#" in (pattern := _numberless(weight)) and (pattern in known or (without_layers and in_body(weight, model)))
    ]


def _pooler(weight: str, model: PreTrainedModel) -> bool:
    """Whether it belongs to the dense layer before the head, which masked language models lack."""
    return weight.removeprefix(f"{model.base_model_prefix}.").split(".")[0] == _POOLER


def _refuse_not_finite(model: PreTrainedModel, name: str) -> None:
    import torch

    for weight, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            wrong = int((~torch.isfinite(tensor)).sum())
            raise UserError(
                f"{name}: {weight} contains {wrong} NaN or infinite numbers, of {tensor.numel()}; expected "
                "finite weights"
            )


def _stored_as(weight: str, prefix: str, stored: Mapping[str, StoredTensor]) -> str | None:
    """The name under which a weight is stored: unchanged, or without the body's prefix if the body was saved alone."""
    for candidate in (weight, weight.removeprefix(f"{prefix}."), f"{prefix}.{weight}"):
        if candidate in stored:
            return candidate
    return None


def _names(keys: object) -> Iterator[str]:
    """Names of weights in a loading report, some of which come with shapes."""
    assert isinstance(keys, list | set | tuple)
    for key in keys:
        yield str(key[0] if isinstance(key, list | tuple) else key)


def _numberless(weight: str) -> str:
    return re.sub(r"(?<=\.)\d+(?=\.)", "#", weight)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape) or "a single number"
