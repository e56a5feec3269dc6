"""Lengths in tokens without a model."""

from __future__ import annotations

import pytest
from helpers import write_jsonl

from edgedistill.data.token_lengths import token_lengths
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.recipe.data_spec import DataSource

TEXTS = ["wake me at six", "play", "what is the weather like in the north of the country today"]


@pytest.fixture
def tokenizer(tmp_path):
    own = learn_tokenizer(TEXTS, 200, 64)
    own.save_pretrained(str(tmp_path))
    return own


def test_as_the_tokenizer_itself_counts(tokenizer, tmp_path):
    file = write_jsonl(tmp_path / "test.jsonl", [{"text": text} for text in TEXTS])
    source = DataSource(path=str(file))
    expected = [len(tokenizer(text)["input_ids"]) for text in TEXTS]
    assert token_lengths(source, ["text"], tmp_path / "tokenizer.json", 64) == expected
    assert token_lengths(source, ["text"], tmp_path / "tokenizer.json", 5) == [min(5, length) for length in expected]


def test_both_texts_of_a_pair(tokenizer, tmp_path):
    file = write_jsonl(tmp_path / "test.jsonl", [{"a": TEXTS[0], "b": TEXTS[1]}, {"a": "one text"}])
    expected = [len(tokenizer(TEXTS[0], TEXTS[1])["input_ids"])]
    assert token_lengths(DataSource(path=str(file)), ["a", "b"], tmp_path / "tokenizer.json", 64) == expected


def test_no_more_than_two_thousand_rows(tokenizer, tmp_path):
    file = write_jsonl(tmp_path / "test.jsonl", [{"text": "play"}] * 2500)
    found = token_lengths(DataSource(path=str(file)), ["text"], tmp_path / "tokenizer.json", 64)
    assert found is not None
    assert len(found) == 2000


@pytest.mark.parametrize(
    "source",
    [
        DataSource(hub="someone/data"),
        DataSource(path="/nowhere/test.jsonl"),
        DataSource(path="test.jsonl", split="train[:10%]"),
        DataSource(path="test.parquet"),
    ],
)
def test_data_that_cannot_be_read_at_once_has_no_lengths(source, tokenizer, tmp_path):
    assert token_lengths(source, ["text"], tmp_path / "tokenizer.json", 64) is None


def test_a_tokenizer_that_cannot_be_read_gives_none(tmp_path):
    source = DataSource(path=str(write_jsonl(tmp_path / "test.jsonl", [{"text": "play"}])))
    assert token_lengths(source, ["text"], tmp_path / "missing.json", 64) is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert token_lengths(source, ["text"], tmp_path / "tokenizer.json", 64) is None
