"""Shapes of planned models, taken from models that transformers builds from their configurations. Planning itself does
not load torch: another process builds them, and the results are cached.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from edgedistill.contracts import registry
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.models.meta_sizes import FromNothing, Request
from edgedistill.models.meta_sizes import shapes as built_here
from edgedistill.planning.fingerprints import Sources
from edgedistill.recipe.plugin_unions import StudentSpec
from edgedistill.recipe.schema import Recipe, source_of
from edgedistill.system import process
from edgedistill.system.memory import recall, remember

_TIMEOUT_SECONDS = 120.0
_MEMORY = "shapes.json"
_FORMAT = 3
"""Rises whenever `ModelShape` or its weights get other fields."""
_SHAPE = TypeAdapter(ModelShape)
_logger = logging.getLogger(__name__)


def model_shapes(recipe: Recipe, sources: Sources, *, here: bool = False) -> dict[str, ModelShape | None]:
    """The shape of the teacher and every student.

    None if it needs a download or the data, or no library can build the model. `parameters` is exact, or marked as an
    estimate: for a text model trained from scratch, whose vocabulary is learned from the data; for a student cut to a
    number of parameters; and while the number of labels is unknown.

    Args:
        here: build the models in this process even if it has not loaded torch.
    """
    asked = requests(recipe, sources)
    found = shapes(asked, here=here)
    known: dict[str, ModelShape | None] = dict.fromkeys(["teacher", *(round_.id for round_ in recipe.rounds)])
    for name, shape in found.items():
        vague = asked[name]["scratch"] is not None or _labels(recipe, sources, name) is None
        known[name] = replace(shape, estimated=shape.estimated or vague)
    return known


def requests(recipe: Recipe, sources: Sources) -> dict[str, Request]:
    """What each model is built from: a configuration, and the students in between."""
    found: dict[str, Request] = {}
    if (teacher := _teacher(recipe, sources)) is not None:
        found["teacher"] = teacher
    for round_ in recipe.rounds:
        student = registry.student(round_.student.init)
        if student.planned is None or (student.sized is not None and not student.sized(round_.student)):
            continue
        source = source_of(round_.student)
        before = found.get(source) if source is not None else _loaded(recipe, sources.config(round_.student))
        if before is not None:
            labels = _labels(recipe, sources, round_.id) or 2
            found[round_.id] = {**before, "labels": labels, "students": [*before["students"], _plain(round_.student)]}
    return found


def shapes(wanted: Mapping[str, Request], *, here: bool = False) -> dict[str, ModelShape]:
    """By name; absent if it cannot be built, or took too long."""
    keys = {name: _key(request) for name, request in wanted.items()}
    known = recall(_MEMORY)
    if missing := {name: wanted[name] for name, key in keys.items() if _read(known.get(key)) is None}:
        made = built_here(missing) if here or "torch" in sys.modules else _ask(missing)
        known |= {keys[name]: asdict(shape) for name, shape in made.items() if shape is not None}
        remember(_MEMORY, known)
    return {name: shape for name, key in keys.items() if (shape := _read(known.get(key))) is not None}


def _key(request: Request) -> str:
    """Hash of everything that determines the shape: the request, the code of its plug-ins, the library, this format."""
    students = [registry.student(str(given["init"])).version for given in request["students"]]
    versions = [
        _FORMAT,
        *students,
        registry.version("tasks", request["task"]),
        importlib.metadata.version("transformers"),
    ]
    return hashlib.sha256(json.dumps([request, versions]).encode()).hexdigest()


def _read(remembered: object) -> ModelShape | None:
    try:
        return _SHAPE.validate_python(remembered)
    except ValidationError:
        return None


def _ask(missing: Mapping[str, Request]) -> dict[str, ModelShape | None]:
    try:
        done = subprocess.run(
            process.python(Path(sys.executable), "-m", "edgedistill.models.meta_sizes"),
            input=json.dumps(missing),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env=process.environment(),
            check=True,
        )
        found = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        _logger.warning("model sizes are unknown: the process that computes them failed (%s)", error)
        return {}
    return {name: _read(content) for name, content in found.items()}


def _teacher(recipe: Recipe, sources: Sources) -> Request | None:
    architecture = recipe.teacher.scratch
    if architecture is None:
        return _loaded(recipe, sources.config(recipe.teacher), sources.labels)
    if not registry.task(recipe.task.type).data.tokens:
        return None  # its input size is the data's
    scratch: FromNothing = {
        "architecture": architecture.model_dump(mode="json"),
        "length": recipe.data.max_length,
        "token_types": 2 if "text_pair" in recipe.data.columns else 1,
    }
    return _request(recipe, sources.labels, scratch=scratch)


def _loaded(recipe: Recipe, config: Mapping[str, object] | None, labels: int | None = None) -> Request | None:
    return None if config is None else _request(recipe, labels, source=dict(config))


def _request(
    recipe: Recipe,
    labels: int | None,
    *,
    source: dict[str, object] | None = None,
    scratch: FromNothing | None = None,
) -> Request:
    return {"task": recipe.task.type, "source": source, "scratch": scratch, "labels": labels or 2, "students": []}


def _plain(student: StudentSpec) -> dict[str, object]:
    found: dict[str, object] = student.model_dump(mode="json", by_alias=True)
    return found


def _labels(recipe: Recipe, sources: Sources, name: str) -> int | None:
    """Number of classes of a model; None: not known yet."""
    own = {round_.id: sources.rounds[round_.id].labels for round_ in recipe.rounds if round_.data is not None}
    return own.get(name, sources.labels)
