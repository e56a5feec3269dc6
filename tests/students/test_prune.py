"""Pruning by measured importance: what goes, that it is all that goes, and how the pruned model behaves."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import stand_in, text_items
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.model_layout import LAYOUTS
from edgedistill.contracts.student import StudentRequest
from edgedistill.errors import UserError
from edgedistill.models.loading import load_model, parameter_count
from edgedistill.models.pruned_model import PrunedBertForSequenceClassification, as_stock
from edgedistill.students import prune
from edgedistill.students.prune import Importance, choose, cut, measure_importance
from edgedistill.training.training_data import TrainingData

COSTS = prune.unit_costs(hidden_size=32, head_size=8)
LENGTHS = (12, 12, 7, 3)
TASK = registry.task("text-classification")


def logits(model, inputs, **more):
    with torch.no_grad():
        return model(**inputs, **more).logits


def probe(seed: int = 1, labels: tuple[int, ...] = (0, 1, 2, 0)):
    ids = torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(seed)).tolist()
    given = [row[:length] for row, length in zip(ids, LENGTHS, strict=True)][: len(labels)]
    return TrainingData.plain([text_items(given, list(labels))], TASK).fetch(range(len(labels)))


def measured(model, batch) -> Importance:
    """The importance of a model's units on one batch."""

    def loss(model, batch):
        return TASK.model.loss(TASK.model.forward(model, batch.inputs), batch.columns, 0.0)

    return measure_importance(model, stand_in(probe=[batch], loss=loss), LAYOUTS["bert"])


@pytest.fixture
def source(build):
    """A BERT of 4 layers with 4 heads of 8 dimensions and 64 neurons each, and its parameters."""
    model = build(init="keep_layers", layers=4).source
    return model, parameter_count(model)


def test_nothing_has_to_go_and_the_answers_are_exactly_the_sources(build, source):
    made = build(init="prune", parameters=source[1])
    assert isinstance(made.student, PrunedBertForSequenceClassification)
    assert parameter_count(made.student) == source[1]
    assert torch.equal(logits(made.student, made.inputs), logits(made.source, made.inputs))


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_pruned_student_is_the_source_with_those_units_switched_off(source, attention):
    model = source[0]
    batch = probe()
    kept = choose(measured(model, batch).normalised(), COSTS, 20_000)
    assert len({len(neurons) for neurons in kept.neurons}) > 1  # layers differ, which is the point
    student = cut(model, kept).eval()
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for layer, heads, neurons in zip(silent.bert.encoder.layer, kept.heads, kept.neurons, strict=True):
            for head in set(range(4)) - set(heads):
                layer.attention.output.dense.weight[:, head * 8 : head * 8 + 8] = 0
            layer.output.dense.weight[:, sorted(set(range(64)) - set(neurons))] = 0
    inputs = batch.inputs
    for network in (student, silent):
        network.set_attn_implementation(attention)
    torch.testing.assert_close(logits(student, inputs), logits(silent, inputs), rtol=0, atol=1e-6)
    assert not torch.allclose(logits(student, inputs), logits(model, inputs), rtol=0, atol=1e-4)


@pytest.mark.parametrize("share", [0.95, 0.8, 0.6])
def test_the_count_is_within_the_target_and_within_one_unit_of_it(build, source, share):
    target = round(source[1] * share)
    count = parameter_count(build(init="prune", parameters=target).student)
    assert target - max(COSTS.values()) < count <= target


def test_a_head_and_a_neuron_that_do_nothing_go_first(build, source, tmp_path):
    model = source[0]
    with torch.no_grad():
        model.bert.encoder.layer[1].attention.output.dense.weight[:, 16:24] = 0
        model.bert.encoder.layer[2].output.dense.weight[:, 5] = 0
    model.save_pretrained(tmp_path / "useless")
    made = build(source=tmp_path / "useless", init="prune", parameters=source[1] - sum(COSTS.values()))
    assert made.student.config.heads_by_layer == [4, 3, 4, 4]
    assert made.student.config.neurons_by_layer == [64, 64, 63, 64]
    own, theirs = made.student.bert.encoder.layer, model.bert.encoder.layer
    others = [*range(16), *range(24, 32)]
    assert torch.equal(own[1].attention.self.query.weight, theirs[1].attention.self.query.weight[others])
    assert torch.equal(own[2].intermediate.dense.bias, theirs[2].intermediate.dense.bias[[*range(5), *range(6, 64)]])
    torch.testing.assert_close(logits(made.student, made.inputs), logits(made.source, made.inputs), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("part", "columns"), [("heads", slice(8, 16)), ("neurons", slice(7, 8))])
