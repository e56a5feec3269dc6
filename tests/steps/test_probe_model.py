"""What a student is tried with: its teachers' distributions, and their reading if its tokens are fewer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import stand_in
from largest_tensor import Largest
from tiny_decoders import config_of
from transformers import AutoModelForCausalLM

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, HiddenAndHead
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.steps import probe_model
from edgedistill.tasks._language_items import NONE, columns
from edgedistill.training.training_data import TrainingData

TASK = registry.task("text-generation")
VOCABULARY, WIDTH = 3000, 12
EVERY = registry.forms([])


def texts() -> Items:
    tokens = [np.random.default_rng(number).integers(3, VOCABULARY, 9).tolist() for number in range(3)]
    content = {"input_ids": tokens, "attention_mask": [[1] * 9] * 3, "next_bytes": tokens}
    content["next_token"] = [[*own[1:], NONE] for own in tokens]
    return Items.of(columns(0), content, range(3), "input_ids")


def decoder(seed: int = 0, **more):
    torch.manual_seed(seed)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 16, "initializer_range": 0.2}
    return AutoModelForCausalLM.from_config(config_of("llama", **sizes | more)).eval()


def test_a_teacher_says_its_states_where_the_losses_take_them():
    batch = TrainingData.plain([texts()], TASK).fetch(range(3))
    teachers = [decoder(0), decoder(1)]
    with Largest() as largest:
        states = probe_model._said(teachers[:1], TASK, batch, EVERY)
    assert isinstance(states, HiddenAndHead)
    assert largest.numbers <= WIDTH * VOCABULARY < 3 * 8 * VOCABULARY
    dense = probe_model._said(teachers[:1], TASK, batch, registry.loss("kl").forms - {"hidden"})
    assert isinstance(dense, Dense)
    torch.testing.assert_close(states.dense().logits_RC, dense.logits_RC)
    own = [probe_model._said([teacher], TASK, batch, EVERY).dense().logits_RC for teacher in teachers]
    mean = probe_model._said(teachers, TASK, batch, EVERY)
    torch.testing.assert_close(mean.dense().logits_RC, (own[0] + own[1]) / 2)


@pytest.mark.parametrize(("keys", "read"), [(("a", "a"), []), (("a", "b"), ["the teacher big"])])
def test_teachers_with_other_tokens_are_tried_for_projection(monkeypatch, keys, read):
    found = []
    monkeypatch.setattr(probe_model.probing, "check_reading", lambda subject, task, items: found.append(subject.name))
    monkeypatch.setattr(probe_model, "probe_items", lambda data, task: texts())
    monkeypatch.setattr(probe_model, "DataInputs", lambda base: base)
    monkeypatch.setattr(probe_model, "PreparedData", stand_in(of=lambda inputs: inputs))
    data = {name: stand_in(key=key) for name, key in zip(("big", "r1"), keys, strict=True)}
    settings = stand_in(models=(stand_in(id="big"), stand_in(id="r1")))
    probe_model._check_projected({"big": decoder()}, settings, stand_in(data=data), TASK)
    assert found == read


def test_a_scaled_head_is_refused_by_the_trial_of_its_model():
    scaled = decoder()
    scaled.lm_head.register_forward_hook(lambda module, inputs, output: 2 * output)
    subject = probe_model.Subject(scaled, "the teacher", "expected another model for the teacher")
    with pytest.raises(UserError, match="not those of its output layer .*; expected another model for the teacher"):
        probe_model.probing.check_head(subject, TASK, texts())
