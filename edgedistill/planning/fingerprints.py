"""External facts for a plan: content hashes of data and models, and the models' `config.json`.

This is the only part of planning that reads the disk; it imports neither torch nor transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgedistill.contracts import registry
from edgedistill.data.fingerprint import data_fingerprint, pinned
from edgedistill.data.text_size import text_bytes
from edgedistill.errors import UserError
from edgedistill.exporting.candidates import candidates, makeable_candidates
from edgedistill.isolation.environments import runtime_versions
from edgedistill.models import hub
from edgedistill.models.fit import check_sizes
from edgedistill.models.folder import check_folder, files_read, read_config, read_weights_header
from edgedistill.recipe import references
from edgedistill.recipe.data_spec import DataSource, DataSpec, SplitName
from edgedistill.recipe.references import Model
from edgedistill.recipe.schema import Recipe
from edgedistill.spec import Spec
from edgedistill.store.provenance import Provenance, of_folder
from edgedistill.system.hashes import folder_hash
from edgedistill.system.machine import describe
from edgedistill.system.memory import object_in

Reference = Model | DataSource


@dataclass(frozen=True)
class DataFacts:
    """What is known of a data set without reading it; None or absent if unknown."""

    labels: int | None = None
    data_bytes: Mapping[SplitName, int] = field(default_factory=dict)
    """Approximate amount of text in the local data files."""


@dataclass(frozen=True)
class Sources:
    """Facts about a recipe's inputs, each None or absent if it needs a download."""

    fingerprints: Mapping[Reference, str]
    """Content hash, or Hub id with commit, of all models and data sets that the recipe names."""
    configs: Mapping[Model, dict[str, object]] = field(default_factory=dict)
    labels: int | None = None
    data_bytes: Mapping[SplitName, int] = field(default_factory=dict)
    """Approximate amount of text in the local data files."""
    rounds: Mapping[str, DataFacts] = field(default_factory=dict)
    """Facts about the data of rounds with their own data, by round id."""
    runtimes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Library versions of each runtime that measures a candidate."""
    host: Mapping[str, object] = field(default_factory=dict)
    """The machine that measures."""
    provenance: tuple[Provenance, ...] = ()
    """Origin and licence of every model and data set used in training."""

    def config(self, spec: Spec | None) -> dict[str, object] | None:
        """The `config.json` of the model that a spec names; None if there is none, or it is unknown."""
        model = references.model_of(spec) if spec is not None else None
        return self.configs.get(model) if model is not None else None


def look_up(recipe: Recipe, *, download: bool = False) -> Sources:
    """Collect what is known of a recipe's data and models.

    Args:
        download: fetch the configurations and tokenizers of Hub models first, so that nothing is unknown.

    Raises:
        UserError: a missing or unreadable local file or folder, or a model that is not available on the Hub.
    """
    fingerprints: dict[Reference, str] = {}
    configs: dict[Model, dict[str, object]] = {}
    for where, source in data_sets(recipe):
        if download and source.hub is not None:
            _fetch_reference(where, source)
        fingerprints[source] = fingerprints[pinned(source)] = data_fingerprint(where, source)
    for where, model in references.models(recipe):
        if download and not Path(model.name).is_absolute():
            hub.look_up(model.name, model.revision, f"{where}: '{model.name}'")
        fingerprints[model] = _model_fingerprint(where, model.name, model.revision)
        config = _config(model.name, model.revision)
        if config is not None:
            configs[model] = config
            if model == references.model_of(recipe.teacher) and recipe.teacher.fine_tune is None:
                _refuse_other_heads(recipe.task.type, config, f"{where}: '{model.name}'")
    facts = _facts(recipe.data)
    return Sources(
        fingerprints,
        configs,
        labels=facts.labels,
        data_bytes=facts.data_bytes,
        rounds={round_.id: _facts(round_.data) for round_ in recipe.rounds if round_.data is not None},
        runtimes={row.runtime: runtime_versions(row.runtime) for row in makeable_candidates(candidates(recipe))},
        host=describe(),
        provenance=_provenance(recipe),
    )


def data_sets(spec: Spec) -> Iterator[tuple[str, DataSource]]:
    """Every data set that a spec names, with its location."""
    yield from ((node.path, node.value) for node in references.walk(spec) if isinstance(node.value, DataSource))


def _refuse_other_heads(task: str, config: Mapping[str, object], name: str) -> None:
    """Check that a teacher without fine-tuning has a head for the task.

    Raises:
        UserError: it does not.
    """
    if (fault := registry.task(task).model.unsuitable(config)) is not None:
        raise UserError(
            f"{name} has {fault}; add teacher.fine_tune to train a head for the task, or use another teacher"
        )


def _facts(data: DataSpec) -> DataFacts:
    """Facts about the data sets alone."""
    columns = set(data.columns.values())
    sizes = {name: text_bytes(source, columns) for name, source in data.splits().items() if source.path}
    return DataFacts(_count_labels(data), sizes)


def _provenance(recipe: Recipe) -> tuple[Provenance, ...]:
    """Every model that a student is derived or distilled from, and the data, without out-of-distribution sets."""
    found = [_of_model(_role(recipe, path), model) for path, model in references.models(recipe)]
    learned = [(path, source) for path, source in data_sets(recipe) if not path.startswith("evaluate.")]
    return (*found, *(_of_data(_role(recipe, path), source) for path, source in learned))


def _role(recipe: Recipe, path: str) -> str:
    """Readable name of the model or data set at a location in the recipe: `teacher`, `student r1`, `train of r1`."""
    first, *inner = path.split(".")
    if first != "rounds":
        return inner[-1] if first == "data" else first
    own = recipe.rounds[int(inner[0])].id
    return f"student {own}" if inner[1] == "student" else f"{inner[-1]} of {own}"


def _of_model(role: str, model: Model) -> Provenance:
    folder = Path(model.name)
    if folder.is_absolute():
        return of_folder(role, folder.name, folder)
    place = hub.cache_of(model.name) / "snapshots" / hub.commit_of(model.name, model.revision)
    return of_folder(role, f"{model.name} (revision {model.revision})", place)


def _of_data(role: str, source: DataSource) -> Provenance:
    if source.path is not None:
        path = Path(source.path)
        return of_folder(role, None, path if path.is_dir() else path.parent)
    if source.hub is not None:
        commit = hub.commit_of(source.hub, source.revision, "datasets")
        place = hub.cache_of(source.hub, "datasets") / "snapshots" / commit
        return of_folder(role, f"{source.hub} (revision {source.revision})", place)
    return of_folder(role, f"{source.bundled}, from scikit-learn", None)


def _model_fingerprint(where: str, model: str, revision: str) -> str:
    """Hash of all files that are read, after checking them; the commit of a Hub model."""
    path, name = Path(model), f"{where}: '{model}'"
    if not path.is_absolute():
        return f"hub:{model}@{hub.commit_of(model, revision)}"
    if not path.is_dir():
        raise UserError(f"{where}: got '{model}', expected a Hub id or an existing folder")
    check_folder(path, name)
    check_sizes(read_config(path, name), read_weights_header(path, name), name)
    return folder_hash(files_read(path, name))


def _config(model: str, revision: str) -> dict[str, object] | None:
    folder = Path(model)
    if folder.is_absolute():
        return object_in(folder / "config.json") or None
    return object_in(hub.cache_of(model) / "snapshots" / hub.commit_of(model, revision) / "config.json") or None


def _fetch_reference(where: str, source: DataSource) -> None:
    """Resolve a data set's revision to a commit on the Hub, cached as for models."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    assert source.hub is not None
    try:
        hf_hub_download(source.hub, "README.md", repo_type="dataset", revision=source.revision)
    except (OSError, ValueError, EntryNotFoundError) as error:
        if (hub.cache_of(source.hub, "datasets") / "refs" / source.revision).is_file():
            return  # no such file, but the commit is now in the cache; or offline, and cached earlier
        if re.fullmatch(r"[0-9a-f]{40}", source.revision):
            return  # already a commit
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{where}.hub: '{source.hub}' (revision {source.revision}) could not be downloaded from the Hub: {reason}"
        ) from error


def _count_labels(data: DataSpec) -> int | None:
    """Number of distinct labels in a local jsonl training file, to estimate the size of the head."""
    source = data.train
    if source.path is None or not source.path.endswith(".jsonl"):
        return None
    column = data.columns.get("label", "label")
    try:
        with open(source.path, encoding="utf-8") as lines:
            return len({str(json.loads(line).get(column)) for line in lines if line.strip()})
    except (OSError, ValueError, AttributeError, RecursionError):
        return None  # the data step reports what is wrong with the file
