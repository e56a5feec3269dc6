"""Hub ids, with the hub's client played by a folder."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch

import pytest
from helpers import tiny_recipe
from transformers import AutoModelForSequenceClassification

from edgedistill.errors import UserError
from edgedistill.models import hub
from edgedistill.models.loading import load_config, load_model, load_tokenizer
from edgedistill.planning import fingerprints
from edgedistill.recipe import reading
from edgedistill.recipe.references import Model

COMMIT = "a" * 40


class PlayedHub:
    """`snapshot_download` of one repository, as the client's documentation describes it."""

    def __init__(self, repository, cache):
        self.repository, self.cache, self.asked = repository, cache, []

    def __call__(self, name, *, revision, allow_patterns, ignore_patterns):
        self.asked.append((revision, tuple(allow_patterns)))
        home = self.cache / f"models--{name.replace('/', '--')}"
        if name != "someone/small" or revision not in ("main", COMMIT):
            raise OSError("404: no such repository")
        place = home / "snapshots" / COMMIT
        (home / "refs").mkdir(parents=True, exist_ok=True)
        (home / "refs" / "main").write_text(COMMIT)
        for file in self.repository.rglob("*"):
            path = str(file.relative_to(self.repository))
            wanted = any(fnmatch(path, pattern) for pattern in allow_patterns)
            if file.is_file() and wanted and not any(fnmatch(path, pattern) for pattern in ignore_patterns):
                (home / "blobs").mkdir(exist_ok=True)
                shutil.copy(file, home / "blobs" / file.name)
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).unlink(missing_ok=True)
                (place / path).symlink_to(home / "blobs" / file.name)
        return str(place)

    def fetched(self):
        return {file.name for file in (self.cache / "models--someone--small" / "snapshots" / COMMIT).rglob("*")}


@pytest.fixture
def played(teacher_folder, tmp_path, monkeypatch):
    repository = tmp_path / "repository"
    shutil.copytree(teacher_folder, repository)
    for name in ("pytorch_model.bin", "modeling_evil.py", "README.md", "extra.safetensors"):
        (repository / name).write_text("x")
    (repository / "onnx").mkdir()
    (repository / "onnx" / "config.json").write_text("{}")
    client = PlayedHub(repository, tmp_path / "cache")
    monkeypatch.setenv("HF_HUB_CACHE", str(client.cache))
    monkeypatch.setattr("huggingface_hub.snapshot_download", client)
    return client


def test_a_hub_model_loads_and_nothing_pickled_and_no_code_is_fetched(played):
    model = load_model(AutoModelForSequenceClassification, "someone/small", None, head_required=True)
    tokenizer = load_tokenizer("someone/small", "main")
    assert (model.config.num_labels, load_config("someone/small", None).model_type) == (3, "bert")
    assert tokenizer("wake me").input_ids
    assert played.fetched() == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def test_a_tokenizer_or_config_fetches_no_weights(played):
    load_tokenizer("someone/small")
    load_config("someone/small", None)
    assert "model.safetensors" not in played.fetched()


def test_a_model_in_parts_fetches_the_parts_that_its_index_names(played):
    model = load_model(AutoModelForSequenceClassification, played.repository, None)
    (played.repository / "model.safetensors").unlink()
    model.save_pretrained(played.repository, max_shard_size="20kB")
    load_model(AutoModelForSequenceClassification, "someone/small", None, head_required=True)
    parts = {name for name in played.fetched() if name.startswith("model-0")}
    assert len(parts) > 1
    assert "extra.safetensors" not in played.fetched()


@pytest.mark.parametrize("load", [load_tokenizer, lambda name: load_config(name, None)])
def test_code_in_a_hub_model_is_refused_before_its_weights_are_fetched(played, load):
    (played.repository / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["e.E", None]}}))
    with pytest.raises(UserError, match=r"model 'someone/small': tokenizer_config.json requests remote code"):
        load("someone/small")
    with pytest.raises(UserError, match="never run"):
        load_model(AutoModelForSequenceClassification, "someone/small", None)
    assert "model.safetensors" not in played.fetched()


def test_an_index_that_leads_elsewhere_fetches_nothing_more(played):
    (played.repository / "model.safetensors").unlink()
    index = {"weight_map": {"bert.pooler.dense.bias": "pytorch_model.bin"}}
    (played.repository / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="names 'pytorch_model.bin'"):
        load_model(AutoModelForSequenceClassification, "someone/small", None)
    assert "pytorch_model.bin" not in played.fetched()


def test_what_is_loaded_is_the_commit_that_was_looked_up(played):
    hub.look_up("someone/small", "main", "m")
    load_model(AutoModelForSequenceClassification, "someone/small", "main")
    assert [revision for revision, _ in played.asked] == ["main", COMMIT, COMMIT]


def test_the_plan_of_a_run_knows_the_commit_and_refuses_code(played, data_folder):
    tree = tiny_recipe(data_folder)
    tree["teacher"] = {"model": "someone/small", "fine_tune": {"epochs": 1}}
    found = fingerprints.look_up(reading.validate(tree, "here"), download=True)
    assert found.fingerprints[Model("someone/small")] == f"hub:someone/small@{COMMIT}"
    assert found.configs[Model("someone/small")]["model_type"] == "bert"
    (played.repository / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": {"AutoConfig": "e.E"}}))
    with pytest.raises(UserError, match=r"teacher.model: 'someone/small': config.json requests remote code"):
        fingerprints.look_up(reading.validate(tree, "here"), download=True)


def test_a_model_that_the_hub_does_not_give_is_one_sentence(played):
    with pytest.raises(
        UserError, match=r"someone/other' \(revision main\) is not a local folder and could not be downloaded"
    ):
        load_config("someone/other", None)
