from __future__ import annotations

import json
import shutil

import pytest
import torch
from torch import nn

from edgedistill.store.progress import Progress
from edgedistill.training import checkpoint
from edgedistill.training.checkpoint import Checkpoint, EpochRecord, load_checkpoint, save_checkpoint

SILENT = Progress()
STATE = Checkpoint((EpochRecord("stage", 1, 0.5, {"kl": 0.5}, 0.9, 1.0, 10.0, "cpu"),), 0.9, 1, {})
FILES = ["model.safetensors", "optimizer.safetensors", "random.safetensors", "best.safetensors", "state.json"]


def trained(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture
def folder(tmp_path):
    model, optimizer = trained()
    best = {name: value.detach().clone() for name, value in model.state_dict().items()}
    state = Checkpoint(STATE.history, STATE.best_metric, STATE.best_epoch, best)
    save_checkpoint(tmp_path / "stage", model, optimizer, state)
    return tmp_path / "stage"


def weights(model) -> list[torch.Tensor]:
    return [value.detach().clone() for value in model.state_dict().values()]


def test_what_was_written_comes_back(folder):
    model, optimizer = trained(seed=1)
    found = load_checkpoint(folder, model, optimizer, SILENT)
    assert (found.history, found.best_metric, found.best_epoch) == (STATE.history, 0.9, 1)
    for ours, theirs in zip(weights(model), weights(trained()[0]), strict=True):
        assert torch.equal(ours, theirs)
    assert optimizer.state_dict()["state"][0]["exp_avg"].abs().sum() > 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["gone", "cut", "bit", "empty", "folder", "other"])
def test_a_damaged_checkpoint_is_said_and_dropped_and_nothing_of_it_is_loaded(folder, name, damage, caplog):
    file = folder / name
    content = file.read_bytes()
    match damage:
        case "gone":
            file.unlink()
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "bit":
            place = len(content) - 3
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        case "empty":
            file.write_bytes(b"")
        case "folder":
            file.unlink()
            file.mkdir()
        case "other":
            file.write_bytes(b'[{"a": 1}]')
    model, optimizer = trained(seed=1)
    before, random = weights(model), torch.get_rng_state()
    assert load_checkpoint(folder, model, optimizer, SILENT) is None
    assert "is damaged" in caplog.text
    assert name in caplog.text
    assert "training restarts" in caplog.text
    assert not folder.exists()
    assert all(torch.equal(a, b) for a, b in zip(before, weights(model), strict=True))
    assert torch.equal(random, torch.get_rng_state())


def test_a_state_that_was_changed_is_found(folder):
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps({**state, "best_metric": 0.99}))
    assert load_checkpoint(folder, *trained(), SILENT) is None


def test_the_former_one_is_taken_when_a_process_was_killed_between_or_the_new_one_is_damaged(folder):
    former = folder.with_name("stage.former")
    folder.rename(former)
    assert load_checkpoint(folder, *trained(1), SILENT).best_epoch == 1
    folder.mkdir()
    (folder / "state.json").write_text("{")
    assert load_checkpoint(folder, *trained(1), SILENT).best_epoch == 1


def test_a_checkpoint_that_cannot_be_written_leaves_the_former_one(folder, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(folder, *trained(2), STATE)
    assert not folder.with_name("stage.partial").exists()
    assert load_checkpoint(folder, *trained(1), SILENT).best_epoch == 1


def test_all_is_on_the_disk_before_the_former_one_goes(folder, monkeypatch):
    calls: list[str] = []
    sync, removed = checkpoint.sync, shutil.rmtree
    monkeypatch.setattr(checkpoint, "sync", lambda path: (calls.append(path.name), sync(path)))
    monkeypatch.setattr(
        shutil, "rmtree", lambda path, **options: (calls.append(f"rm {path.name}"), removed(path, **options))
    )
    save_checkpoint(folder, *trained(), STATE)
    last = len(calls) - 1 - calls[::-1].index("rm stage.former")
    assert {*FILES, "stage.partial", folder.parent.name} <= set(calls[:last])
