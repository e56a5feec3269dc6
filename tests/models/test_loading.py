from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import save_model
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.errors import UserError
from edgedistill.models.loading import load_model, load_tokenizer

AUTO = AutoModelForSequenceClassification


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be loaded; expected an available Hub id, or an existing folder"):
        load_model(AUTO, tmp_path / "absent", None)
    with pytest.raises(
        UserError, match=r"model 'someone/absent' \(revision main\) is not a local folder and could not be downloaded"
    ):
        load_tokenizer("someone/absent")


def test_pickled_weights_are_refused(teacher_folder, tmp_path):
    shutil.copytree(teacher_folder, tmp_path / "pickled")
    model = load_model(AUTO, teacher_folder, None)
    (tmp_path / "pickled" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(UserError, match="safetensors"):
        load_model(AUTO, tmp_path / "pickled", None)


def test_a_body_without_a_head_is_refused_where_the_head_is_needed(teacher_folder, tmp_path):
    load_model(AUTO, teacher_folder, None).bert.save_pretrained(tmp_path / "body")
    assert load_model(AUTO, tmp_path / "body", None).num_labels == 3
    with pytest.raises(UserError, match=r"has no trained head for this task \(missing classifier.bias"):
        load_model(AUTO, tmp_path / "body", None, head_required=True)


def test_a_checkpoint_that_lacks_a_layer_is_refused(teacher_folder, tmp_path):
    shutil.copytree(teacher_folder, tmp_path / "short")
    config = json.loads((tmp_path / "short" / "config.json").read_text())
    (tmp_path / "short" / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(UserError, match="lacks weights of its body"):
        load_model(AUTO, tmp_path / "short", None)


@pytest.mark.parametrize("architecture", ["nomic_bert", "bert"])
def test_each_weight_has_memory_of_its_own(tmp_path, architecture):
    """NomicBERT's are stored fused, and read as views."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = AutoConfig.for_model(architecture, vocab_size=20, **sizes)
    AUTO.from_config(config).save_pretrained(tmp_path)
    model = load_model(AUTO, tmp_path, None)
    for weight in model.parameters():
        assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
    save_model(model, str(tmp_path / "again.safetensors"))
