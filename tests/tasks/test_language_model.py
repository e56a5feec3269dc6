"""The torch half of language models: packed as unpacked, hidden states with the head as logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_decoders import FAMILIES, VOCABULARY, config_of, windowed
from transformers import AutoModelForCausalLM

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.signals.inference import predict, to_tensors
from edgedistill.tasks import _language_model as model_half
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS, columns
from edgedistill.tasks._language_packing import first_fit, packed

LENGTHS = [30, 3, 5, 7, 9, 1, 2, 12, 11, 4]
TASK = registry.task("text-generation")


def items_of(lengths, seed=0):
    generator = np.random.default_rng(seed)
    tokens = [generator.integers(3, VOCABULARY, n).tolist() for n in lengths]
    following = [[*own[1:], 3 if number % 2 else NONE] for number, own in enumerate(tokens)]
    content = {
        TOKENS: tokens,
        MASK: [[1] * n for n in lengths],
        NEXT: following,
        BYTES: [[2] * n for n in lengths],
    }
    return Items.of(columns(0), content, range(len(lengths)), TOKENS)


def batch_of(items):
    return to_tensors(items.batch(np.arange(len(items))))


def tiny_of(family):
    """Weights so large that attention to another text would show."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config_of(family, initializer_range=0.2)).eval()


def str_of(config):
    return config.model_type


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_packed_texts_read_as_each_alone(family):
    model, batch = tiny_of(family), batch_of(items_of(LENGTHS))
    rows = packed(batch[TOKENS], batch[MASK])
    assert rows is not None
    assert len(rows.tokens) == 3
    together = model_half.forward_packed(model, batch)["logits"]
    plain = model_half.forward(model, batch)["logits"]
    across = rows.unpacked(model(input_ids=rows.tokens).logits)
    scale = plain.abs().max()
    for number, length in enumerate(LENGTHS):
        alone = model(input_ids=batch[TOKENS][number : number + 1, :length]).logits[0]
        assert (together[number, :length] - alone).abs().max() < 1e-5 * scale
        assert (plain[number, :length] - alone).abs().max() < 1e-5 * scale
    real = batch[MASK].bool()
    assert (across - together)[real].abs().max() > 1e-3 * scale  # else nothing here could show


@torch.no_grad()
def test_padding_on_the_left_comes_with_positions():
    model, batch = tiny_of("gpt2"), batch_of(items_of([9, 4]))
    left = {name: batch[name].clone() for name in (TOKENS, MASK)}
    for name in left:
        left[name][1] = torch.roll(left[name][1], 5)
    left["position_ids"] = (left[MASK].cumsum(1) - 1).clamp(min=0)
    found = model_half.forward(model, left)["logits"][1, 5:]
    assert torch.allclose(found, model_half.forward(model, batch)["logits"][1, :4], atol=1e-5)


def test_few_rows_hold_all_items_each_whole():
    rows = first_fit(LENGTHS, 30)
    assert sorted(item for row in rows for item in row) == list(range(len(LENGTHS)))
    assert all(sum(LENGTHS[item] for item in row) <= 30 for row in rows)
    batch = batch_of(items_of([9, 9, 9]))
    assert packed(batch[TOKENS], batch[MASK]) is None


@pytest.mark.parametrize("states", [model_half.states, model_half.states_packed])
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_states_with_the_head_are_the_logits(family, states):
    model, batch = tiny_of(family), batch_of(items_of(LENGTHS))
    logits = model_half.head(model).on(states(model, batch)).dense().logits_RC
    wanted = model_half.logits(model_half.forward(model, batch), batch)
    assert logits.shape == wanted.shape
    assert torch.allclose(logits, wanted, atol=1e-5 * float(wanted.abs().max()))


@torch.no_grad()
def test_the_cap_of_logits_belongs_to_the_head():
    model, batch = tiny_of("gemma2"), batch_of(items_of(LENGTHS))
    model.config.final_logit_softcapping = 0.5
    wanted = model_half.logits(model_half.forward(model, batch), batch)
    head, states = model_half.head(model), model_half.states(model, batch)
    assert head.cap == 0.5
    assert (states @ head.weight_VH.T).abs().max() > 1 > 0.5 >= wanted.abs().max()
    assert torch.allclose(head.on(states).dense().logits_RC, wanted, atol=1e-6)
    found, answers = model_half.ask(model, batch), model_half.answers(model_half.forward(model, batch), batch)
    assert torch.allclose(found["log_p"], answers["log_p"], atol=1e-6)
    model.config.final_logit_softcapping = None
    assert model_half.head(model).cap is None


def test_a_model_without_an_output_layer_is_refused():
    with pytest.raises(UserError, match="the 'llama' model has no output layer over its vocabulary"):
        model_half.head(tiny_of("llama").base_model)


@pytest.mark.parametrize("config", [*(config_of(family) for family in FAMILIES), *windowed()], ids=str_of)
@torch.no_grad()
def test_under_a_custom_mask_texts_and_branches_read_as_each_alone(config):
    """Layers with a window, too, are shorter-sighted than the text."""
    torch.manual_seed(0)
    config.initializer_range = 0.2
    model = AutoModelForCausalLM.from_config(config).eval()
    tokens = torch.randint(3, VOCABULARY, (2, 20))
    other, after = torch.tensor([[7], [9]]), 11
    positions = torch.cat([torch.arange(20), torch.tensor([after + 1])]).expand(2, -1)
    seen = torch.ones(21, 21, dtype=torch.bool).tril()
    seen[20, after + 1 : 20] = False
    found = model_half.read(model, torch.cat([tokens, other], 1), positions, seen.expand(2, -1, -1))
    text = model.base_model(input_ids=tokens).last_hidden_state
    branch = model.base_model(input_ids=torch.cat([tokens[:, : after + 1], other], 1)).last_hidden_state[:, -1:]
    wanted = torch.cat([text, branch], 1)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_answers_in_parts_are_those_of_all_logits(family, monkeypatch):
    monkeypatch.setattr(model_half, "_ROWS", 7)
    model, items = tiny_of(family), items_of(LENGTHS)
    with torch.no_grad():
        batch = batch_of(items)
        wanted = model_half.answers(model_half.forward(model, batch), batch)
    found = predict(model, TASK, items)
    right = TASK.data.references(items)
    assert found.item.tolist() == right.item.tolist()
    assert np.allclose(found.values["log_p"], wanted["log_p"].numpy(), atol=1e-5)
    assert (found.values["ids"] == wanted["ids"].numpy()).mean() > 0.99
    loss = model_half.loss(model_half.forward(model, batch), batch, 0.0)
    assert np.allclose(found.values["log_p"], -loss.detach().numpy(), atol=1e-5)


def test_no_answer_is_as_large_as_the_vocabulary():
    answers = predict(tiny_of("llama"), TASK, items_of([5, 6]))
    assert {name: array.shape[1:] for name, array in answers.values.items()} == {
        "log_p": (),
        "ids": (16,),
        "log_ps": (16,),
    }


def test_an_item_without_a_decision_has_no_answers():
    items = items_of([1])
    assert len(TASK.data.references(items)) == 0
    assert len(predict(tiny_of("llama"), TASK, items)) == 0


def test_an_encoder_decoder_is_refused():
    assert (
        model_half.unsuitable({"is_encoder_decoder": True})
        == "an encoder-decoder architecture, expected a decoder only"
    )
    assert model_half.unsuitable({}) is None
