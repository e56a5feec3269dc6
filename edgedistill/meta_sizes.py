"""Sizes of models that are built without memory for their weights.

    python -m edgedistill.meta_sizes < requests.json

A process of its own, since it loads torch and transformers. It reads, by name, what each model is built of (`task`,
`config` as in `config.json`, `labels`, and `resizes`: the sizes that each student on the way changes), and writes, by
name, its layers, width and parameters, or null where it can't be built.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TypedDict


class Sizes(TypedDict, total=False):
    """What a student changes: a number of layers, evenly spread over the source's, or those listed; widths."""

    layers: int | list[int]
    hidden_size: int | None
    heads: int | None
    intermediate_size: int | None


class Model(TypedDict):
    """What a model is built of."""

    task: str
    config: dict[str, object]
    labels: int
    resizes: list[Sizes]


class Size(TypedDict):
    """How large it is; tied weights are counted once. None: the architecture has no such number."""

    layers: int | None
    hidden_size: int | None
    parameters: int


def measured(model: Model) -> Size:
    """Of the task's model of this configuration.

    Raises:
        Exception: whatever the library says of a configuration that it can't build.
    """
    import torch
    from transformers import AutoConfig

    from edgedistill import image_model, plugins, pruned_model, static_model  # noqa: F401 - auto classes learn of them
    from edgedistill.models import parameter_count, resized

    # How it is computed changes no size, and may ask for what isn't there.
    own = {name: value for name, value in model["config"].items() if "attn_implementation" not in name}
    kind = str(own.pop("model_type"))
    for name in ("quantization_config", "id2label", "label2id", "num_labels", "auto_map"):
        own.pop(name, None)
    config = AutoConfig.for_model(kind, **own, num_labels=model["labels"])
    for sizes in model["resizes"]:
        widths = (sizes.get("hidden_size"), sizes.get("heads"), sizes.get("intermediate_size"))
        layers = _layers(sizes["layers"], config.num_hidden_layers, anew=widths[0] is not None)
        config = resized(config, layers, *widths)
    with torch.device("meta"):
        built = plugins.task(model["task"]).model.auto_class().from_config(config)
    return {
        "layers": getattr(config, "num_hidden_layers", None),
        "hidden_size": getattr(config, "hidden_size", None),
        "parameters": parameter_count(built),
    }


def _layers(asked: int | list[int], depth: int, *, anew: bool) -> list[int]:
    from edgedistill.students._copy import evenly

    if isinstance(asked, list):
        return asked
    return list(range(asked)) if anew else evenly(asked, depth)


def main() -> None:
    """Read, build, write; what can't be built is null."""
    asked: Mapping[str, Model] = json.load(sys.stdin)
    found: dict[str, Size | None] = {}
    for name, model in asked.items():
        try:
            found[name] = measured(model)
        except Exception:  # noqa: BLE001 - the plan shows that it isn't known; the trial before training says why
            found[name] = None
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
