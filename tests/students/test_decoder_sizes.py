"""The shape that a decoder is given: to a number of parameters, or from scratch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_decoders import FAMILIES, config_of, request, saved, student, tiny
from transformers import AutoConfig, AutoModelForCausalLM

from edgedistill.contracts import registry
from edgedistill.contracts.decoder_layout import DECODERS
from edgedistill.errors import UserError
from edgedistill.models.loading import outline, parameter_count
from edgedistill.students._decoder_fit import fitted
from edgedistill.students._decoder_shape import DecoderShape, shape_of_decoder, with_shape
from edgedistill.students._decoder_weights import counter

EVERY = sorted(FAMILIES)
SMOLLM2 = AutoConfig.for_model(
    "llama",
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    tie_word_embeddings=True,
)


def counted(config) -> int:
    return parameter_count(outline(AutoModelForCausalLM, config))


def planned(init: str, config, **spec):
    plugin = registry.student(init)
    return plugin.planned(plugin.spec(init=init, **spec), config, AutoModelForCausalLM).config


@settings(max_examples=25, deadline=None)
@given(family=st.sampled_from(EVERY), share=st.floats(0.05, 1))
def test_a_shrunk_student_comes_close_to_its_parameters_and_never_over(family, share):
    source = config_of(family)
    wanted = round(counted(source) * share)
    try:
        found = planned("shrink", source, parameters=wanted)
    except UserError as error:
        assert "expected at least" in str(error)  # noqa: PT017 - the least depends on the family
        assert share < 0.2
        return
    assert 0.8 * wanted < counted(found) <= wanted
    before, after = shape_of_decoder(source), shape_of_decoder(found)
    assert (after.head_size, after.group) == (before.head_size, before.group)
    assert after.layers <= before.layers
    assert after.hidden_size <= before.hidden_size
    assert after.intermediate_size <= before.intermediate_size
    assert shape_of_decoder(planned("shrink", source, parameters=wanted)) == after


@pytest.mark.parametrize("family", EVERY)
def test_the_count_of_a_shape_is_that_of_its_model(family):
    source = config_of(family)
    count = counter(outline(AutoModelForCausalLM, source), DECODERS[source.model_type])
    head_size, group = shape_of_decoder(source).head_size, shape_of_decoder(source).group
    for layers, groups, neurons in ((1, 1, 8), (3, 2, 40), (4, 3, 96)):
        width = groups * group * head_size  # that heads divide, in any family
        shape = DecoderShape(layers, width, groups * group, groups, head_size, neurons)
        assert count(shape) == counted(with_shape(source, range(layers), shape))


@pytest.mark.parametrize(
    ("parameters", "shape", "count"),
    [
        (30_000_000, DecoderShape(16, 288, 6, 2, 64, 800), 29_943_072),
        (60_000_000, DecoderShape(23, 384, 6, 2, 64, 1184), 59_307_648),
        (134_515_008, DecoderShape(30, 576, 9, 3, 64, 1536), 134_515_008),
    ],
)
def test_depth_and_width_keep_about_the_same_share(parameters, shape, count):
    """SmolLM2-135M: what a recipe gets for a number of parameters doesn't change unnoticed."""
    assert fitted(SMOLLM2, AutoModelForCausalLM, parameters) == shape
    assert counted(with_shape(SMOLLM2, range(shape.layers), shape)) == count


def test_layers_and_neurons_that_are_given_stay():
    found = shape_of_decoder(planned("narrow", SMOLLM2, parameters=40e6, layers=12, intermediate_size=1024))
    assert (found.layers, found.intermediate_size) == (12, 1024)
    wider = DecoderShape(12, found.hidden_size + 96, found.heads, found.key_value_heads, 64, 1024)
    assert counted(with_shape(SMOLLM2, range(12), wider)) > 40_000_000
    assert shape_of_decoder(planned("narrow", SMOLLM2, parameters=40e6)).layers == 30


@pytest.mark.parametrize("init", ["shrink", "scratch", "narrow"])
def test_parameters_out_of_reach_are_refused_with_what_is_in_reach(init):
    source = config_of("qwen3")
    most = counted(source)
    with pytest.raises(UserError) as caught:
        planned(init, source, parameters=most + 1)
    assert str(caught.value) == f"student.parameters: got {most + 1}, expected at most the source's {most}"
    with pytest.raises(UserError, match=r"student.parameters: got 1000, expected at least \d+, the smallest") as e:
        planned(init, source, parameters=1000)
    least = int(str(e.value).split("at least ")[1].split(",")[0])
    assert counted(planned(init, source, parameters=least)) == least


