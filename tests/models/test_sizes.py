"""The description of a model's size agrees with the model, whatever its architecture calls its sizes."""

from __future__ import annotations

import pytest
import torch
from architectures import NAMES, tiny_config
from transformers import AutoConfig, AutoModelForSequenceClassification, ViTConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from edgedistill.contracts.model_shape import ModelShape
from edgedistill.errors import UserError
from edgedistill.models.image_model import PixelsConfig
from edgedistill.models.loading import outline, parameter_count
from edgedistill.models.meta_sizes import shape
from edgedistill.models.pruned_model import PrunedBertConfig
from edgedistill.models.sizes import described, resized, shape_of
from edgedistill.models.static_model import StaticConfig

AUTO = AutoModelForSequenceClassification
SIZES = {"num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
OWN_NAMES = {
    "distilbert": {"n_layers": 3, "dim": 48, "n_heads": 4, "hidden_dim": 96},
    "gpt2": {"n_layer": 3, "n_embd": 48, "n_head": 4, "n_inner": 96},
    "opt": {"num_hidden_layers": 3, "hidden_size": 48, "num_attention_heads": 4, "ffn_dim": 96},
    "xlnet": {"n_layer": 3, "d_model": 48, "n_head": 4, "d_inner": 96},
}
NOT_TINY = {"cohere_compass_text", "layoutlmv2", "reformer", "zamba"}
"""A configuration that asks for sizes of its own, or a package that isn't there."""
OWN_LISTS = {"albert": "its layers share one set of weights", "funnel": "its layers stand in blocks"}


def config(architecture: str, **more):
    sizes = {**OWN_NAMES.get(architecture, SIZES), "vocab_size": 200, "num_labels": 7, **more}
    if architecture != "xlnet":  # it takes any number
        sizes["max_position_embeddings"] = 40
    return AutoConfig.for_model(architecture, **sizes)


def built(found):
    """What another process is asked to build of a `config.json`."""
    return shape(
        {
            "task": "text-classification",
            "source": found.to_dict(),
            "scratch": None,
            "students": [],
            "labels": found.num_labels,
        }
    )


@pytest.mark.parametrize("architecture", ["bert", *OWN_NAMES, "modernbert", "nomic_bert", "esm", "deberta-v2", "llama"])
def test_sizes_go_by_the_same_names(architecture):
    found = shape_of(config(architecture))
    assert (found.layers, found.hidden_size, found.heads, found.intermediate_size) == (3, 48, 4, 96)
    assert (found.architecture, found.vocabulary, found.parameters) == (architecture, 200, None)


@pytest.mark.parametrize("architecture", ["bert", *OWN_NAMES, "modernbert", "nomic_bert", "esm", "deberta-v2", "llama"])
def test_it_is_the_model_that_runs(architecture):
    real = AUTO.from_config(config(architecture, pad_token_id=0)).eval()
    found = built(real.config)
    with torch.no_grad():
        hidden = real(input_ids=torch.full((1, 5), 3), output_hidden_states=True).hidden_states
    assert (len(hidden), hidden[-1].shape[-1]) == (found.layers + 1, found.hidden_size)
    table = real.get_input_embeddings().weight
    assert (found.vocabulary, found.embedding_size) == tuple(table.shape)
    assert found.parameters == parameter_count(real)
    assert not found.estimated


@pytest.mark.slow
def test_it_agrees_with_every_architecture_that_can_be_built():
    assert set(NAMES) >= NOT_TINY
    for name in sorted(set(NAMES) - NOT_TINY):
        found = tiny_config(name)
        real = outline(AUTO, found)  # some have parts that can't be made small
        description = built(found)
        assert description.parameters == parameter_count(real), name
        lists = {len(module) for module in real.modules() if isinstance(module, torch.nn.ModuleList)}
        assert description.layers in lists or name in OWN_LISTS, name
        widths = {parameter.shape[-1] for parameter in real.parameters() if parameter.ndim}
        assert description.hidden_size in widths, name


def test_the_embeddings_are_as_the_model_has_them():
    projected = described(outline(AUTO, config("electra", embedding_size=16)))
    assert (projected.embedding_size, projected.hidden_size) == (16, 48)
    # OPT gives that width a name of its own.
    projected = described(outline(AUTO, config("opt", word_embed_proj_dim=24)))
    assert (projected.embedding_size, projected.hidden_size) == (24, 48)


def test_keys_and_values_may_be_shared():
    assert shape_of(config("llama", num_key_value_heads=2)).key_value_heads == 2
    assert shape_of(config("bert")).key_value_heads is None


def test_models_of_our_own_and_of_images_are_described():
    pruned = PrunedBertConfig(**SIZES, heads_by_layer=[4, 2, 1], neurons_by_layer=[9, 8, 7])
    found = shape_of(pruned)
    assert (found.heads_by_layer, found.neurons_by_layer) == ((4, 2, 1), (9, 8, 7))
    assert (found.heads_at(1), found.relation_width(1)) == (2, 24)
    static = shape_of(StaticConfig(vocab_size=30, hidden_size=8))
    assert (static.layers, static.hidden_size, static.heads, static.vocabulary) == (0, 8, 1, 30)
    pixels = shape_of(PixelsConfig(pixels=64, hidden_size=16, num_hidden_layers=2))
    assert (pixels.layers, pixels.hidden_size, pixels.vocabulary) == (2, 16, 0)
    vision = shape_of(ViTConfig(**SIZES))
    assert (vision.layers, vision.hidden_size, vision.heads, vision.intermediate_size) == (3, 48, 4, 96)


def test_a_model_of_several_parts_is_described_by_its_text():
    text = CONFIG_MAPPING["qwen3_5_text"](**SIZES, vocab_size=70)
    whole = CONFIG_MAPPING["qwen3_5"](text_config=text)
    assert shape_of(whole).layers == 3


def test_an_architecture_without_attention_counts_as_one_head():
    without_heads = AutoConfig.for_model("fnet", num_hidden_layers=3, hidden_size=48, intermediate_size=96)
    assert shape_of(without_heads).heads == 1


def test_a_configuration_without_layers_is_refused():
    with pytest.raises(UserError, match="of a 'resnet' does not give its number of layers and their width"):
        shape_of(AutoConfig.for_model("resnet"))


def test_the_layout_follows_from_the_architecture():
    assert ModelShape(2, 8, architecture="distilbert").layout.intermediate == "ffn.lin1"
    assert ModelShape(2, 8, architecture="gpt2").layout is None


@pytest.mark.parametrize("architecture", ["bert", *OWN_NAMES, "electra", "modernbert"])
def test_every_width_follows_the_hidden_size(architecture):
    more = {"embedding_size": 48} if architecture == "electra" else {}
    smaller = shape_of(resized(config(architecture, **more), [0, 2], hidden_size=24, heads=2))
    assert (smaller.layers, smaller.hidden_size, smaller.heads, smaller.intermediate_size) == (2, 24, 2, 48)
    if architecture == "electra":
        assert smaller.embedding_size == 24


def test_a_width_of_its_own_stays():
    assert shape_of(resized(config("electra", embedding_size=16), [0], hidden_size=24, heads=2)).embedding_size == 16


def test_a_feed_forward_width_that_cannot_be_given_is_refused():
    bloom = AutoConfig.for_model("bloom", n_layer=2, hidden_size=32, n_head=4)
    assert shape_of(bloom).intermediate_size is None
    assert resized(bloom, [0], hidden_size=16, heads=2).hidden_size == 16
    with pytest.raises(
        UserError, match="student.intermediate_size: got 64, but a 'bloom' has no separate feed-forward width"
    ):
        resized(bloom, [0], hidden_size=16, heads=2, intermediate_size=64)
