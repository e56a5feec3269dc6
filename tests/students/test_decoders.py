"""Students of causal language models, family by family: what is kept is the teacher's, and what goes is as if zero."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_decoders import (
    FAMILIES,
    TIED,
    batch_of,
    config_of,
    logits,
    next_token_loss,
    request,
    saved,
    student,
    texts,
    tiny,
)
from transformers import AutoModelForCausalLM

from edgedistill.contracts import registry
from edgedistill.contracts.decoder_layout import DECODERS
from edgedistill.contracts.model_layers import layer_list
from edgedistill.errors import UserError
from edgedistill.models.loading import parameter_count
from edgedistill.students import _decoder_cut as cutting
from edgedistill.students._decoder_shape import shape_of_decoder

EVERY = sorted(FAMILIES)
GROUPED = sorted(set(EVERY) - {"gpt2"})


@pytest.fixture
def source(tmp_path):
    """Writes a random decoder of a family; gives the model and its folder."""

    def made(family: str, **more):
        model = tiny(family, **more)
        return model, saved(model, tmp_path / family)

    return made


@pytest.mark.parametrize("family", EVERY)
@pytest.mark.parametrize(
    "spec",
    [
        {"init": "keep_layers", "layers": 4},
        {"init": "keep_layers", "layers": 4, "choose": "block_influence"},
        {"init": "narrow", "hidden_size": 48},
        {"init": "narrow", "hidden_size": 48, "heads": 6, "intermediate_size": 96, "layers": 4},
        {"init": "shrink"},
    ],
)
def test_keeping_everything_is_the_teacher_to_the_bit(source, family, spec):
    model, folder = source(family)
    if family == "gpt2" and "intermediate_size" in spec:
        spec = {**spec, "intermediate_size": 192}
    if spec["init"] == "shrink":
        spec = {**spec, "parameters": parameter_count(model)}
    made = student(folder, **spec)
    assert torch.equal(logits(made), logits(model))
    same = {"dtype": None, "_name_or_path": None}
    assert made.config.to_dict() | same == model.config.to_dict() | same


@pytest.mark.parametrize("family", EVERY)
@pytest.mark.parametrize(
    "spec",
    [
        {"init": "keep_layers", "layers": 2, "choose": "loss"},
        {"init": "narrow", "hidden_size": 24, "layers": 3, "choose": "block_influence"},
        {"init": "shrink", "parameters": 2e4},
        {"init": "scratch", "layers": 3, "hidden_size": 24},
        {"init": "scratch", "parameters": 2e4},
    ],
)
def test_a_saved_student_is_read_by_transformers_alone(source, family, spec, tmp_path):
    model, folder = source(family)
    made = student(folder, **spec)
    again = AutoModelForCausalLM.from_pretrained(saved(made, tmp_path / "student")).eval()
    assert torch.equal(logits(again), logits(made))
    assert torch.isfinite(logits(again)).all()
    assert again.config.vocab_size == model.config.vocab_size
    for network in (made, again):
        tied = network.get_output_embeddings().weight is network.get_input_embeddings().weight
        assert tied == (family in TIED)


@pytest.mark.parametrize("family", EVERY)
@pytest.mark.parametrize("spec", [{"init": "narrow", "hidden_size": 24, "layers": 3}, {"init": "shrink"}])
def test_the_size_that_is_planned_is_the_students(source, family, spec):
    model, folder = source(family)
    if spec["init"] == "shrink":
        spec = {**spec, "parameters": parameter_count(model) // 3}
    plugin = registry.student(spec["init"])
    planned = plugin.planned(plugin.spec(**spec), model.config, AutoModelForCausalLM)
    assert planned.at_most is None
    made = student(folder, **spec)
    assert shape_of_decoder(made.config) == shape_of_decoder(planned.config)
    assert parameter_count(made) == parameter_count(AutoModelForCausalLM.from_config(planned.config))


@pytest.mark.parametrize("family", GROUPED)
def test_the_quietest_groups_of_heads_go_and_are_as_if_they_gave_nothing(source, family, tmp_path):
    model, _ = source(family)
    silent = copy.deepcopy(model)
    size = shape_of_decoder(model.config).head_size
    with torch.no_grad():
        for number, (own, theirs) in enumerate(zip(silent.model.layers, model.model.layers, strict=True)):
            quiet = number % 3  # another one in each layer
            for weight in theirs.self_attn.v_proj.parameters():
                weight[quiet * size : (quiet + 1) * size] *= 0.1
            own.self_attn.load_state_dict(theirs.self_attn.state_dict())
            own.self_attn.o_proj.weight[:, quiet * 2 * size : (quiet + 1) * 2 * size] = 0
    made = student(saved(model, tmp_path / "quiet"), init="narrow", hidden_size=48, heads=4)
    assert (made.config.num_attention_heads, made.config.num_key_value_heads) == (4, 2)
    torch.testing.assert_close(logits(made), logits(silent), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(made), logits(model), rtol=0, atol=1e-2)


@pytest.mark.parametrize("family", EVERY)
def test_the_quietest_neurons_go_and_are_as_if_they_gave_nothing(source, family, tmp_path):
    model, _ = source(family)
    layout, layers = DECODERS[model.config.model_type], layer_list(model)
    reads = "mlp.c_fc" if family == "gpt2" else "mlp.up_proj"
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for number in range(4):
            quiet = [
                neuron for neuron in range(shape_of_decoder(model.config).intermediate_size) if neuron % 4 != number
            ]
            for network in (model, silent):
                for weight in network.get_submodule(f"{layers}.{number}.{reads}").parameters():
                    (weight.mT if family == "gpt2" and weight.ndim == 2 else weight)[quiet] *= 0.01
            weight = silent.get_submodule(f"{layers}.{number}.{layout.feed_forward_out}").weight
            (weight if family == "gpt2" else weight.T)[quiet] = 0
    kept = 48 if family == "gpt2" else 24
    made = student(saved(model, tmp_path / "quiet"), init="narrow", hidden_size=48, intermediate_size=kept)
    torch.testing.assert_close(logits(made), logits(silent), rtol=0, atol=1e-5)
    assert not torch.allclose(logits(made), logits(model), rtol=0, atol=1e-3)


@pytest.mark.parametrize("family", GROUPED)
def test_hidden_dimensions_that_hold_nothing_go_without_a_loss(source, family, tmp_path):
    """Embeddings, norms and whatever writes to the hidden states leave every other dimension at zero."""
    model, _ = source(family)
    config = model.config
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1 and len(weight) == config.hidden_size:
                weight[::2] = 0 if name.endswith("bias") else -DECODERS[config.model_type].scale_from
            elif name.endswith(("embed_tokens.weight", "lm_head.weight")):
                weight[:, ::2] = 0
            elif name.endswith(("o_proj.weight", "down_proj.weight")):
                weight[::2] = 0
    folder = saved(model, tmp_path / "silent")
    made = student(folder, init="narrow", hidden_size=24, heads=6, intermediate_size=96)
    assert made.config.hidden_size == 24
    with torch.no_grad():  # RMSNorm divides by the root of a mean, which zeros make smaller
        for name, weight in made.named_parameters():
            if weight.ndim == 1 and len(weight) == 24 and name.endswith("weight"):
                base = DECODERS[config.model_type].scale_from
                weight.copy_((weight + base) * 2**0.5 - base)
    torch.testing.assert_close(logits(made), logits(model), rtol=1e-3, atol=1e-3)


def test_attention_of_a_gpt2_has_the_queries_keys_and_values_of_the_heads_that_stay(source):
    model, folder = source("gpt2")
    made = student(folder, init="narrow", hidden_size=24)
    kept = cutting.strongest(
        cutting.measure_importance(model, request(folder, init="narrow", hidden_size=24)),
        [0, 1, 2, 3],
        shape_of_decoder(made.config),
    )
    states = torch.randn(1, 7, 48)
    narrow = states[..., kept.hidden]
    wide = torch.zeros_like(states)
    wide[..., kept.hidden] = narrow
    for layer, (own, theirs) in enumerate(zip(made.transformer.h, copy.deepcopy(model).transformer.h, strict=True)):
        gone = sorted(set(range(6)) - set(kept.groups[layer].tolist()))
        with torch.no_grad():
            for head in gone:
                theirs.attn.c_proj.weight[head * 8 : head * 8 + 8] = 0
            expected = theirs.attn(wide)[0][..., kept.hidden]
            torch.testing.assert_close(own.attn(narrow)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", EVERY)
def test_every_weight_is_the_teachers_rows_and_columns(source, family):
    """Only Gemma's embeddings are scaled, as a whole."""
    model, folder = source(family)
    made = student(folder, init="narrow", hidden_size=24, layers=2)
    kept = cutting.strongest(
        cutting.measure_importance(model, request(folder, init="narrow", hidden_size=24)),
        [1, 3],
        shape_of_decoder(made.config),
    )
    table = model.get_input_embeddings().weight[:, kept.hidden]
    scale = 2**0.5 if family.startswith("gemma") else 1
    torch.testing.assert_close(made.get_input_embeddings().weight, table * scale)
    layout, layers = DECODERS[model.config.model_type], layer_list(model)
    for own, theirs in enumerate(kept.layers):
        new = made.get_submodule(f"{layers}.{own}.{layout.feed_forward_in}").weight
        old = model.get_submodule(f"{layers}.{theirs}.{layout.feed_forward_in}").weight
        rows, columns = (kept.hidden, kept.neurons[own]) if family == "gpt2" else (kept.neurons[own], kept.hidden)
        assert torch.equal(new, old[rows][:, columns])


