"""Words replaced by a masked language model; the rest of the step is read in the run with everything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import quickstart_rows
from transformers import BertConfig, BertForMaskedLM

from edgedistill.errors import UserError
from edgedistill.models.loading import load_tokenizer, save_model
from edgedistill.recipe.augment import AugmentSpec
from edgedistill.steps.augment_text import Replacer

TEXTS = [row["text"] for row in quickstart_rows("train")[:70]]


@pytest.fixture
def masked_lm(teacher_folder, tmp_path):
    torch.manual_seed(0)
    tokenizer = load_tokenizer(teacher_folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=32, type_vocab_size=1, **sizes)
    save_model(BertForMaskedLM(config), tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    return str(tmp_path / "lm")


def test_some_words_are_replaced_by_what_the_model_expects(masked_lm):
    replace = Replacer(AugmentSpec(replace=0.3, masked_lm=masked_lm))
    found = replace(TEXTS, np.random.default_rng(0))
    assert found == replace(TEXTS, np.random.default_rng(0))
    assert not any("[MASK]" in text for text in found)
    before, after = (" ".join(texts).split() for texts in (TEXTS, found))
    changed = sum(a != b for a, b in zip(before, after, strict=False))
    assert changed > 0.15 * len(before)
    assert found != TEXTS


def test_a_model_without_a_language_model_head_is_refused(teacher_folder):
    with pytest.raises(UserError, match="has no trained head for this task"):
        Replacer(AugmentSpec(replace=0.3, masked_lm=str(teacher_folder)))
