"""Shapes of models built without allocating weights.

    python -m edgedistill.models.meta_sizes < requests.json

Runs in a separate process for callers that have not loaded torch and transformers, such as a plan. Reads what each
named model is built from, and writes its `ModelShape`, or null if it cannot be built.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, TypedDict

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.models.encoder_weights import weights_of

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class FromNothing(TypedDict):
    """A teacher that is trained from scratch."""

    architecture: dict[str, object]
    """As in the recipe."""
    length: int
    token_types: int


class Request(TypedDict):
    """What a model is built from: a configuration, and the students in between."""

    task: str
    source: dict[str, object] | None
    """A `config.json`, or None for a teacher from scratch."""
    scratch: FromNothing | None
    labels: int
    students: list[dict[str, object]]
    """Specs of student initialisations, each applied to the previous model."""


def shapes(wanted: Mapping[str, Request]) -> dict[str, ModelShape | None]:
    """Shapes by name; None for a model that cannot be built."""
    import torch

    from edgedistill.models.loading import quiet_transformers

    quiet_transformers()
    found: dict[str, ModelShape | None] = {}
    with torch.random.fork_rng(devices=[]):  # must not affect the training that follows
        for name, request in wanted.items():
            try:
                found[name] = shape(request)
            except Exception:  # noqa: BLE001 - the plan shows that it isn't known; the trial before training says why
                found[name] = None
    return found


def shape(request: Request) -> ModelShape:
    """Shape of one model, counting tied weights once.

    Raises:
        Exception: the library's error for a configuration that it cannot build, or an initialisation's for an
            unsuitable source.
    """
    from edgedistill.models.loading import outline
    from edgedistill.models.sizes import described

    config, at_most, cut = planned_config(request)
    model = outline(registry.task(request["task"]).model.auto_class(), config)
    found = described(model)
    if cut:
        return replace(found, parameters=at_most, estimated=True)
    return replace(found, weights=weights_of(model))


def planned_config(request: Request) -> tuple[PreTrainedConfig, int | None, bool]:
    """Configuration of one model; the parameter count that the last student is pruned to, if any; and whether it or a
    student before it is.

    Raises:
        Exception: as for `shape`.
    """
    auto_class = registry.task(request["task"]).model.auto_class()
    config, cut = _first(request), False
    at_most: int | None = None
    for given in request["students"]:
        student = registry.student(str(given["init"]))
        assert student.planned is not None, "the plan uses no other"
        planned = student.planned(student.spec.model_validate_json(json.dumps(given)), config, auto_class)
        config, at_most = planned.config, planned.at_most
        cut = cut or at_most is not None
    return config, at_most, cut


def _first(request: Request) -> PreTrainedConfig:
    from edgedistill.models import image_model, pruned_model, static_model  # noqa: F401 - the auto classes learn of their models

    if request["source"] is None:
        return _from_nothing(request)
    from transformers import AutoConfig

    # The attention implementation does not affect sizes, and may be unavailable.
    own = {name: value for name, value in request["source"].items() if "attn_implementation" not in name}
    kind = str(own.pop("model_type"))
    for name in ("quantization_config", "id2label", "label2id", "num_labels", "auto_map"):
        own.pop(name, None)
    return AutoConfig.for_model(kind, **own, num_labels=request["labels"])


def _from_nothing(request: Request) -> PreTrainedConfig:
    from edgedistill.recipe.teacher_spec import Architecture

    scratch = request["scratch"]
    assert scratch is not None
    architecture = Architecture.model_validate_json(json.dumps(scratch["architecture"]))
    labels = {"num_labels": request["labels"]}
    unread = Items.of({}, {}, ())
    model = registry.task(request["task"]).model
    config = model.scratch_config(architecture, architecture.vocabulary, scratch["length"], unread, labels)
    config.type_vocab_size = scratch["token_types"]
    return config


def main() -> None:
    """Read, build, write; null for models that cannot be built."""
    found = shapes(json.load(sys.stdin))
    json.dump({name: None if sizes is None else asdict(sizes) for name, sizes in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
