"""How a student's initialisation looks at its source: through its layers alone, and at its losses tile by tile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import change_plugin, stand_in, text_items
from largest_tensor import Largest
from tiny_decoders import config_of
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.students._depth import block_influence, loss_without
from edgedistill.tasks._language_items import NONE, columns
from edgedistill.training import decisions
from edgedistill.training.round_models import untrained_student

TASK = registry.task("text-generation")
VOCABULARY, WIDTH = 3000, 12


def texts() -> Items:
    """8 texts of 9 tokens, each with 8 decisions."""
    tokens = [np.random.default_rng(number).integers(3, VOCABULARY, 9).tolist() for number in range(8)]
    content = {"input_ids": tokens, "attention_mask": [[1] * 9] * 8, "next_bytes": tokens}
    content["next_token"] = [[*own[1:], NONE] for own in tokens]
    return Items.of(columns(0), content, range(8), "input_ids")


def prepared(items: Items):
    """Training data, as much as a student is initialised from."""
    return stand_in(items=lambda split: items, load_tokenizer=lambda: None, labels=[], facts=stand_in(kept_tokens=None))


@pytest.fixture(scope="module")
def source():
    torch.manual_seed(0)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 16}
    return AutoModelForCausalLM.from_config(config_of("llama", initializer_range=0.2, **sizes)).eval()


def asked(monkeypatch, task, items, init: str = "keep_layers"):
    """The request that a student's initialisation is given."""
    given = []

    def build(request):
        given.append(request)
        return torch.nn.Linear(1, 1)

    change_plugin(monkeypatch, "students", init, build=build)
    monkeypatch.setattr("edgedistill.training.round_models.know_padding", lambda model, tokenizer: model)
    untrained_student(stand_in(init=init), task, None, prepared(items), 0, probe_items=8)
    (request,) = given
    return request


def test_importance_is_measured_without_logits(monkeypatch, source):
    request = asked(monkeypatch, TASK, texts())
    with Largest() as largest:
        found = block_influence(source, request)
    assert largest.numbers <= WIDTH * VOCABULARY  # the table; the logits of all 72 tokens would be more
    assert found == block_influence(source, replace(request, read=None))  # which calls the whole model


def test_layers_are_chosen_by_losses_of_which_no_more_than_a_tile_exists(monkeypatch, source):
    monkeypatch.setattr(decisions, "_TILE", 10 * VOCABULARY)
    request = asked(monkeypatch, TASK, texts())
    with Largest() as largest:
        found = loss_without(source, request)
    assert largest.numbers <= WIDTH * VOCABULARY
    own = TASK.model

    def whole(model, batch):
        return own.loss(own.forward(model, batch.inputs), batch.columns, 0.0)

    assert found == pytest.approx(loss_without(source, replace(request, loss=whole)), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropies_in_tiles_have_the_gradient_of_all_at_once(monkeypatch, source, smoothing):
    monkeypatch.setattr(decisions, "_TILE", 10 * VOCABULARY)
    hidden = torch.randn(64, WIDTH).requires_grad_()
    said, right = TASK.model.head(source).on(hidden), torch.randint(VOCABULARY, (64,))
    weights = torch.rand(64)
    with Largest() as largest:
        tiled = decisions.cross_entropies(said, right, smoothing)
        found = torch.autograd.grad((tiled * weights).sum(), [hidden, said.weight_CH])
    assert largest.numbers <= WIDTH * VOCABULARY
    once = torch.nn.functional.cross_entropy(said.dense().logits_RC, right, label_smoothing=smoothing, reduction="none")
    torch.testing.assert_close(tiled, once)
    wanted = torch.autograd.grad((once * weights).sum(), [hidden, said.weight_CH])
    assert all(torch.allclose(*pair, atol=1e-5) for pair in zip(found, wanted, strict=True))


def test_no_tile_is_kept_for_the_gradient(monkeypatch, source):
    monkeypatch.setattr(decisions, "_TILE", 10 * VOCABULARY)
    said = TASK.model.head(source).on(torch.randn(64, WIDTH).requires_grad_())
    kept = []

    def keep(tensor):
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        decisions.cross_entropies(said, torch.zeros(64, dtype=torch.long), 0.0)
    assert not [shape for shape in kept if shape[-1:] == (VOCABULARY,)]


def test_no_decision_has_no_loss(source):
    said = TASK.model.head(source).on(torch.empty(0, WIDTH))
    assert decisions.cross_entropies(said, torch.empty(0, dtype=torch.long), 0.0).shape == (0,)


def test_a_classifier_is_run_as_its_task_does(monkeypatch):
    task = registry.task("text-classification")
    request = asked(monkeypatch, task, text_items([[5, 6, 7], [8, 9]], [0, 1]))
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=20, **sizes)).eval()
    (batch,) = request.probe
    wanted = torch.nn.functional.cross_entropy(model(**batch.inputs).logits, batch.targets["labels"], reduction="none")
    assert torch.equal(request.loss(model, batch), wanted)
    assert len(block_influence(model, request)) == 2