@pytest.mark.parametrize("family", EVERY)
def test_a_student_from_nothing_has_the_shape_of_a_shrunk_one(family, tmp_path):
    folder = saved(tiny(family), tmp_path / "source")
    cut, fresh = (student(folder, init=init, parameters=3e4) for init in ("shrink", "scratch"))
    assert shape_of_decoder(cut.config) == shape_of_decoder(fresh.config)
    assert parameter_count(cut) == parameter_count(fresh) <= 30_000


@pytest.mark.parametrize(
    ("family", "spec", "shape"),
    [
        ("llama", {"layers": 6, "hidden_size": 32, "heads": 4}, DecoderShape(6, 32, 4, 2, 8, 64)),
        ("llama", {"layers": 2, "hidden_size": 96}, DecoderShape(2, 96, 12, 6, 8, 192)),
        (
            "qwen3",
            {"layers": 2, "hidden_size": 32, "heads": 4, "key_value_heads": 1, "head_size": 16},
            DecoderShape(2, 32, 4, 1, 16, 64),
        ),
        ("qwen3", {"layers": 2, "hidden_size": 32, "heads": 4}, DecoderShape(2, 32, 4, 2, 12, 64)),
        ("qwen2", {"layers": 2, "hidden_size": 32, "heads": 2, "head_size": 8}, DecoderShape(2, 32, 2, 1, 8, 64)),
        ("gemma3_text", {"layers": 6, "hidden_size": 32, "heads": 4}, DecoderShape(6, 32, 4, 2, 16, 64)),
        ("gpt2", {"layers": 2, "hidden_size": 32, "heads": 2}, DecoderShape(2, 32, 2, 2, 16, 128)),
        ("gpt2", {"layers": 2, "hidden_size": 32, "intermediate_size": 64}, DecoderShape(2, 32, 4, 4, 8, 64)),
    ],
)
def test_a_student_from_nothing_has_the_sizes_that_are_asked_for(family, spec, shape):
    config = planned("scratch", config_of(family), **spec)
    assert shape_of_decoder(config) == shape
    model = AutoModelForCausalLM.from_config(config)
    assert len(model.get_submodule("transformer.h" if family == "gpt2" else "model.layers")) == shape.layers
    if family == "gemma3_text":
        assert config.layer_types == ["sliding_attention", "full_attention"] * 3
        assert config.query_pre_attn_scalar == shape.head_size


def test_attention_is_scaled_by_the_head_size_that_a_gemma_gets():
    spec = {"layers": 2, "hidden_size": 32, "heads": 4, "head_size": 8}
    assert planned("scratch", config_of("gemma2"), **spec).query_pre_attn_scalar == 8
    own = config_of("gemma2", query_pre_attn_scalar=100)
    assert planned("scratch", own, **spec).query_pre_attn_scalar == 100


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"layers": 2, "hidden_size": 32, "heads": 4, "key_value_heads": 3},
            "student.heads: got 4, expected a multiple of key_value_heads 3, since each is shared by the same number "
            "of heads",
        ),
        (
            {"layers": 2, "hidden_size": 32, "heads": 3},
            "student.hidden_size: got 32 with 3 heads, expected a multiple of the heads in a 'llama'; "
            "change hidden_size or heads",
        ),
        (
            {"layers": 2, "hidden_size": 32, "heads": 4, "head_size": 7},
            "student.head_size: got 7, expected an even number for rotary embeddings",
        ),
    ],
)
def test_sizes_that_no_decoder_has_are_refused(spec, expected):
    with pytest.raises(UserError) as caught:
        planned("scratch", config_of("llama"), **spec)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"layers": 2}, "expected 'layers' and 'hidden_size', or, for a decoder, 'parameters'"),
        ({"parameters": 9000, "layers": 2}, "expected 'parameters' alone"),
        ({"layers": 2, "hidden_size": 32, "head_size": 8}, "only with 'heads'"),
        ({"parameters": 9000.5}, "valid integer"),
    ],
)
def test_a_recipe_says_either_the_sizes_or_their_sum(spec, expected, tmp_path):
    with pytest.raises(ValueError, match=expected):
        request(tmp_path, init="scratch", **spec)


def test_an_encoder_from_scratch_is_given_no_sizes_of_decoders():
    with pytest.raises(UserError, match="from a 'bert', and 'parameters' is for decoders only"):
        planned("scratch", AutoConfig.for_model("bert"), parameters=9000)


def test_a_number_of_parameters_may_be_written_short():
    from edgedistill.recipe.text import parse

    tree: Any = parse("student: {init: shrink, parameters: 30e6}", "recipe.yaml")
    spec = registry.student("shrink").spec(**tree["student"]).model_dump()
    assert spec["parameters"] == 30_000_000
    assert isinstance(spec["parameters"], int)
