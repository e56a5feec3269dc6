"""Published folders as a program meets them that has transformers and nothing of edgedistill."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import made
from transformers import AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.items import Column, Items
from edgedistill.contracts.student import StudentRequest
from edgedistill.data.prepared import PreparedData
from edgedistill.models.clients import EVERYONE, OURS, loads_in
from edgedistill.training.record import save_trained
from edgedistill.training.training_data import TrainingData

TASK = registry.task("text-classification")
SPECS = {
    "keep_layers": {"layers": 1},
    "narrow": {"hidden_size": 16},
    "trim_vocabulary": {},
    "checkpoint": {},
    "scratch": {"layers": 1, "hidden_size": 16, "heads": 2},
    "factorise": {"embedding_size": 8},
    "prune": {"parameters": 20_000},
    "static": {"dimensions": 8},
}
LOADED = """
import json, sys
from pathlib import Path
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

found = {}
for folder in sorted(Path(sys.argv[1]).iterdir()):
    inputs = AutoTokenizer.from_pretrained(folder)("wake me at six", return_tensors="pt")
    try:
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    except ValueError as error:
        found[folder.name] = str(error)[:100]
    else:
        with torch.no_grad():
            found[folder.name] = model(**inputs).logits[0].tolist()
assert not any(name.split(".")[0] == "edgedistill" for name in sys.modules)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def published(finished_run, teacher_folder, tmp_path_factory):
    """A folder of every kind of student, written as the steps write it; with the logits of one text."""
    root = tmp_path_factory.mktemp("published")
    data = PreparedData.at(finished_run.artifact("data"))
    answers = {}
    for init, more in SPECS.items():
        module = registry.student(init)
        settings = {"init": init, **more} | ({"model": str(teacher_folder)} if init == "checkpoint" else {})
        own, kept = data, None
        if module.make_tokenizer is not None:
            own, kept = _in_its_own_tokens(module.spec.model_validate(settings), module, data, root.parent / init)
        tokens = own.items("train")
        torch.manual_seed(0)
        request = StudentRequest(
            spec=module.spec.model_validate(settings),
            source=teacher_folder,
            auto_class=AutoModelForSequenceClassification,
            config_overrides={"num_labels": 3},
            tokenizer=own.load_tokenizer(),
            probe=[TrainingData.plain([tokens], TASK).fetch(range(16))],
            loss=lambda model, batch: TASK.model.loss(TASK.model.forward(model, batch.inputs), batch.columns, 0.0),
            train=tokens,
            kept_tokens=kept,
        )
        student = module.build(request).eval()
        place = root / "folders" / init
        save_trained(student, own, [], place.parent / f"{init}.step")
        (place.parent / f"{init}.step" / "model").rename(place)
        (place.parent / f"{init}.step").rmdir()
        with torch.no_grad():
            answers[init] = student(**own.load_tokenizer()("wake me at six", return_tensors="pt")).logits[0].tolist()
    return root / "folders", answers


def _in_its_own_tokens(spec, module, data: PreparedData, folder: Path) -> tuple[PreparedData, list[int]]:
    from edgedistill.steps import retokenise
    from edgedistill.store.data_inputs import DataInputs
    from edgedistill.store.progress import Progress
    from edgedistill.store.step import Context

    record = retokenise.run(
        retokenise.Settings(task=registry.task_as("text-classification", "accuracy", {}), student=spec),
        retokenise.Inputs(DataInputs(made(data.facts, data.folder))),
        folder,
        Context(folder, Progress()),
    )
    return PreparedData(folder, record), list(record.kept_tokens)


def test_every_kind_of_student_is_here():
    """But the one that cuts decoders only: tests/students/test_decoders.py."""
    assert {*SPECS, "shrink"} == set(registry.names("students"))


def test_which_folders_load_without_edgedistill(published, tmp_path):
    folders, answers = published
    done = subprocess.run(
        [sys.executable, "-c", LOADED, str(folders)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    refused = {init for init, outcome in found.items() if isinstance(outcome, str)}
    assert refused == {"prune", "static"}
    for init in refused:
        assert f"model type `edgedistill-{'pruned-bert' if init == 'prune' else 'static'}`" in found[init]
    for init in set(SPECS) - refused:
        np.testing.assert_allclose(found[init], answers[init], atol=1e-6)
    assert {init for init in SPECS if loads_in(folders / init) == OURS} == refused
    assert {init for init in SPECS if loads_in(folders / init) == EVERYONE} == set(SPECS) - refused


@pytest.mark.slow
def test_those_that_do_not_say_how_they_load(published, tmp_path):
    folders, answers = published
    assert {file.parent.name for file in folders.glob("*/README.md")} == {"prune", "static"}
    for init in ("prune", "static"):
        note = (folders / init / "README.md").read_text()
        (program,) = re.findall(r"```python\n(.*?)```", note, re.DOTALL)
        program = program.replace("this folder", str(folders / init))
        program += f"""
from transformers import AutoTokenizer
inputs = AutoTokenizer.from_pretrained({str(folders / init)!r})("wake me at six", return_tensors="pt")
print(model(**inputs).logits[0].tolist())
"""
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(json.loads(done.stdout), answers[init], atol=1e-6)


def test_the_documentation_says_which():
    page = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| [student](#students) |")]
    assert "Model folders of `prune` and `static` can only be loaded with edgedistill" in row


@pytest.mark.slow
def test_the_inputs_of_a_static_students_file_are_those_that_it_reads(published, tmp_path):
    import onnxruntime

    from edgedistill.contracts import registry
    from edgedistill.exporting.jobs import ExportJob, Part, run_job

    texts = [np.arange(5, 37), np.arange(37, 45)]
    content = {
        "input_ids": texts,
        "token_type_ids": [np.zeros_like(ids) for ids in texts],
        "attention_mask": [np.ones_like(ids) for ids in texts],
    }
    columns = {name: Column("input", "sequence") for name in content}
    Items.of(columns, content, [0, 1]).save(tmp_path / "samples.safetensors")
    seen = {}
    for init in ("static", "keep_layers"):
        order = ExportJob(
            target="onnx",
            exporter=registry.reference("exporters", "onnx"),
            precision="fp32",
            task=registry.reference("tasks", "text-classification"),
            model=str(published[0] / init),
            samples=str(tmp_path / "samples.safetensors"),
            calibration=None,
            max_length=32,
            only_length=None,
            fixed=False,
            files=(Part("model", None, str(tmp_path / f"{init}.onnx"), None),),
        )
        run_job(order)
        session = onnxruntime.InferenceSession(tmp_path / f"{init}.onnx", providers=["CPUExecutionProvider"])
        seen[init] = [port.name for port in session.get_inputs()]
    assert seen["static"] == ["input_ids", "attention_mask"]
    assert seen["keep_layers"] == ["input_ids", "attention_mask", "token_type_ids"]