def test_importance_is_the_change_of_each_items_loss_as_a_unit_fades(source, part, columns):
    """Michel et al. 2019, eq. 2: the derivative by a mask on the unit, its absolute value averaged over items."""
    model = source[0].double()
    batch = probe()
    importance = measured(model, batch)
    layer = model.bert.encoder.layer[2]
    weight = (layer.attention.output if part == "heads" else layer.output).dense.weight
    original = weight.detach().clone()

    def losses(mask: float) -> torch.Tensor:
        with torch.no_grad():
            weight.copy_(original)
            weight[:, columns] *= mask
        found = logits(model, batch.inputs)
        return torch.nn.functional.cross_entropy(found, batch.targets["labels"], reduction="none")

    by_hand = ((losses(1 + 1e-4) - losses(1 - 1e-4)) / 2e-4).abs().mean()
    index = {"heads": 1, "neurons": 7}[part]
    assert getattr(importance, part)[2][index].item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_items_without_a_label_say_nothing(source):
    model = source[0]
    some = measured(model, probe(labels=(0, 1, 2, -100)))
    alone = measured(model, probe(labels=(0, 1, 2)))
    for mine, other in zip(some.heads + some.neurons, alone.heads + alone.neurons, strict=True):
        torch.testing.assert_close(mine, other)
    with pytest.raises(UserError, match="needs labelled training items"):
        measured(model, probe(labels=(-100,) * 4))


def test_each_layer_is_normalised_and_squares_are_ranked_by_what_they_save():
    heads = [torch.tensor([3.0, 4.0]), torch.tensor([30.0, 40.0])]
    importance = Importance(heads, [torch.zeros(8)] * 2).normalised()
    assert [scores.tolist() for scores in importance.heads] == [pytest.approx([0.6, 0.8])] * 2
    # A head that matters twice as much as a neuron, at eight times the price: 4/8 a parameter against 1/1.
    found = Importance([torch.tensor([2.0, 9.0])], [torch.tensor([1.0, *[9.0] * 9])])
    assert choose(found, {"heads": 8, "neurons": 1}, 1).heads == [[1]]
    assert choose(found, {"heads": 3, "neurons": 1}, 1).neurons == [list(range(1, 10))]  # 4/3 against 1/1
    assert choose(found, {"heads": 3, "neurons": 1}, 1).heads == [[0, 1]]


def test_every_layer_keeps_a_head_and_some_neurons_and_the_least_is_named(build, source):
    with pytest.raises(UserError) as caught:
        build(init="prune", parameters=2000)
    least = source[1] - 4 * (3 * COSTS["heads"] + 56 * COSTS["neurons"])
    assert str(caught.value) == (
        f"student.parameters: got 2000, expected at least {least}: the size with 1 head and 8 neurons in each layer"
    )
    smallest = build(init="prune", parameters=least).student
    assert (smallest.config.heads_by_layer, smallest.config.neurons_by_layer) == ([1] * 4, [8] * 4)
    assert parameter_count(smallest) == least


def test_a_target_above_the_source_is_refused(build, source):
    with pytest.raises(UserError, match=f"got {source[1] + 1}, expected at most the source's {source[1]}"):
        build(init="prune", parameters=source[1] + 1)


def test_only_bert_is_pruned(build):
    with pytest.raises(UserError, match=r"that are bert or edgedistill-pruned-bert, but 'from' is a 'roberta'"):
        build("roberta", init="prune", parameters=9000)


def test_it_is_saved_and_loaded_by_the_auto_class_and_shows_its_inside(build, source, tmp_path):
    made = build(init="prune", parameters=round(source[1] * 0.6))
    made.student.save_pretrained(tmp_path / "saved")
    assert (tmp_path / "saved" / "model.safetensors").is_file()
    again = load_model(AutoModelForSequenceClassification, tmp_path / "saved", None)
    assert torch.equal(logits(again, made.inputs), logits(made.student, made.inputs))
    again.set_attn_implementation("eager")
    with torch.no_grad():
        shown = again(**made.inputs, output_hidden_states=True, output_attentions=True)
    assert [attention.shape[1] for attention in shown.attentions] == made.student.config.heads_by_layer
    assert [state.shape for state in shown.hidden_states] == [(4, 12, 32)] * 5


