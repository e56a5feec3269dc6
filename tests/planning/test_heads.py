from __future__ import annotations

import json
import shutil

import pytest
from helpers import LABELS, tiny_recipe
from transformers import AutoConfig

from edgedistill.errors import UserError
from edgedistill.planning import fingerprints
from edgedistill.planning.fingerprints import _refuse_other_heads
from edgedistill.recipe import reading
from edgedistill.tasks._classification import configuration


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"problem_type": "multi_label_classification"}, r"problem_type 'multi_label_classification' in its config"),
        ({"problem_type": "regression", "id2label": {"0": "LABEL_0"}}, "problem_type 'regression'"),
        ({"id2label": {"0": "LABEL_0"}}, "one output"),
        ({"num_labels": 1}, "one output"),
    ],
)
def test_a_head_of_another_kind_is_refused(config, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        _refuse_other_heads("text-classification", config, "teacher.model: 'm'")
    assert "add teacher.fine_tune" in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [{}, {"problem_type": None, "id2label": {"0": "a", "1": "b"}}, {"problem_type": "single_label_classification"}],
)
def test_a_head_that_chooses_one_label_passes(config):
    _refuse_other_heads("text-classification", config, "m")


def test_a_multi_label_teacher_is_refused_as_it_is_and_planned_with_fine_tuning(teacher_folder, tmp_path, data_folder):
    shutil.copytree(teacher_folder, tmp_path / "several")
    file = tmp_path / "several" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"problem_type": "multi_label_classification"}))
    tree = tiny_recipe(data_folder)
    tree["teacher"] = {"model": str(tmp_path / "several")}
    with pytest.raises(UserError, match=r"^teacher.model: .* has a different type of head"):
        fingerprints.look_up(reading.validate(tree, "here"))
    tree["teacher"]["fine_tune"] = {"epochs": 1}
    fingerprints.look_up(reading.validate(tree, "here"))


def test_what_is_published_says_what_it_computes(finished_run):
    assert configuration(LABELS)["problem_type"] == "single_label_classification"
    for name in ("teacher", "r1", "r2"):
        config = AutoConfig.from_pretrained(finished_run.folder / "models" / name)
        assert config.problem_type == "single_label_classification"
