from __future__ import annotations

import pytest
import torch

from edgedistill.errors import UserError
from edgedistill.models.loading import load_tokenizer


def test_scratch_has_the_asked_sizes_and_random_weights(build):
    made = build(init="scratch", layers=2, hidden_size=24, heads=3, intermediate_size=40)
    config = made.student.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 24, 3)
    assert config.intermediate_size == 40
    assert made.student.num_labels == 3


def test_scratch_refuses_heads_that_do_not_divide(build):
    with pytest.raises(UserError, match="student.heads: got 5, expected a divisor of hidden_size 24"):
        build(init="scratch", layers=1, hidden_size=24, heads=5)


def test_a_checkpoint_keeps_its_body_and_gets_a_head(build, teacher_folder):
    tokenizer = load_tokenizer(teacher_folder)
    made = build(init="checkpoint", model=str(teacher_folder), tokenizer=tokenizer, source=teacher_folder)
    own, theirs = made.student.bert.state_dict(), made.source.bert.state_dict()
    assert all(torch.equal(own[name], theirs[name]) for name in theirs)
    shallow = build(init="checkpoint", model=str(teacher_folder), layers=1, tokenizer=tokenizer, source=teacher_folder)
    assert shallow.student.config.num_hidden_layers == 1
    assert torch.equal(
        shallow.student.bert.encoder.layer[0].output.dense.weight,
        made.source.bert.encoder.layer[1].output.dense.weight,
    )


def test_a_checkpoint_with_another_vocabulary_is_refused(build, teacher_folder):
    tokenizer = load_tokenizer(teacher_folder)
    tokenizer.add_tokens(["brandnewtoken"])
    with pytest.raises(UserError, match=r"teacher 'teacher' and student '.*' have .* \('brandnewtoken' is \d+ in '"):
        build(init="checkpoint", model=str(teacher_folder), tokenizer=tokenizer, source=teacher_folder)
