"""Training checkpoints: safetensors and JSON, no pickle; written under a temporary name and renamed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file, load_model, save_file, save_model
from torch import nn


@dataclass(frozen=True)
class EpochRecord:
    """One epoch as the report shows it: mean losses by name, validation metric, speed."""

    stage: str
    epoch: int
    loss: float
    losses: Mapping[str, float]
    metric: float
    seconds: float
    samples_per_second: float
    compute: str
    """What `compute: auto` came to: device, arithmetic and attention kernel (`cpu, fp32, sdpa attention`)."""


@dataclass(frozen=True)
class Checkpoint:
    """What training needs besides weights, optimizer and random state to go on: what was seen, and the best so far."""

    history: tuple[EpochRecord, ...]
    best_metric: float
    best_epoch: int
    best_weights: Mapping[str, torch.Tensor]


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, state: Checkpoint) -> None:
    """Replace the checkpoint in `folder`; a process killed in between leaves the former one."""
    partial, former = folder.with_name(f"{folder.name}.partial"), folder.with_name(f"{folder.name}.former")
    for left_over in (partial, former):
        shutil.rmtree(left_over, ignore_errors=True)
    partial.mkdir(parents=True)
    save_model(model, str(partial / "model.safetensors"))
    moments = optimizer.state_dict()["state"]
    save_file(
        {f"{index}.{name}": value.contiguous() for index, each in moments.items() for name, value in each.items()},
        partial / "optimizer.safetensors",
    )
    save_file(_random_state(), partial / "random.safetensors")
    save_file({name: value.clone() for name, value in state.best_weights.items()}, partial / "best.safetensors")
    content = {
        "history": [asdict(each) for each in state.history],
        "best_metric": state.best_metric,
        "best_epoch": state.best_epoch,
    }
    (partial / "state.json").write_text(json.dumps(content), encoding="utf-8")
    if folder.exists():
        folder.rename(former)
    partial.rename(folder)
    shutil.rmtree(former, ignore_errors=True)


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Checkpoint | None:
    """Put model, optimizer and random state back as `save_checkpoint` found them; None without a checkpoint."""
    former = folder.with_name(f"{folder.name}.former")
    if not folder.exists() and former.exists():
        former.rename(folder)
    if not (folder / "state.json").is_file():
        return None
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
    content = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    history = TypeAdapter(tuple[EpochRecord, ...]).validate_python(content.pop("history"))
    return Checkpoint(history=history, best_weights=load_file(folder / "best.safetensors"), **content)


def _random_state() -> dict[str, torch.Tensor]:
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state
