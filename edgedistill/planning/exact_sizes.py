"""Exact sizes where no formula is known, of models that another process builds without memory for their weights:
planning itself loads no torch. They are remembered.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from edgedistill import plugins, process
from edgedistill.memory import recall, remember
from edgedistill.recipe import Recipe, StudentSpec, source_of
from edgedistill.sources import Sources
from edgedistill.spec import Spec

from .estimates import ModelEstimate, sized

_TIMEOUT_SECONDS = 120.0
_MEMORY = "sizes.json"

Request = dict[str, object]
"""As `edgedistill.meta_sizes` takes it."""


class Size(Spec):
    """As `edgedistill.meta_sizes` gives it."""

    layers: int | None
    hidden_size: int | None
    parameters: int


def exact(models: tuple[ModelEstimate, ...], recipe: Recipe, sources: Sources) -> tuple[ModelEstimate, ...]:
    """The estimates with the sizes that can be built; those that can't be known before the data is read, and what no
    library builds, stay as they are."""
    unknown = {each.id for each in models if each.parameters is None}
    found = sizes({name: each for name, each in requests(recipe, sources).items() if name in unknown})
    return tuple(
        sized(each, recipe, size.parameters, size.layers, size.hidden_size) if (size := found.get(each.id)) else each
        for each in models
    )


def requests(recipe: Recipe, sources: Sources) -> dict[str, Request]:
    """By model, what it is built of: a configuration, and how each student on the way differs from its source."""
    found: dict[str, Request] = {}
    if config := sources.config(recipe.teacher):
        found["teacher"] = _request(recipe, config, sources.labels)
    for each in recipe.rounds:
        labels = sources.rounds[each.id].labels if each.data is not None else sources.labels
        source = source_of(each.student)
        if source is None:
            if config := sources.config(each.student):
                found[each.id] = _request(recipe, config, labels)
        elif source in found and (step := _resize(each.student)) is not None:
            before = found[source]
            assert isinstance(before["resizes"], list)
            found[each.id] = {**before, "labels": labels or 2, "resizes": [*before["resizes"], step]}
    return found


def sizes(wanted: Mapping[str, Request]) -> dict[str, Size]:
    """By name, how large they are; absent where it can't be built, or took too long."""
    version = importlib.metadata.version("transformers")
    keys = {name: hashlib.sha256(json.dumps([each, version]).encode()).hexdigest() for name, each in wanted.items()}
    known = recall(_MEMORY)
    if missing := {name: wanted[name] for name, key in keys.items() if _read(known.get(key)) is None}:
        known |= {keys[name]: size for name, size in _ask(missing).items() if size is not None}
        remember(_MEMORY, known)
    return {name: size for name, key in keys.items() if (size := _read(known.get(key))) is not None}


def _read(remembered: object) -> Size | None:
    try:
        return Size.model_validate(remembered)
    except ValidationError:
        return None


def _ask(missing: Mapping[str, Request]) -> dict[str, object]:
    try:
        done = subprocess.run(
            process.python(Path(sys.executable), "-m", "edgedistill.meta_sizes"),
            input=json.dumps(missing),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env=process.environment(),
            check=True,
        )
        found: dict[str, object] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
    return found


def _request(recipe: Recipe, config: Mapping[str, object], labels: int | None) -> Request:
    return {"task": recipe.task.type, "config": dict(config), "labels": labels or 2, "resizes": []}


def _resize(student: StudentSpec) -> dict[str, object] | None:
    """What of its source's sizes a student changes; None where that isn't all that it changes."""
    named = getattr(plugins.find("students", student.init), "resizes", None)
    sizes: dict[str, object] | None = named(student) if named is not None else None
    return sizes