def test_the_loudest_hidden_dimensions_stay(source, tmp_path):
    model, _ = source("smollm")
    loud = [1, 4, 9, 16, 25, 30, 31, 47]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("layernorm.weight"):
                weight.fill_(0.01)
                weight[loud] = 5.0
    made = student(saved(model, tmp_path / "loud"), init="narrow", hidden_size=8, heads=2)
    assert torch.equal(made.model.embed_tokens.weight, model.model.embed_tokens.weight[:, loud])


def test_padding_is_not_measured(source):
    model, folder = source("llama")
    importance = [
        cutting.measure_importance(model, request(folder, probe=probe, init="narrow", hidden_size=24))
        for probe in ([batch_of(texts(6))], [batch_of(texts(6).take([i])) for i in range(6)])
    ]
    torch.testing.assert_close(importance[0].hidden, importance[1].hidden)
    torch.testing.assert_close(importance[0].neurons[3], importance[1].neurons[3])


@pytest.mark.parametrize(
    ("family", "spec", "expected"),
    [
        ("llama", {"hidden_size": 96}, "student.hidden_size: got 96, expected at most the source's 48"),
        ("llama", {"hidden_size": 48, "heads": 8}, "student.heads: got 8, expected at most the source's 6"),
        (
            "llama",
            {"hidden_size": 48, "intermediate_size": 104},
            "student.intermediate_size: got 104, expected at most the source's 96",
        ),
        (
            "qwen3",
            {"hidden_size": 24, "heads": 3},
            "student.heads: got 3, expected a multiple of 2, the number of heads that share keys and values",
        ),
        (
            "gemma2",
            {"hidden_size": 22, "heads": 4},
            "student.hidden_size: got 22 with 4 heads, expected a multiple of the heads in a 'gemma2'; "
            "change hidden_size or heads",
        ),
        (
            "gpt2",
            {"hidden_size": 20},
            "student.hidden_size: got 20 with 2 heads of 8 dimensions, expected 16, since a 'gpt2' splits its width "
            "among its heads",
        ),
        ("gpt2", {"hidden_size": 48, "layers": 5}, "layers: got 5, expected at most the source's 4 layers"),
        (
            "llama",
            {"parameters": 20_000, "intermediate_size": 104},
            "student.intermediate_size: got 104, expected at most the source's 96",
        ),
    ],
)
def test_sizes_that_cannot_be_cut_are_refused(source, family, spec, expected):
    with pytest.raises(UserError) as caught:
        student(source(family)[1], init="narrow", **spec)
    assert str(caught.value) == expected


