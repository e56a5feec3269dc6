"""A round with a stage in the arithmetic of a precision: what is trained, which epoch is kept, and what is saved."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import stand_in, text_items, tiny_recipe, write_recipe
from torch import nn
from transformers import GPT2Config, GPT2ForSequenceClassification

import edgedistill
from edgedistill.contracts import registry
from edgedistill.data.prepared import PreparedData
from edgedistill.errors import UserError
from edgedistill.models.loading import load_model
from edgedistill.steps import distil
from edgedistill.steps.probe_model import _check_arithmetic
from edgedistill.training.fake_quantization import fake_quantized, on_grid
from edgedistill.training.loop import train_stage
from edgedistill.training.probing import Subject
from edgedistill.training.record import judge

ROUNDED = [
    {"name": "float", "epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "losses": [{"kind": "kl"}]},
    {
        "name": "rounded",
        "epochs": 3,
        "learning_rate": 3e-3,
        "batch_size": 16,
        "quantize": "int2",
        "losses": [{"kind": "kl"}],
    },
]


STAGES: list[tuple[str, int]] = []
"""Every epoch's stage, and the most values in a block of its model's weights as used."""


def train_and_note(module, request, *rest):
    """As `train_stage`."""

    def judged(student) -> float:
        layer = student.bert.encoder.layer[0].attention.self.query
        used = layer(torch.eye(32)[None])[0] - layer.bias
        STAGES.append((request.name, max(len(block.unique()) for block in used.detach().round(decimals=4).T)))
        return request.judge(student)

    return train_stage(module, replace(request, judge=judged), *rest)


@pytest.fixture(scope="module")
def trained(data_folder, tmp_path_factory):
    tree, folder = tiny_recipe(data_folder), tmp_path_factory.mktemp("quantized-stage")
    tree["teacher"]["fine_tune"]["epochs"] = 6
    tree["rounds"] = [{"id": "r1", "student": {"init": "keep_layers", "layers": 1}, "stages": ROUNDED}]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distil, "train_stage", train_and_note)
        return edgedistill.evaluate(write_recipe(tree, folder), out=folder / "run")


def matrices(model):
    """The weights of products with a sequence."""
    return [module.weight for module in model.bert.encoder.modules() if isinstance(module, nn.Linear)]


def test_only_that_stage_trains_and_is_judged_in_the_arithmetic_in_the_control_too(trained):
    both = ["r1", "r1-control"]
    assert [name for name, _ in STAGES] == ["float", "rounded", "rounded", "rounded"] * len(both)
    for name, values in STAGES:
        assert values <= 4 if name == "rounded" else values > 16


@pytest.mark.parametrize("name", ["r1", "r1-control"])
def test_the_saved_weights_are_those_of_the_file_in_the_control_too(trained, name):
    arithmetic = registry.quantizer("int2").arithmetic
    task = registry.task("text-classification")
    model = load_model(task.model.auto_class(), trained.model_folder(name), None, head_required=True).eval()
    for weight in matrices(model):
        torch.testing.assert_close(on_grid(weight, arithmetic.weights), weight, rtol=0, atol=1e-6)
        assert all(len(block.unique()) <= 4 for block in weight[:, :32].detach().round(decimals=6))
    head = model.classifier.weight  # stays fp32 in the file
    assert not torch.allclose(on_grid(head, arithmetic.weights), head, atol=1e-4)


@pytest.mark.parametrize("name", ["r1", "r1-control"])
def test_the_epoch_that_is_best_in_the_arithmetic_is_kept(trained, name):
    kept = trained.training(name).kept_metric("higher")
    task = registry.task("text-classification")
    model = load_model(task.model.auto_class(), trained.model_folder(name), None, head_required=True).eval()
    data = PreparedData.of(trained.outputs.data["r1"].reading("validation"))
    judged = judge(task, task.judge(trained.recipe.task).metrics["accuracy"], data.items("validation"))
    with fake_quantized(model, registry.quantizer("int2").arithmetic):
        assert judged(model) == pytest.approx(kept)


def test_a_student_with_other_layers_is_refused_before_anything_is_trained():
    sizes = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 8, "vocab_size": 20, "pad_token_id": 0}
    model = GPT2ForSequenceClassification(GPT2Config(**sizes))
    items, task = text_items([[5, 6, 7], [8, 9]], [0, 1]), registry.task("text-classification")
    with pytest.raises(UserError, match="the student has a Conv1D layer"):
        _check_arithmetic(Subject(model, "the student of r1", "another"), stand_in(quantized=("int4",)), items, task)
