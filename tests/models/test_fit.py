from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
)

from edgedistill.errors import UserError
from edgedistill.models.fit import check_sizes
from edgedistill.models.loading import embedding_rows, load_model
from edgedistill.models.weights_header import StoredTensor

AUTO = AutoModelForSequenceClassification
SMALL = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
BERT = BertConfig(vocab_size=20, max_position_embeddings=16, num_labels=3, **SMALL)
STORED = {"emb": StoredTensor("F32", (20, 8), "model.safetensors")}


@pytest.fixture
def folder(tmp_path):
    BertForSequenceClassification(BERT).save_pretrained(tmp_path / "bert")
    return tmp_path / "bert"


def rewrite(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def reconfigure(folder, **entries):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))


def test_a_gpt2_without_body_weights_is_refused(tmp_path):
    config = GPT2Config(vocab_size=20, n_positions=16, n_embd=8, n_layer=2, n_head=2, num_labels=3)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    load_model(AUTO, tmp_path, None, head_required=True)
    rewrite(tmp_path, lambda tensors: tensors.pop("transformer.h.0.mlp.c_fc.weight"))
    with pytest.raises(UserError, match=r"lacks weights of its body \(transformer.h.0.mlp.c_fc.weight\)"):
        load_model(AUTO, tmp_path, None)


@pytest.mark.parametrize("weight", ["bert.embeddings.LayerNorm.weight", "bert.encoder.layer.1.output.dense.bias"])
def test_a_body_that_lacks_any_weight_is_refused(folder, weight):
    rewrite(folder, lambda tensors: tensors.pop(weight))
    with pytest.raises(UserError, match="lacks weights of its body"):
        load_model(AUTO, folder, None)


def test_only_what_is_trained_anew_may_be_missing(folder, tmp_path):
    BertForMaskedLM(BERT).save_pretrained(tmp_path / "mlm")  # without a pooler
    assert load_model(AUTO, tmp_path / "mlm", None, {"num_labels": 3}).num_labels == 3
    with pytest.raises(UserError, match=r"lacks weights of its body \(bert.pooler"):
        load_model(AUTO, tmp_path / "mlm", None, head_required=True)
    load_model(AutoModelForMaskedLM, tmp_path / "mlm", None, head_required=True)  # its output layer is tied
    rewrite(folder, lambda tensors: tensors.pop("classifier.bias"))
    load_model(AUTO, folder, None)
    with pytest.raises(UserError, match=r"has no trained head for this task \(missing classifier.bias\)"):
        load_model(AUTO, folder, None, head_required=True)


def test_a_head_for_other_labels_is_made_anew_or_refused(folder):
    assert load_model(AUTO, folder, None, {"num_labels": 5}).classifier.out_features == 5
    with pytest.raises(UserError, match="has no trained head for this task"):
        load_model(AUTO, folder, None, {"num_labels": 5}, head_required=True)


@pytest.mark.parametrize("layers", [0, 1])
def test_a_config_with_fewer_layers_than_the_weights_is_refused(folder, layers):
    reconfigure(folder, num_hidden_layers=layers)
    with pytest.raises(UserError, match="contains weights of more layers than config.json declares"):
        load_model(AUTO, folder, None)


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ({"vocab_size": 10**12}, "config.json has vocab_size 1e.12, which the weights rule out"),
        ({"hidden_size": 2**40}, "config.json has hidden_size"),
        ({"num_hidden_layers": 10**9}, "config.json has num_hidden_layers 1e.09"),
        ({"num_hidden_layers": -1}, "config.json has num_hidden_layers -1"),
        ({"max_position_embeddings": 10**10}, "config.json has max_position_embeddings"),
        ({"vocab_size": 21}, "is 20 x 8 in model.safetensors, but 21 x 8 according to config.json"),
        ({"hidden_size": 16}, "expected matching configuration and weights"),
        ({"intermediate_size": 13}, "expected matching configuration and weights"),
        ({"num_attention_heads": 0}, "model '.*' cannot be loaded"),
        ({"num_attention_heads": 3}, "model '.*' cannot be loaded"),
        ({"hidden_size": "8"}, "model '.*' cannot be loaded"),
        ({"layer_norm_eps": 7.0}, "config.json has layer_norm_eps 7, expected 0 to 0.1"),
        ({"hidden_act": "none_such"}, "model '.*' cannot be loaded.*none_such"),
    ],
)
def test_sizes_that_the_weights_do_not_have_are_refused_before_any_are_made(folder, entry, sentence, monkeypatch):
    reconfigure(folder, **entry)
    monkeypatch.setattr(AUTO, "from_pretrained", None)  # nothing is loaded
    with pytest.raises(UserError, match=sentence) as caught:
        load_model(AUTO, folder, None)
    assert "\n" not in str(caught.value)


def test_sizes_are_compared_at_every_depth():
    check_sizes({"text_config": {"hidden_size": 8, "max_position_embeddings": -1}}, STORED, "m")
    with pytest.raises(UserError, match="d_model"):
        check_sizes({"text_config": [{"d_model": 10**6}]}, STORED, "m")
    with pytest.raises(UserError, match="encoder_layers nan"):
        check_sizes({"encoder_layers": float("nan")}, STORED, "m")
    check_sizes({"num_experts": 150}, STORED, "m")  # several in one tensor
    with pytest.raises(UserError, match="num_experts 161, which the weights rule out"):
        check_sizes({"num_experts": 161}, STORED, "m")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_called_that(folder, value):
    rewrite(folder, lambda tensors: tensors["bert.pooler.dense.bias"].__setitem__(2, value))
    with pytest.raises(UserError, match=r"bert.pooler.dense.bias contains 1 NaN or infinite numbers, of 8"):
        load_model(AUTO, folder, None)


def test_weights_in_whole_numbers_are_refused(folder):
    name = "bert.pooler.dense.weight"
    rewrite(folder, lambda tensors: tensors.__setitem__(name, tensors[name].to(torch.int8)))
    with pytest.raises(UserError, match="bert.pooler.dense.weight is stored as I8 in model.safetensors"):
        load_model(AUTO, folder, None)


def test_the_rows_of_the_embeddings_are_known_without_loading(folder, monkeypatch):
    monkeypatch.setattr(AUTO, "from_pretrained", None)
    assert embedding_rows(AUTO, folder, None) == 20


def test_a_bug_in_the_model_classes_of_this_package_is_no_fault_of_a_folder(folder, monkeypatch):
    """Only the library's calls are explained: what fails around them stays what it is."""
    monkeypatch.setattr("edgedistill.models.loading.check_loaded", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        load_model(AUTO, folder, None)


def test_half_precision_weights_and_parts_load_alike(folder, tmp_path):
    model = load_model(AUTO, folder, None)
    model.save_pretrained(tmp_path / "parts", max_shard_size="2kB")
    assert (tmp_path / "parts" / "model.safetensors.index.json").is_file()
    again = load_model(AUTO, tmp_path / "parts", None, head_required=True)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    shutil.copytree(folder, tmp_path / "half")
    rewrite(tmp_path / "half", lambda tensors: tensors.update({k: v.half() for k, v in tensors.items()}))
    assert load_model(AUTO, tmp_path / "half", None, head_required=True).dtype == torch.float32
