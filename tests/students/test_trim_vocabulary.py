"""A trimmed student: its body is the source's, and so are its answers on the text that it was trimmed for."""

from __future__ import annotations

import pytest
import torch
from helpers import quickstart_rows, text_items
from transformers import AutoModelForSequenceClassification

from edgedistill.contracts.items import Items
from edgedistill.contracts.student import StudentRequest
from edgedistill.models.loading import load_model, load_tokenizer
from edgedistill.students import trim_vocabulary

TEXTS = [row["text"] for row in quickstart_rows("train")[:40]]


def tokens_of(tokenizer, texts: list[str]) -> Items:
    return text_items(tokenizer(texts)["input_ids"])


@pytest.fixture
def trimmed(teacher_folder, tmp_path):
    def make(coverage: float, characters: str = "all"):
        spec = trim_vocabulary.TrimVocabularySpec(init="trim_vocabulary", coverage=coverage, characters=characters)
        source = load_tokenizer(teacher_folder)
        kept = trim_vocabulary.make_tokenizer(
            spec, teacher_folder, tokens_of(source, TEXTS).token_ids, tmp_path / "own"
        )
        tokenizer = load_tokenizer(tmp_path / "own")
        request = StudentRequest(
            spec=spec,
            source=teacher_folder,
            auto_class=AutoModelForSequenceClassification,
            config_overrides={},
            tokenizer=tokenizer,
            probe=[],
            kept_tokens=kept,
        )
        return trim_vocabulary.build(request).eval(), tokenizer, kept

    return make


def logits(model, tokenizer, text: str) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=32)).logits


def test_covered_text_gets_exactly_the_same_answer(trimmed, teacher_folder):
    student, tokenizer, kept = trimmed(1.0)
    source = load_model(AutoModelForSequenceClassification, teacher_folder, None)
    whole = load_tokenizer(teacher_folder)
    assert len(tokenizer) == len(kept) == student.config.vocab_size < source.config.vocab_size
    for text in TEXTS:
        assert tokenizer.tokenize(text) == whole.tokenize(text)
        own, given = logits(student, tokenizer, text), logits(source, whole, text)
        torch.testing.assert_close(own, given, rtol=0, atol=1e-6)  # where weights lie in memory moves the last bit
    own, given = student.get_input_embeddings().weight, source.get_input_embeddings().weight
    assert torch.equal(own, given[kept])


def test_special_tokens_are_renumbered_everywhere(trimmed):
    student, tokenizer, _ = trimmed(1.0)
    assert student.config.pad_token_id == tokenizer.pad_token_id
    ids = tokenizer("hello")["input_ids"]
    assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert max(ids) < student.config.vocab_size


def test_less_coverage_keeps_fewer_tokens(trimmed, tmp_path):
    import shutil

    _, _, all_kept = trimmed(1.0)
    shutil.rmtree(tmp_path / "own")
    _, _, kept = trimmed(0.5)
    assert set(kept) < set(all_kept)


def test_characters_that_no_text_has_go_if_asked(trimmed, tmp_path):
    import shutil

    _, every, _ = trimmed(1.0)
    singles = {token for token in every.get_vocab() if len(token.removeprefix("##")) == 1}
    shutil.rmtree(tmp_path / "own")
    _, fewer, _ = trimmed(1.0, "texts")
    kept = {token for token in fewer.get_vocab() if len(token.removeprefix("##")) == 1}
    in_texts = set("".join(TEXTS).lower())
    assert kept < singles
    assert {token.removeprefix("##") for token in kept} <= in_texts
    for text in TEXTS:
        assert fewer.tokenize(text) == every.tokenize(text)
