"""Reads `bundle.json` of schema 1, which knew one metric, always higher is better. Standard library only.

What is missing or of another type stays as it is: the checks of schema 2 name it.
"""

from __future__ import annotations

from collections.abc import Mapping

BUNDLE_V1 = "edgedistill/bundle/1"
_RENAMED = {"round": "model", "environment": "host"}


def lift_facts(old: Mapping[str, object], schema: str) -> dict[str, object]:
    """The same as the later schema says it."""
    content = {_RENAMED.get(name, name): value for name, value in old.items()} | {"schema": schema}
    if isinstance(content.get("measured"), dict):
        content["measured"] = _measured(content["measured"], content.get("metric"))
    return content


def _measured(old: object, metric: object) -> object:
    if not isinstance(old, dict) or not {"accuracy", "accuracy_ci", "validation_accuracy", "accuracy_drop"} <= set(old):
        return old
    content = dict(old)
    ends = content.pop("accuracy_ci")
    low, high = ends if isinstance(ends, list) and len(ends) == 2 else (ends, ends)
    facts = {"metric": metric, "direction": "higher", "low": None, "high": None, "examples": None, "host": None}
    test = {**facts, "split": "test", "value": content.pop("accuracy"), "low": low, "high": high}
    validation = {**facts, "split": "validation", "value": content.pop("validation_accuracy")}
    drop = {"value": content.pop("accuracy_drop"), "low": None, "high": None, "p": None, "split": "validation"}
    return {**content, "figures": [test, validation], "drop": drop}
