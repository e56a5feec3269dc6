"""Descriptions of models that are built without memory for their weights.

    python -m edgedistill.models.meta_sizes < requests.json

A process of its own where the asking one has not loaded torch and transformers, as a plan hasn't. It reads, by name,
what each model is built of, and writes, by name, its `ModelShape`, or null where it can't be built.
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

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class FromNothing(TypedDict):
    """A teacher that is trained from scratch."""

    architecture: dict[str, object]
    """As the recipe gives it."""
    length: int
    token_types: int


class Request(TypedDict):
    """What a model is built of: a configuration, and the students on the way from there to it."""

    task: str
    source: dict[str, object] | None
    """A `config.json`, or None for a teacher from scratch."""
    scratch: FromNothing | None
    labels: int
    students: list[dict[str, object]]
    """Specs of student initialisations, each of the model before."""


def shapes(wanted: Mapping[str, Request]) -> dict[str, ModelShape | None]:
    """By name, of the task's models; None for one that can't be built."""
    import torch

    from edgedistill.models.loading import quiet_transformers

    quiet_transformers()
    found: dict[str, ModelShape | None] = {}
    with torch.random.fork_rng(devices=[]):  # what is measured here leaves no trace in what is trained
        for name, request in wanted.items():
            try:
                found[name] = shape(request)
            except Exception:  # noqa: BLE001 - the plan shows that it isn't known; the trial before training says why
                found[name] = None
    return found


def shape(request: Request) -> ModelShape:
    """Of one model, tied weights counted once.

    Raises:
        Exception: whatever the library says of a configuration that it can't build, or an initialisation of a source
            that it can't make a student of.
    """
    from edgedistill.models.loading import outline
    from edgedistill.models.sizes import described

    auto_class = registry.task(request["task"]).model.auto_class()
    config, cut = _first(request), False
    at_most: int | None = None
    for given in request["students"]:
        student = registry.student(str(given["init"]))
        assert student.planned is not None, "the plan uses no other"
        planned = student.planned(student.spec.model_validate_json(json.dumps(given)), config, auto_class)
        config, at_most = planned.config, planned.at_most
        cut = cut or at_most is not None
    found = described(outline(auto_class, config))
    return replace(found, parameters=at_most, estimated=True) if cut else found


def _first(request: Request) -> PreTrainedConfig:
    from edgedistill.models import image_model, pruned_model, static_model  # noqa: F401 - the auto classes learn of their models

    if request["source"] is None:
        return _from_nothing(request)
    from transformers import AutoConfig

    # How it is computed changes no size, and may ask for what isn't there.
    own = {name: value for name, value in request["source"].items() if "attn_implementation" not in name}
    kind = str(own.pop("model_type"))
    for name in ("quantization_config", "id2label", "label2id", "num_labels", "auto_map"):
        own.pop(name, None)
    return AutoConfig.for_model(kind, **own, num_labels=request["labels"])


def _from_nothing(request: Request) -> PreTrainedConfig:
    from edgedistill.recipe.schema import Architecture

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
    """Read, build, write; what can't be built is null."""
    found = shapes(json.load(sys.stdin))
    json.dump({name: None if each is None else asdict(each) for name, each in found.items()}, sys.stdout)


if __name__ == "__main__":
    main()
