"""Training checkpoints: safetensors and JSON, no pickle; flushed to disk before they replace the previous one, and
loaded only if every byte is intact."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn

from edgedistill.store.artifacts import sha256, sync
from edgedistill.store.progress import Progress
from edgedistill.store.records.models import EpochRecord
from edgedistill.store.scratch import CHECKPOINT

_TENSORS = ("model.safetensors", "optimizer.safetensors", "random.safetensors", "best.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """Training state for resuming besides weights, optimizer and random state: history, and the best epoch so far."""

    history: tuple[EpochRecord, ...]
    best_metric: float
    best_epoch: int
    best_weights: Mapping[str, torch.Tensor]


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: Checkpoint) -> None:
    """Replace the checkpoint in `folder`; if the process is killed or the disk is full, the previous one remains."""
    partial, former = folder.with_name(f"{folder.name}.partial"), _former(folder)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(partial, model, optimizer, state)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if folder.exists():
        shutil.rmtree(former, ignore_errors=True)
        folder.rename(former)
    partial.rename(folder)
    sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)


def load_checkpoint(
    folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress
) -> Checkpoint | None:
    """Restore model, optimizer and random state from the checkpoint; None without one.

    A damaged checkpoint is reported and dropped; the previous one is used if a process was killed before removing it.
    """
    for place in (folder, _former(folder)):
        if not place.exists():
            continue
        if (fault := _fault(place)) is None:
            return _read(place, model, optimizer)
        progress.warn(f"the checkpoint {place} is damaged ({fault}) and was dropped: training restarts")
        progress.event("dropped", checkpoint=place.name, reason=fault)
        _remove(place)
    return None


def _former(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.former")


def _write(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: Checkpoint) -> None:
    save_model(model, str(folder / "model.safetensors"))
    moments = optimizer.state_dict()["state"]
    save_file(
        {
            f"{index}.{name}": value.contiguous()
            for index, tensors in moments.items()
            for name, value in tensors.items()
        },
        folder / "optimizer.safetensors",
    )
    save_file(_random_state(), folder / "random.safetensors")
    save_file({name: value.clone() for name, value in state.best_weights.items()}, folder / "best.safetensors")
    content: dict[str, object] = {
        "history": [asdict(epoch) for epoch in state.history],
        "best_metric": state.best_metric,
        "best_epoch": state.best_epoch,
        "files": {name: sha256(folder / name) for name in _TENSORS},
    }
    (folder / CHECKPOINT).write_text(json.dumps({**content, "sha256": _digest(content)}), encoding="utf-8")
    for name in (*_TENSORS, CHECKPOINT):
        sync(folder / name)
    sync(folder)


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _fault(folder: Path) -> str | None:
    """The first damaged file, or None."""
    try:
        content = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.pop("sha256", None) != _digest(content):
            return f"{CHECKPOINT} has changed"
        files = content["files"]
        for name in _TENSORS:
            if sha256(folder / name) != files[name]:
                return f"{name} has changed"
    except OSError as error:
        return f"{Path(str(error.filename)).name} cannot be read: {error.strerror}"
    except (ValueError, LookupError, TypeError, RecursionError):
        return f"{CHECKPOINT} cannot be read"
    return None


def _read(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint:
    load_model(model, str(folder / "model.safetensors"))
    stored = load_file(folder / "optimizer.safetensors")
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in stored.items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    random = load_file(folder / "random.safetensors")
    torch.set_rng_state(random["cpu"])
    if "cuda" in random and torch.cuda.is_available():
        torch.cuda.set_rng_state(random["cuda"])
    content = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    return Checkpoint(
        history=TypeAdapter(tuple[EpochRecord, ...]).validate_python(content["history"]),
        best_metric=content["best_metric"],
        best_epoch=content["best_epoch"],
        best_weights=load_file(folder / "best.safetensors"),
    )


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


def _random_state() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state