@pytest.mark.parametrize("family", EVERY)
def test_heads_keep_their_size_and_their_groups(family):
    source = shape_of_decoder(config_of(family))
    plugin = registry.student("narrow")
    for width in range(8, 48, 8):
        spec = plugin.spec.model_validate({"init": "narrow", "hidden_size": width})
        shape = shape_of_decoder(plugin.planned(spec, config_of(family), AutoModelForCausalLM).config)
        assert (shape.head_size, shape.group) == (source.head_size, source.group)
        assert shape.intermediate_size == source.intermediate_size * width // 48


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma"])
def test_the_next_round_is_made_of_a_student_whose_width_its_heads_do_not_divide(source, family, tmp_path):
    _, folder = source(family)
    first = student(folder, init="narrow", hidden_size=40, heads=6)
    assert first.config.hidden_size % first.config.num_attention_heads
    folder = saved(first, tmp_path / "first")
    for spec in ({"init": "keep_layers", "layers": 2}, {"init": "shrink", "parameters": 2e4}):
        assert torch.isfinite(logits(student(folder, **spec))).all()
    assert torch.equal(logits(student(folder, init="narrow", hidden_size=40)), logits(first))


@pytest.mark.parametrize("init", ["narrow", "shrink"])
def test_other_architectures_are_refused_in_a_sentence(init, tmp_path):
    config = {"model_type": "gpt_neox", "num_hidden_layers": 4, "hidden_size": 32}
    reason = registry.student(init).unsuitable(None, config)
    assert "which it does not support (" in reason
    assert "gemma, gemma2, gemma3_text, gpt2, llama, " in reason
    assert "gpt_neox" not in reason


