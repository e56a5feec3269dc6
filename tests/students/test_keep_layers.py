from __future__ import annotations

import pytest
import torch

from edgedistill.contracts.model_layers import layer_list
from edgedistill.errors import UserError
from edgedistill.students._copy import evenly


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "mpnet", "electra"])
def test_all_layers_kept_is_the_source_itself(build, architecture):
    made = build(architecture, init="keep_layers", layers=4)
    torch.testing.assert_close(logits(made.student, made.inputs), logits(made.source, made.inputs))


def test_listed_layers_come_from_where_the_list_says(build):
    made = build(init="keep_layers", layers=(0, 3))
    assert made.student.config.num_hidden_layers == 2
    own, theirs = made.student.bert.encoder.layer, made.source.bert.encoder.layer
    for mine, other in ((0, 0), (1, 3)):
        assert torch.equal(own[mine].output.dense.weight, theirs[other].output.dense.weight)
    assert torch.equal(made.student.classifier.weight, made.source.classifier.weight)


@pytest.mark.parametrize(
    ("count", "layers", "kept"), [(3, 6, [1, 3, 5]), (2, 6, [2, 5]), (1, 6, [5]), (6, 6, [0, 1, 2, 3, 4, 5])]
)
def test_layers_are_kept_evenly_and_the_last_always(count, layers, kept):
    assert evenly(count, layers) == kept


def test_more_layers_than_there_are_is_refused(build):
    with pytest.raises(UserError, match="layers: got 5, expected at most the source's 4 layers"):
        build(init="keep_layers", layers=5)
    with pytest.raises(UserError, match=r"got \[0, 4\], expected layer numbers from 0 to 3"):
        build(init="keep_layers", layers=(0, 4))


def test_the_layers_of_a_model_are_found(build):
    assert layer_list(build(init="keep_layers", layers=1).source) == "bert.encoder.layer"
