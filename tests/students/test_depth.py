"""Which layers a shallower student keeps."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tiny_decoders import FAMILIES, batch_of, logits, next_token_loss, request, saved, student, texts, tiny

from edgedistill.contracts.model_layers import layer_list
from edgedistill.errors import UserError
from edgedistill.students._depth import block_influence, chosen_layers, loss_without
from edgedistill.students._probe import first_tokens


def useless(family: str, *layers: int):
    """A decoder in which these layers add next to nothing to what they are given."""
    model = tiny(family)
    with torch.no_grad():
        for layer in layers:
            for name, weight in model.get_submodule(f"{layer_list(model)}.{layer}").named_parameters():
                if "post_" in name:  # Gemma's norms behind attention and feed-forward
                    weight.fill_(-1 if family.startswith("gemma") else 1)
                elif name.startswith(("self_attn.o_proj", "mlp.down_proj", "attn.c_proj", "mlp.c_proj")):
                    weight.mul_(1e-4)
    return model


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_layers_that_do_nothing_go_first_and_nobody_misses_them(family, tmp_path):
    model = useless(family, 1, 3)
    made = student(saved(model, tmp_path / "source"), init="keep_layers", layers=2, choose="block_influence")
    names = [name for name, _ in made.named_parameters() if name.startswith(f"{layer_list(made)}.1.")]
    assert names
    for name in names:
        assert torch.equal(made.get_parameter(name), model.get_parameter(name.replace(".1.", ".2.", 1)))
    if "layer_types" in FAMILIES[family]:
        assert made.config.layer_types == [model.config.layer_types[i] for i in (0, 2)]
    torch.testing.assert_close(logits(made), logits(model), rtol=1e-2, atol=1e-2)


def test_block_influence_is_one_minus_the_mean_cosine_of_what_goes_in_and_comes_out(tmp_path):
    model = tiny("smollm")
    batch = batch_of(texts())
    with torch.no_grad():
        states = model(**batch.inputs, output_hidden_states=True).hidden_states
    real = batch.mask_BT.bool()
    # The last hidden state that transformers shows has gone through the final norm; the others are the layers'.
    by_hand = [1 - torch.cosine_similarity(a[real], b[real], dim=-1).mean().item() for a, b in pairwise(states[:-1])]
    asked = request(saved(model, tmp_path / "source"), init="keep_layers", layers=2)
    assert block_influence(model, asked)[:3] == pytest.approx(by_hand, abs=1e-5)


def test_the_loss_without_a_layer_is_that_of_the_model_that_lacks_it(tmp_path):
    folder = saved(model := tiny("qwen3"), tmp_path / "source")
    batch = batch_of(texts())
    before = logits(model)
    found = loss_without(model, request(folder, init="keep_layers", layers=2))
    assert torch.equal(logits(model), before)  # nothing stays behind
    for gone in range(4):
        lacking = student(folder, init="keep_layers", layers=tuple(layer for layer in range(4) if layer != gone))
        with torch.no_grad():
            expected = next_token_loss(lacking, batch)[batch.known_R].mean().item()
        assert found[gone] == pytest.approx(expected, rel=1e-5)
    made = student(folder, init="keep_layers", layers=2, choose="loss")
    most = tuple(sorted(sorted(range(4), key=lambda layer: found[layer])[2:]))
    listed = student(folder, init="keep_layers", layers=most)
    assert torch.equal(logits(made), logits(listed))


def test_they_are_kept_in_their_order_and_the_earlier_of_two_alike(tmp_path, monkeypatch):
    model = tiny("smollm")
    asked = request(saved(model, tmp_path / "source"), init="keep_layers", layers=2)
    monkeypatch.setattr("edgedistill.students._depth.block_influence", lambda *given: [0.1, 0.5, 0.5, 0.9])
    assert chosen_layers(model, asked, 2, "block_influence") == [1, 3]
    assert chosen_layers(model, asked, 3, "block_influence") == [1, 2, 3]
    assert chosen_layers(model, asked, 2, "evenly") == [1, 3]
    assert chosen_layers(model, asked, 4, "loss") == [0, 1, 2, 3]
    with pytest.raises(UserError, match="layers: got 5, expected at most the source's 4 layers"):
        chosen_layers(model, asked, 5, "block_influence")


@pytest.mark.parametrize("architecture", ["bert", "distilbert"])
def test_encoders_can_be_measured_too(build, make_source, architecture):
    from transformers import AutoModelForSequenceClassification

    from edgedistill.models.loading import load_model

    choose = "block_influence"
    folder = make_source(architecture)
    model = load_model(AutoModelForSequenceClassification, folder, None)
    quiet = (0, 2)
    with torch.no_grad():
        for layer in quiet:
            for name, weight in model.get_submodule(f"{layer_list(model)}.{layer}").named_parameters():
                if name.startswith(("attention.output.dense", "output.dense", "attention.out_lin", "ffn.lin2")):
                    weight.mul_(1e-4)
    model.save_pretrained(folder)
    made = build(architecture, source=folder, init="keep_layers", layers=2, choose=choose).student
    listed = build(architecture, source=folder, init="keep_layers", layers=(1, 3)).student
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), listed.parameters(), strict=True))
    narrow = build(architecture, source=folder, init="narrow", hidden_size=32, layers=2, choose=choose).student
    assert all(torch.equal(a, b) for a, b in zip(narrow.parameters(), listed.parameters(), strict=True))
    build(architecture, source=folder, init="keep_layers", layers=2, choose="loss")


def test_a_loss_needs_labels(tmp_path):
    folder = saved(tiny("smollm"), tmp_path / "source")
    spec = {"init": "keep_layers", "layers": 2, "choose": "loss"}
    with pytest.raises(UserError, match="needs a task with a loss on labels; use block_influence"):
        student(folder, loss=None, **spec)
    with pytest.raises(UserError, match="needs labelled training items"):
        student(folder, probe=[batch_of(texts().take([]))], **spec)
    student(folder, loss=None, **spec | {"choose": "block_influence"})


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"init": "keep_layers", "layers": (0, 1), "choose": "loss"}, "expected 'layers' to be a number with"),
        ({"init": "narrow", "hidden_size": 24, "choose": "loss"}, "expected 'layers' with 'choose: loss'"),
    ],
)
def test_there_must_be_something_to_choose(spec, expected, tmp_path):
    with pytest.raises(ValueError, match=expected):
        request(tmp_path, **spec)


def test_layers_of_different_sizes_are_not_chosen_by_measurement():
    from edgedistill.contracts import registry

    plugin = registry.student("keep_layers")
    pruned = {"model_type": "edgedistill-pruned-bert", "heads_by_layer": [4, 2]}
    measured = plugin.spec.model_validate({"init": "keep_layers", "layers": 1, "choose": "block_influence"})
    assert plugin.unsuitable(measured, pruned) == (
        "whose layers differ in size, so that 'choose: block_influence' would determine the student's size"
    )
    assert plugin.unsuitable(plugin.spec.model_validate({"init": "keep_layers", "layers": 1}), pruned) is None


def test_the_first_tokens_of_a_probe_are_whole_items_with_their_decisions():
    items = texts(6)
    probe = [batch_of(items.take([0, 1, 2])), batch_of(items.take([3, 4, 5]))]
    lengths = items.lengths.tolist()
    found = list(first_tokens(probe, sum(lengths[:4]) + 1))
    assert [len(batch) for batch in found] == [3, 2]
    assert found[1].inputs["input_ids"].tolist() == probe[1].inputs["input_ids"][:2].tolist()
    assert found[1].item_R.tolist() == [0] * lengths[3] + [1] * lengths[4]
    assert int(found[1].known_R.sum()) == lengths[3] + lengths[4] - 2
    assert [len(batch) for batch in first_tokens(probe, 10_000)] == [3, 3]
    assert [len(batch) for batch in first_tokens(probe, lengths[0])] == [1]


def test_layers_that_are_not_given_tensors_are_not_measured():
    from edgedistill.students._probe import watched

    layer = torch.nn.Identity()
    with watched({"layers.0": layer}, lambda *seen: None), pytest.raises(UserError) as caught:
        layer(input="a text")
    assert str(caught.value) == "'layers.0' does not map one tensor to another, so its effect cannot be measured"
