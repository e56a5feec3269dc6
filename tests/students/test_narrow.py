from __future__ import annotations

import re

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from edgedistill.contracts.model_layout import LAYOUTS
from edgedistill.errors import UserError
from edgedistill.models.loading import outline, parameter_count
from edgedistill.models.sizes import resized
from edgedistill.students import narrow
from edgedistill.students.narrow import head_dimensions

STOCK = sorted(name for name in LAYOUTS if not name.startswith("edgedistill"))


def logits(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


@pytest.mark.parametrize("architecture", STOCK)
def test_it_has_the_asked_sizes_and_runs(build, architecture):
    made = build(architecture, init="narrow", hidden_size=16, layers=2)
    config = made.student.config
    assert (config.num_hidden_layers, config.hidden_size, config.num_attention_heads) == (2, 16, 2)
    assert torch.isfinite(logits(made.student, made.inputs)).all()


@pytest.mark.parametrize("architecture", STOCK)
def test_nothing_cut_is_the_source_itself(build, architecture):
    made = build(architecture, init="narrow", hidden_size=32)
    torch.testing.assert_close(logits(made.student, made.inputs), logits(made.source, made.inputs))


def test_dead_dimensions_heads_and_neurons_are_cut_without_a_loss(build, tmp_path):
    """What adds nothing goes first: where the cut parts were silent, the narrower attention and ffn answer the same."""
    source = tmp_path / "silent"
    made = build(init="narrow", hidden_size=32)
    model = made.source
    with torch.no_grad():
        for layer in model.bert.encoder.layer:
            layer.intermediate.dense.weight[::2] = 0  # gelu(0) = 0
            layer.intermediate.dense.bias[::2] = 0
    model.save_pretrained(source)
    cut = build(source=source, init="narrow", hidden_size=32, intermediate_size=32)
    assert cut.student.config.intermediate_size == 32
    torch.testing.assert_close(logits(cut.student, cut.inputs), logits(cut.source, cut.inputs))


def test_the_loudest_hidden_dimensions_stay(build, tmp_path):
    model = build(init="narrow", hidden_size=32).source
    loud = [1, 4, 9, 16, 25, 30, 31, 2]
    with torch.no_grad():
        for norm in [m for m in model.modules() if isinstance(m, torch.nn.LayerNorm)]:
            norm.weight.fill_(0.01)
            norm.weight[loud] = 5.0
    model.save_pretrained(tmp_path / "loud")
    made = build(source=tmp_path / "loud", init="narrow", hidden_size=8, heads=1)
    kept = model.bert.embeddings.word_embeddings.weight[:, sorted(loud)]
    assert torch.equal(made.student.bert.embeddings.word_embeddings.weight, kept)


def test_the_strongest_heads_and_dimensions_stay():
    importance = torch.tensor([[1.0, 2.0, 3.0], [0.1, 0.2, 0.1], [9.0, 1.0, 8.0]])
    assert head_dimensions(importance, heads=2, size=2).tolist() == [1, 2, 6, 8]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"hidden_size": 64}, "student.hidden_size: got 64, expected at most the source's 32"),
        (
            {"hidden_size": 16, "intermediate_size": 128},
            "student.intermediate_size: got 128, expected at most",
        ),
        ({"hidden_size": 16, "heads": 3}, "student.heads: got 3, expected a divisor of hidden_size 16"),
        ({"hidden_size": 24, "heads": 1}, "student.head size: got 24, expected at most the source's 8"),
        ({"hidden_size": 16, "layers": 9}, "layers: got 9, expected at most the source's 4"),
    ],
)
def test_a_size_that_cannot_be_cut_is_refused(build, spec, expected):
    with pytest.raises(UserError) as caught:
        build(init="narrow", **spec)
    assert expected in str(caught.value)


def test_an_architecture_without_a_layout_is_refused_with_what_works(build):
    with pytest.raises(
        UserError, match=r"init: narrow cannot cut a 'albert', which it does not support \(only bert, .*; use"
    ):
        build("albert", init="narrow", hidden_size=16)


def test_the_saved_student_loads_as_any_model(build, tmp_path):
    made = build(init="narrow", hidden_size=16)
    made.student.save_pretrained(tmp_path / "saved")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    torch.testing.assert_close(logits(again, made.inputs), logits(made.student, made.inputs))


@pytest.mark.parametrize("parameters", [8_000, 14_000])
def test_a_number_of_parameters_gives_the_widest_student_that_fits(build, parameters):
    made = build(init="narrow", layers=2, parameters=parameters).student
    count = sum(parameter.numel() for parameter in made.parameters())
    assert count <= parameters
    wider = build(init="narrow", layers=2, hidden_size=made.config.hidden_size + 8).student
    assert sum(parameter.numel() for parameter in wider.parameters()) > parameters
    assert made.config.hidden_size // made.config.num_attention_heads == 8  # heads stay whole


def test_what_one_head_takes_counts_the_feed_forward_width_that_is_given(build):
    """The least that the message names is enough, and one less isn't."""
    with pytest.raises(UserError) as caught:
        build(init="narrow", parameters=1000, intermediate_size=48)
    least = int(re.search(r"at least (\d+)", str(caught.value))[1])
    made = build(init="narrow", parameters=least, intermediate_size=48).student
    assert sum(parameter.numel() for parameter in made.parameters()) == least
    with pytest.raises(UserError, match=f"expected at least {least}"):
        build(init="narrow", parameters=least - 1, intermediate_size=48)


def test_the_projection_of_factorised_embeddings_is_never_lost(build, make_source):
    source = make_source("electra", embedding_size=16)
    with pytest.raises(UserError, match="student.hidden_size: got 16, equal to the source's embedding_size, for which"):
        build("electra", source=source, init="narrow", hidden_size=16)
    made = build("electra", source=source, init="narrow", hidden_size=24)
    assert made.student.electra.embeddings_project.weight.shape == (24, 16)
    auto_class, config = AutoModelForSequenceClassification, made.source.config
    at_16 = parameter_count(outline(auto_class, resized(config, range(4), hidden_size=16, heads=2)))
    assert (
        narrow.planned(narrow.NarrowSpec(init="narrow", parameters=at_16), config, auto_class).config.hidden_size == 8
    )


def test_too_few_parameters_say_how_many_are_needed(build):
    with pytest.raises(UserError, match=r"student.parameters: got 1000, expected at least \d+, the size with one head"):
        build(init="narrow", parameters=1000)


@pytest.mark.parametrize("sizes", [{}, {"hidden_size": 16, "parameters": 9000}, {"parameters": 9000, "heads": 2}])
def test_exactly_one_target_is_given(build, sizes):
    with pytest.raises(ValueError, match="expected"):
        build(init="narrow", **sizes)
