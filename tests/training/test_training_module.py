"""What a trainee shows its losses: live teachers, masked views, weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import text_items
from largest_tensor import Largest
from tiny_decoders import VOCABULARY, config_of
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.batch import Batch
from edgedistill.contracts.distribution import Dense, HiddenAndHead
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Head
from edgedistill.errors import UserError
from edgedistill.losses import _tiled
from edgedistill.tasks._language_items import NONE, columns
from edgedistill.training import decisions
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import (
    ForwardPass,
    LiveTeacher,
    Masking,
    TrainingModule,
    captured_relations,
    dropout_at,
    eager_attention,
)

TASK = registry.task("text-classification")
MASKING = Masking(mask_token=4, vocabulary=20, special_tokens=(2, 3))
BATCH = TrainingData.plain([text_items([[2, 7, 8, 9, 3], [2, 6, 3]], [0, 1])], TASK).fetch([0, 1])
INPUTS = BATCH.inputs


def bert(layers: int = 2, heads: int = 2, width: int = 16) -> BertForSequenceClassification:
    torch.manual_seed(layers)
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=20, max_position_embeddings=8, **sizes)).eval()


class Catch(torch.nn.Module):
    """A loss that keeps what it was shown."""

    def forward(self, inputs):
        self.seen = inputs
        return torch.zeros((), requires_grad=True)


def shown(needs: set[str], batch=BATCH, teacher=None, student=None):
    catch = Catch()
    student = student or bert()
    module = TrainingModule(student, TASK, [catch], frozenset(needs), teacher, MASKING)
    with eager_attention(student):
        module(batch)
    return catch.seen


def test_only_what_is_needed_is_computed():
    seen = shown({"labels"})
    assert len(seen.student_hidden) == len(seen.student_attention) == len(seen.student_relations) == 0
    seen = shown({"hidden", "attention", "relations"})
    assert [len(views) for views in (seen.student_hidden, seen.student_attention, seen.student_relations)] == [3, 2, 2]
    assert [part.shape for part in seen.student_relations[0]] == [(2, 5, 16)] * 3


def test_relations_are_the_projections_of_each_layer_in_order():
    model = bert()
    with torch.no_grad(), captured_relations(model) as found:
        hidden = model(**INPUTS, output_hidden_states=True)
    attention = model.bert.encoder.layer[1].attention.self
    for part, projection in zip(found[1], (attention.query, attention.key, attention.value), strict=True):
        torch.testing.assert_close(part, projection(hidden.hidden_states[1]))


def test_a_live_teacher_is_asked_without_a_gradient_and_never_saved():
    teacher = LiveTeacher(bert(3, 4, 32), TASK, frozenset({"attention", "hidden", "relations"}))
    seen = shown({"attention", "hidden", "relations", "embedding"}, teacher=teacher)
    assert len(seen.teacher_attention) == 3
    assert sorted(seen.teacher_hidden) == [0, 1, 2, 3]
    assert not seen.teacher_relations[2][0].requires_grad
    last, mask = seen.teacher_hidden[3], BATCH.mask_BT.unsqueeze(-1)
    torch.testing.assert_close(seen.teacher_embedding_BE, (last * mask).sum(1) / mask.sum(1))
    module = TrainingModule(bert(), TASK, [], teacher=teacher)
    assert all(name.startswith("student.") for name in module.state_dict())
    assert all(not parameter.requires_grad for parameter in teacher.model.parameters())


def test_a_masked_view_hides_tokens_but_never_special_ones():
    torch.manual_seed(0)
    view = shown({"masked"}).mask_some(0.99)
    chosen = view.targets_BT >= 0
    special = torch.isin(INPUTS["input_ids"], torch.tensor([2, 3])) | (BATCH.mask_BT == 0)
    assert not (chosen & special).any()
    assert torch.equal(view.targets_BT[chosen], INPUTS["input_ids"][chosen])
    assert view.hidden_BTH.shape == (2, 5, 16)
    assert view.embeddings_VE.shape == (20, 16)


def test_weights_and_trust_reach_the_losses_and_trust_applies_to_the_teacher_only():
    batch = replace(BATCH, weight_R=torch.tensor([2.0, 0.5]), trust_R=torch.tensor([1.0, 0.0]))
    seen = shown({"labels"}, batch)
    assert seen.weights_R.tolist() == [2.0, 0.5]
    assert seen.teacher_weights().tolist() == [2.0, 0.0]
    assert shown({"labels"}).teacher_weights() is None


def test_the_losses_of_the_task_are_those_of_its_decisions():
    model = bert()
    seen = shown({"labels"}, student=model)
    expected = torch.nn.functional.cross_entropy(model(**INPUTS).logits, BATCH.targets["labels"], reduction="none")
    torch.testing.assert_close(seen.own_losses(0.0), expected)
    assert seen.own_losses(0.5).tolist() != expected.tolist()


def test_attention_goes_back_to_the_usual_way():
    model = bert()
    usual = model.config._attn_implementation
    with eager_attention(model):
        assert model.config._attn_implementation == "eager"
    assert model.config._attn_implementation == usual


def test_an_unknown_architecture_is_named():
    model = bert()
    model.config.model_type = "made_up"
    with pytest.raises(UserError, match="minilm_relations does not support the 'made_up' architecture"):
        shown({"relations"}, student=model)


def test_dropout_is_what_the_stage_says_and_only_while_it_trains():
    model = bert().train()

    def varies() -> bool:
        return not torch.equal(model(**INPUTS).logits, model(**INPUTS).logits)

    assert varies()
    with dropout_at(model, 0.0):
        assert not varies()
    with dropout_at(model, None):
        assert varies()
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.1}


def states(model, batch):
    return model.bert(batch["input_ids"], batch["attention_mask"]).pooler_output


def head(model):
    return Head(model.classifier.weight, model.classifier.bias)


STATES = replace(TASK, model=replace(TASK.model, states=states, head=head, right=lambda batch: batch["labels"]))
"""The same task, said by its last states."""


def test_a_task_that_gives_states_learns_the_same_from_them():
    batch = replace(BATCH, teacher=Dense(torch.tensor([[1.0, 2.0], [-1.0, 3.0]])), weight_R=torch.tensor([1.0, 0.5]))
    terms = [
        registry.loss(kind).build(registry.loss(kind).spec(kind=kind), None, None) for kind in ("kl", "hard_label")
    ]
    found = []
    for task, form in ((TASK, Dense), (STATES, HiddenAndHead)):
        model = bert()
        module = TrainingModule(model, task, terms, frozenset({"logits", "labels"}))
        assert isinstance(module._inputs(batch).student, form)
        losses = module(batch)
        losses.sum().backward()
        found.append((losses.detach(), {name: value.grad for name, value in model.named_parameters()}))
    (expected, gradients), (losses, own) = found
    assert torch.allclose(losses, expected, atol=1e-6)
    assert all(torch.allclose(own[name], value, atol=1e-6) for name, value in gradients.items() if value is not None)


def test_a_loss_may_ask_for_the_objective_of_each_decision():
    found = []
    for task in (TASK, STATES):
        catch = Catch()
        TrainingModule(bert(), task, [catch], frozenset({"labels"}))(BATCH)
        found.append(catch.seen.own_losses(0.2))
    assert found[0].shape == (2,)
    assert torch.allclose(found[0], found[1], atol=1e-6)


LANGUAGE = registry.task("text-generation")
LOOKED_INTO = frozenset({"hidden", "embedding", "attention"})


def texts(vocabulary: int = VOCABULARY, asked: bool = True) -> Batch:
    """Short ones, which would be packed; nothing is asked about them unless `asked`."""
    tokens = [np.random.default_rng(length).integers(3, vocabulary, length).tolist() for length in (9, 3, 4, 2)]
    content = {"input_ids": tokens, "attention_mask": [[1] * len(own) for own in tokens], "next_bytes": tokens}
    content["next_token"] = [[*own[1:], NONE] if asked else [NONE] * len(own) for own in tokens]
    items = Items.of(columns(0), content, range(4), "input_ids")
    return TrainingData.plain([items], LANGUAGE).fetch(range(4))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3_text"])
@torch.no_grad()
def test_a_pass_that_is_looked_into_is_that_of_the_whole_model(family):
    """Though only its body runs: every layer, each text in a row of its own, and the same distributions."""
    model, batch = decoder(family), texts()
    model.set_attn_implementation("eager")
    seen = ForwardPass(model, LANGUAGE, LOOKED_INTO)(batch)
    whole = model(input_ids=batch.inputs["input_ids"], output_hidden_states=True, output_attentions=True)
    for found, expected in ((seen.hidden, whole.hidden_states), (seen.attention, whole.attentions)):
        assert len(found) == len(expected)
        assert all(torch.equal(*pair) for pair in zip(found, expected, strict=True))
    said = ForwardPass(model, LANGUAGE, frozenset({"logits"}))(batch)
    for own in (seen, said):
        logits = own.states.dense().logits_RC
        assert torch.allclose(logits, LANGUAGE.model.logits({"logits": whole.logits}, batch.columns), atol=1e-5)


@pytest.mark.parametrize("need", sorted(LOOKED_INTO))
def test_a_loss_on_what_passes_through_leaves_those_over_the_vocabulary_tiled(need, monkeypatch):
    vocabulary = 3000
    monkeypatch.setitem(_tiled._SIZES, "cpu", _tiled.Sizes(4, 0, 4 * vocabulary))
    monkeypatch.setattr(decisions, "_TILE", 4 * vocabulary)
    model = decoder("llama", vocab_size=vocabulary, hidden_size=12)
    batch = texts(vocabulary)
    states = LANGUAGE.model.head(model).on(torch.randn(len(batch.item_R), 12))
    batch = replace(batch, teacher=replace(states, weight_CH=torch.randn(vocabulary, 12)))
    terms = [
        registry.loss(kind).build(registry.loss(kind).spec(kind=kind), None, None) for kind in ("kl", "hard_label")
    ]
    module = TrainingModule(model, LANGUAGE, [*terms, OwnLosses()], frozenset({"logits", "labels", need}))
    with eager_attention(model), Largest() as largest:
        losses = module(batch)
        losses.sum().backward()
    assert len(batch.item_R) == 14
    assert largest.numbers <= 12 * vocabulary  # the head; all decisions would be more
    assert losses[1].item() == pytest.approx(losses[2].item(), rel=1e-5)


def test_a_student_with_a_cap_learns_through_it():
    """As the plain losses of its own logits do, of which the cap changes most."""
    batch, own = texts(), LANGUAGE.model
    student, teacher = (decoder("gemma2", final_logit_softcapping=cap) for cap in (0.5, 1.0))
    with torch.no_grad():
        batch = replace(batch, teacher=own.head(teacher).on(own.states(teacher, batch.columns)))
        wanted = own.logits(own.forward(teacher, batch.inputs), batch.columns)
    kinds = {"kl": {"temperature": 1.0}, "hard_label": {}}
    terms = [
        registry.loss(kind).build(registry.loss(kind).spec(kind=kind, **more), None, None)
        for kind, more in kinds.items()
    ]
    losses = TrainingModule(student, LANGUAGE, terms, frozenset({"logits", "labels"}))(batch)
    logits = own.logits(own.forward(student, batch.inputs), batch.columns)
    functional = torch.nn.functional
    kl = functional.kl_div(logits.log_softmax(-1), wanted.log_softmax(-1), log_target=True, reduction="batchmean")
    plain = torch.stack([kl, functional.cross_entropy(logits, own.right(batch.columns))])
    assert torch.allclose(losses, plain, atol=1e-6)
    pairs = zip(
        *(torch.autograd.grad(given.sum(), list(student.parameters())) for given in (losses, plain)), strict=True
    )
    assert all((found - expected).abs().max() <= 1e-4 * expected.abs().max() for found, expected in pairs)


def test_a_batch_in_which_nothing_is_asked_is_no_loss():
    batch = texts(asked=False)
    model = decoder("llama")
    batch = replace(batch, teacher=LANGUAGE.model.head(model).on(torch.empty(0, 48)))
    terms = [
        registry.loss(kind).build(registry.loss(kind).spec(kind=kind), None, None)
        for kind in ("kl", "hard_label", "mse_logits", "dist")
    ]
    for needs in ({"logits", "labels"}, {"logits", "labels", "hidden"}):
        losses = TrainingModule(model, LANGUAGE, terms, frozenset(needs))(batch)
        losses.sum().backward()
        assert losses.tolist() == [0, 0, 0, 0]


class OwnLosses(torch.nn.Module):
    """A loss on the task's losses of each decision."""

    def forward(self, inputs):
        return inputs.own_losses(0.0).mean()


def decoder(family: str, **more):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config_of(family, initializer_range=0.2, **more)).eval()