def test_a_shrunk_encoder_is_refused_in_a_sentence(make_source):
    folder = make_source("bert")
    with pytest.raises(
        UserError, match="init: shrink supports decoders, but 'from' is a 'bert', which it does not support"
    ):
        student(folder, init="shrink", parameters=5000)


@pytest.mark.parametrize("init", ["narrow", "shrink", "keep_layers"])
def test_layers_that_know_their_number_are_not_cut(init):
    config = FAMILIES["gpt2"] | {"scale_attn_by_inverse_layer_idx": True}
    assert registry.student(init).unsuitable(None, config) == "whose layers scale attention by layer index"


def test_a_weight_that_the_family_does_not_have_is_refused(source):
    model, _ = source("smollm")
    model.model.register_parameter("more", torch.nn.Parameter(torch.zeros(48)))
    with pytest.raises(UserError, match="'model.more' is not a known weight of a 'llama'"):
        cutting.fill(model, model, cutting.Kept([0, 1, 2, 3], torch.arange(48), [], []))


def test_a_classifier_on_a_decoder_is_cut_as_well(tmp_path):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config_of("gemma", num_labels=3)).eval()
    model.save_pretrained(tmp_path / "classifier")
    asked = request(tmp_path / "classifier", loss=None, init="narrow", hidden_size=24, layers=2)
    asked = type(asked)(**{**vars(asked), "auto_class": AutoModelForSequenceClassification})
    made = registry.student("narrow").build(asked)
    assert made.score.weight.shape == (3, 24)
    with torch.no_grad():
        assert torch.isfinite(made(**batch_of(texts()).inputs).logits).all()


def test_it_trains(source):
    """Gradients reach every weight of a cut student, and its loss goes down."""
    made = student(source("gemma3_text")[1], init="shrink", parameters=2e4).train()
    optimizer, batch = torch.optim.Adam(made.parameters(), 1e-2), batch_of(texts())
    losses = []
    for _ in range(10):
        loss = next_token_loss(made, batch)[batch.known_R].mean()
        optimizer.zero_grad()
        loss.backward()
        assert all(parameter.grad is not None for parameter in made.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
