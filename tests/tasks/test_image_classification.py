"""Images instead of text: the whole chain on scikit-learn's digits."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import Tree, write_recipe

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.errors import UserError
from edgedistill.models.image_model import PixelsConfig, PixelsForImageClassification
from edgedistill.tasks import image_classification as task

RECIPE: Tree = {
    "schema": "edgedistill/1",
    "name": "digits",
    "task": {"type": "image-classification", "metric": "accuracy"},
    "data": {
        "train": {"bundled": "digits", "split": "train[:30%]"},
        "validation": {"bundled": "digits", "split": "train[30%:40%]"},
        "test": {"bundled": "digits", "split": "train[40%:60%]"},
    },
    "teacher": {
        "scratch": {"layers": 2, "hidden_size": 64, "dropout": 0.1},
        "fine_tune": {"epochs": 12, "learning_rate": 3e-3, "batch_size": 32},
    },
    "rounds": [
        {
            "id": "small",
            "student": {"init": "scratch", "layers": 1, "hidden_size": 16},
            "stages": [
                {
                    "name": "soft-targets",
                    "epochs": 10,
                    "learning_rate": 5e-3,
                    "losses": [{"kind": "kl", "temperature": 4.0}, {"kind": "embedding"}],
                }
            ],
        }
    ],
    "compute": {"device": "cpu", "precision": "fp32"},
    "quantize": [{"precision": "fp32"}, {"precision": "int8-dynamic"}],
    "measure": {"min_seconds": 0.1},
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    return folder / "run", edgedistill.run(write_recipe(RECIPE, folder), out=folder / "run")


def test_images_go_all_the_way(digits):
    run, results = digits
    assert results.teacher.test.value > 0.9
    assert results.rounds[0].test.value > 0.8
    assert results.candidate("small/onnx/fp32/onnxruntime").agreement_with_student == 1.0
    session = onnxruntime.InferenceSession(run / "models/small/onnx/model.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert given.shape == ["batch", 64]
    assert session.run(None, {given.name: np.zeros((3, 64), dtype=np.int64)})[0].shape == (3, 10)
    assert not (run / "models/small/tokenizer.json").exists()


@pytest.mark.slow
def test_a_round_starts_from_a_trained_network(digits, tmp_path):
    run, before = digits
    tree = copy.deepcopy(RECIPE)
    tree["rounds"][0]["student"] = {"init": "checkpoint", "model": str(run / "models" / "small")}
    tree["rounds"][0]["stages"][0] |= {"epochs": 1, "learning_rate": 1e-6}
    tree |= {"control": False, "quantize": [{"precision": "fp32"}]}
    found = edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run")
    assert abs(found.rounds[0].test.value - before.rounds[0].test.value) < 0.05


def test_the_splits_do_not_overlap_and_hold_every_digit(digits):
    _, results = digits
    assert results.data.examples == {"train": 539, "validation": 180, "test": 359}
    assert results.data.duplicate_counts["train/test"] == 0
    assert results.data.labels == 10


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"init": "static"}, "got 'static', but 'image-classification' has no tokenizer"),
        ({"losses": [{"kind": "masked_lm"}]}, "'masked_lm' needs tokens, and 'image-classification' has none"),
        ({"losses": [{"kind": "hidden_mse"}]}, "'hidden_mse' needs tokens"),
        ({"augment": {"typo": 0.1}}, "the task 'image-classification' has no free text to augment"),
        ({"heads": 4}, "teacher.scratch.heads: got 4, which does not apply to models for 'image-classification'"),
    ],
)
def test_what_only_text_has_is_refused(change, expected, tmp_path):
    tree = copy.deepcopy(RECIPE)
    if "init" in change:
        tree["rounds"][0]["student"] = change
    elif "heads" in change:
        tree["teacher"]["scratch"] |= change
    else:
        tree["rounds"][0]["stages"][0] |= change
    with pytest.raises(UserError) as caught:
        edgedistill.plan(write_recipe(tree, tmp_path))
    assert expected in str(caught.value)


def test_text_needs_its_sizes(recipe_tree, tmp_path):
    del recipe_tree["teacher"]["scratch"]["heads"]
    with pytest.raises(UserError, match=r"teacher.scratch.heads: is missing, expected a number"):
        edgedistill.plan(write_recipe(recipe_tree, tmp_path))


def test_without_the_library_the_sentence_has_the_install_line(monkeypatch, tmp_path):
    from importlib.metadata import PackageNotFoundError

    from edgedistill.data import packaged

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(packaged, "version", missing)
    with pytest.raises(UserError, match=r"comes with scikit-learn; install it with: pip install"):
        edgedistill.plan(write_recipe(RECIPE, tmp_path))


def test_a_lone_file_of_an_image_task_is_not_measured_yet(digits, tmp_path):
    run, _ = digits
    data = tmp_path / "data.jsonl"
    data.write_text('{"image": [1], "label": "1"}\n')
    with pytest.raises(UserError, match="a single model file for 'image-classification' cannot be measured yet"):
        edgedistill.measure(run / "models/small/onnx/model.onnx", data, MeasureOptions(task="image-classification"))


@pytest.mark.parametrize("image", [None, [], "pixels", [0.5]])
def test_rows_without_whole_numbers_are_named(image):
    assert "expected a list of whole numbers" in task.problem({"image": image}, {"image": "image"}, False)
    assert task.problem({"image": [1, 2]}, {"image": "image", "label": "label"}, True) is not None


def test_an_image_is_shown_as_characters():
    assert task.show({"image": [0, 16, 8, 0]}, {"image": "image"}) == " @|= "


def test_layers_and_width_are_as_asked():
    model = PixelsForImageClassification(
        PixelsConfig(pixels=4, hidden_size=8, num_hidden_layers=3, num_labels=2)
    ).eval()
    found = model(torch.tensor([[0, 1, 2, 3]]), output_hidden_states=True)
    assert [tuple(state.shape) for state in found.hidden_states] == [(1, 1, 8)] * 3
    assert found.logits.shape == (1, 2)
