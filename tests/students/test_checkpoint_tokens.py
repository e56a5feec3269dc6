"""A pretrained student's own tokenizer must read texts as its teacher's does, or the run is refused before training."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers import quickstart_rows, write_jsonl, write_recipe
from language_models import TEACHER
from transformers import AutoModelForCausalLM, BertConfig, BertForSequenceClassification

import edgedistill
from edgedistill.errors import StepError
from edgedistill.models.learned_vocabulary import learn_tokenizer

TEXTS = [json.loads(line)["text"][:80] for line in (TEACHER.parent / "train.jsonl").read_text().splitlines()[:16]]
RARE = "xylophone"


@pytest.fixture
def folder(tmp_path):
    """A checkpoint like the teacher, to be changed."""
    return shutil.copytree(TEACHER, tmp_path / "other")


@pytest.fixture
def recipe(tmp_path, folder):
    for split, first in (("train", 0), ("validation", 8), ("test", 12)):
        texts = TEXTS[first : first + 8 if split == "train" else first + 4]
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": text} for text in texts])
    stage = {"name": "soft-targets", "epochs": 1, "learning_rate": 1e-4, "batch_size": 8}
    return {
        "schema": "edgedistill/1",
        "name": "pretrained",
        "task": {"type": "text-generation", "metric": "bits_per_byte"},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in ("train", "validation", "test")}
        | {"max_length": 32},
        "teacher": {"model": str(TEACHER)},
        "control": False,
        "rounds": [
            {
                "id": "r1",
                "student": {"init": "checkpoint", "model": str(folder), "layers": 1},
                "stages": [stage | {"losses": [{"kind": "kl", "temperature": 1.0}]}],
            }
        ],
    }


def change_tokenizer(folder, change):
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def in_lower_case(content):
    content["normalizer"]["normalizers"].insert(0, {"type": "Lowercase"})


def merged_otherwise(content):
    content["model"]["merges"].reverse()


def split_otherwise(content):
    content["pre_tokenizer"] = {"type": "Split", "pattern": {"String": "h"}, "behavior": "Isolated", "invert": False}


def without_a_word_of_the_data(content):
    content["normalizer"]["normalizers"].insert(0, {"type": "Replace", "pattern": {"String": RARE}, "content": "x"})


def refused(recipe, tmp_path) -> str:
    with pytest.raises(StepError) as caught:
        edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    assert caught.value.exit_code == 2
    done = [step.name[3:] for step in (tmp_path / "run" / "steps").glob("[0-9]*")]
    assert "data" in done
    assert not {"teacher", "r1"} & set(done)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("change", [in_lower_case, merged_otherwise, split_otherwise, without_a_word_of_the_data])
def test_the_same_tokens_read_otherwise_are_refused_before_training(recipe, folder, tmp_path, change):
    write_jsonl(tmp_path / "train.jsonl", [{"text": text} for text in [*TEXTS[:8], f"A {RARE}."]])
    change_tokenizer(folder, change)
    sentence = refused(recipe, tmp_path)
    assert f"teacher 'teacher' and student '{folder}' have different vocabularies (the text '" in sentence
    assert "is encoded differently)" in sentence
    assert (RARE in sentence) == (change is without_a_word_of_the_data)


def test_other_tokens_are_refused_before_training(recipe, folder, tmp_path):
    def renumber(content):
        vocabulary = content["model"]["vocab"]
        vocabulary["he"], vocabulary["▁t"] = vocabulary["▁t"], vocabulary["he"]

    change_tokenizer(folder, renumber)
    assert f"teacher 'teacher' and student '{folder}' have different vocabularies ('" in refused(recipe, tmp_path)


def test_a_classifier_is_asked_the_same(recipe_tree, tmp_path):
    """Its logits are of classes, but its embeddings are of the tokens that its teacher's tokenizer gives."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    for name, lower in (("big", True), ("small", False)):
        tokenizer = learn_tokenizer([row["text"] for row in quickstart_rows("train")], 300, 32)
        config = BertConfig(vocab_size=len(tokenizer), num_labels=3, **sizes)
        BertForSequenceClassification(config).save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
        change_tokenizer(tmp_path / name, lambda content, lower=lower: content["normalizer"].update(lowercase=lower))
        file = tmp_path / name / "tokenizer_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"do_lower_case": lower}))
    recipe_tree["teacher"]["model"] = str(tmp_path / "big")
    del recipe_tree["teacher"]["scratch"]
    recipe_tree["rounds"] = recipe_tree["rounds"][:1]
    recipe_tree["rounds"][0]["student"] = {"init": "checkpoint", "model": str(tmp_path / "small")}
    sentence = refused(recipe_tree, tmp_path)
    assert f"teacher 'teacher' and student '{tmp_path / 'small'}' have different vocabularies (the text" in sentence


def test_fewer_embeddings_than_tokens_are_refused(recipe, folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(500)
    model.save_pretrained(folder)
    assert f"student.model: '{folder}': the tokenizer has 512 tokens, the model's embeddings 500 rows" in refused(
        recipe, tmp_path
    )


def test_rows_beyond_the_tokens_are_padding(recipe, folder, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(520)
    model.save_pretrained(folder)
    found = edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    assert found.models == ("teacher", "r1")