def test_a_fresh_model_is_initialised_as_bert_is():
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    config = AutoConfig.for_model("edgedistill-pruned-bert", heads_by_layer=(1, 3), neurons_by_layer=(9, 64), **sizes)
    layer = AutoModelForSequenceClassification.from_config(config).bert.encoder.layer[0]
    assert layer.intermediate.dense.weight.std().item() == pytest.approx(0.02, rel=0.2)
    assert layer.attention.self.query.bias.abs().sum() == 0
    whole = AutoConfig.for_model("edgedistill-pruned-bert", **sizes)
    assert (whole.heads_by_layer, whole.neurons_by_layer) == ([4, 4], [64, 64])


def test_a_pruned_model_is_pruned_again_or_keeps_layers_but_has_no_other_width(build, source, tmp_path):
    once = build(init="prune", parameters=round(source[1] * 0.8)).student
    once.save_pretrained(tmp_path / "once")
    count = parameter_count(once)
    same = build(source=tmp_path / "once", init="prune", parameters=count)
    assert torch.equal(logits(same.student, same.inputs), logits(same.source, same.inputs))
    twice = build(source=tmp_path / "once", init="prune", parameters=count - 5000).student
    assert count - 5000 - COSTS["heads"] < parameter_count(twice) <= count - 5000
    fewer = build(source=tmp_path / "once", init="keep_layers", layers=(1, 3)).student
    assert fewer.config.heads_by_layer == [once.config.heads_by_layer[i] for i in (1, 3)]
    for spec in ({"init": "narrow", "parameters": 9000}, {"init": "scratch", "layers": 2, "hidden_size": 16}):
        with pytest.raises(UserError, match="a pruned model has layers of different sizes"):
            build(source=tmp_path / "once", **spec)


def test_the_plan_expects_the_target(source):
    spec = prune.PruneSpec(init="prune", parameters=9000)
    found = prune.planned(spec, source[0].config, AutoModelForSequenceClassification)
    assert found.at_most == 9000
    assert (found.config.num_hidden_layers, found.config.hidden_size) == (4, 32)
    assert prune.planned(spec, found.config, AutoModelForSequenceClassification).at_most == 9000
    with pytest.raises(
        UserError, match="init: prune supports bert and edgedistill-pruned-bert, but 'from' is a 'electra'"
    ):
        prune.planned(spec, AutoConfig.for_model("electra"), AutoModelForSequenceClassification)


def test_other_classifiers_than_of_sequences_are_refused(source, tmp_path):
    from transformers import AutoModelForTokenClassification

    source[0].save_pretrained(tmp_path / "source")
    spec = prune.PruneSpec(init="prune", parameters=9000)
    request = StudentRequest(spec, tmp_path / "source", AutoModelForTokenClassification, {}, None, [])
    with pytest.raises(UserError, match=r"prune supports sequence classifiers.*\(BertForTokenClassification\)"):
        prune.build(request)


def test_a_uniform_cut_is_published_as_a_plain_bert(source):
    model, heads = source[0], [list(range(4))] * 4
    cases = {
        "every layer alike": (heads, [list(range(16))] * 4),
        "another number of neurons": (heads, [list(range(16))] * 3 + [list(range(17))]),
        "a head less": ([[0, 1, 3]] * 4, [list(range(16))] * 4),
    }
    inputs = {"input_ids": torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(1))}
    for name, (kept_heads, kept_neurons) in cases.items():
        student = cut(model, prune.Kept(kept_heads, kept_neurons)).eval()
        stock = as_stock(student)
        assert stock.config.model_type == ("bert" if name == "every layer alike" else "edgedistill-pruned-bert"), name
        assert torch.equal(logits(stock, inputs), logits(student, inputs))
    stock = as_stock(cut(model, prune.Kept(*cases["every layer alike"])))
    assert type(stock).__name__ == "BertForSequenceClassification"
    assert stock.config.intermediate_size == 16
    assert not hasattr(stock.config, "heads_by_layer")
    assert as_stock(model) is model


def test_the_uniform_cut_that_the_readme_names(build):
    student = build(init="narrow", hidden_size=32, intermediate_size=16).student
    assert student.config.model_type == "bert"
    assert (student.config.num_attention_heads, student.config.intermediate_size) == (4, 16)
