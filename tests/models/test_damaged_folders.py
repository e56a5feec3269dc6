"""A model's folder that is damaged or hostile is refused in one sentence, or loads as what it says."""

from __future__ import annotations

import random
import shutil

import pytest
import torch
from helpers import quickstart_rows, text_items
from model_mutations import mutate
from transformers import AutoModelForSequenceClassification

from edgedistill.errors import UserError
from edgedistill.models.loading import embedding_rows, load_model, load_tokenizer
from edgedistill.models.tokenizer_checks import check_split, refuse_more_tokens_than_rows

AUTO = AutoModelForSequenceClassification
TEXTS = [row["text"] for row in quickstart_rows("test")[:8]]
SEEDS = 60


def opened(folder):
    """The logits of a few texts, by all that a data step and a teacher that is used as it is go through."""
    tokenizer = load_tokenizer(folder)
    rows = embedding_rows(AUTO, folder, None)
    refuse_more_tokens_than_rows(tokenizer, rows, f"model '{folder}'")
    check_split(text_items(tokenizer(TEXTS)["input_ids"]), tokenizer, rows, f"model '{folder}'")
    model = load_model(AUTO, folder, None, head_required=True)
    with torch.inference_mode():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def refusal(folder):
    """What is said of a folder that is refused; None where it opens. Whatever else is raised fails the test."""
    try:
        opened(folder)
    except UserError as error:
        return str(error)
    return None


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Code that runs would leave a file in the working folder; a question on stdin would end the test."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def asked(*_):
        raise AssertionError("a question was asked")

    monkeypatch.setattr("builtins.input", asked)
    return tmp_path / "here" / "CANARY"


def test_the_folder_itself_opens(teacher_folder):
    assert torch.isfinite(opened(teacher_folder)).all()


@pytest.mark.parametrize("block", range(0, SEEDS, 20))
def test_mutated_folders_are_refused_in_one_sentence_or_load(block, teacher_folder, tmp_path, canary):
    for seed in range(block, block + 20):
        folder = tmp_path / f"model-{seed}"
        shutil.copytree(teacher_folder, folder)
        done = mutate(folder, random.Random(seed))
        said = refusal(folder)
        if said is None:
            assert not done.only_refused, (seed, done, "was loaded")
            continue
        assert str(folder) in said, (seed, done, said)
        assert "\n" not in said, (seed, done, said)
        assert len(said) < 1000, (seed, done, said)
    assert not canary.exists()
