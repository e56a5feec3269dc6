from __future__ import annotations

import shutil

import pytest
from helpers import text_items, tiny_recipe, write_jsonl, write_recipe
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import edgedistill
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.models.loading import load_tokenizer
from edgedistill.models.tokenizer_checks import (
    Coverage,
    check_coverage,
    check_split,
    coverage,
    refuse_more_tokens_than_rows,
)


def words(vocabulary, unknown="[UNK]", **special):
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(vocabulary)}, unk_token=unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token=unknown, **special)


def encoded(tokenizer, *texts):
    return text_items([tokenizer(text)["input_ids"] for text in texts])


def test_unknown_tokens_and_texts_of_which_nothing_is_left_are_counted():
    tokenizer = words(["[PAD]", "[UNK]", "[SEP]", "wake", "me"], pad_token="[PAD]", sep_token="[SEP]")
    found = coverage(encoded(tokenizer, "wake me", "", "wake you up", "[SEP]"), tokenizer)
    assert found == Coverage(texts=4, tokens=5, unknown=2, empty=2, example=2)


def test_a_byte_level_tokenizer_that_calls_its_end_unknown_has_no_unknown_tokens():
    tokenizer = words(["<end>", "wake", "me"], unknown="<end>", eos_token="<end>")
    assert coverage(encoded(tokenizer, "wake me <end>"), tokenizer).unknown == 0


@pytest.mark.parametrize(
    ("unknown", "empty", "warned"),
    [
        (5, 0, ""),
        (6, 0, "data.test: 6.0% of the tokens are unknown"),
        (0, 11, "data.test: 11.0% of the texts are encoded as special tokens only"),
    ],
)
def test_a_share_above_five_percent_is_a_warning(unknown, empty, warned):
    found = check_coverage(Coverage(100, 100, unknown, empty, 7), "data.test")
    assert (found == []) == (not warned)
    assert all(warned in warning and "the first in row 7" in warning for warning in found)


@pytest.mark.parametrize(("unknown", "empty"), [(51, 0), (0, 51)])
def test_more_than_half_is_refused(unknown, empty):
    with pytest.raises(UserError, match=r"data.train: 51.0% of the (tokens|texts) .*expected a tokenizer that covers"):
        check_coverage(Coverage(100, 100, unknown, empty, 1), "data.train")
    check_coverage(Coverage(100, 100, 50, 50, 1), "data.train")


def test_more_tokens_than_rows_are_refused_by_number():
    tokenizer = words(["[UNK]", "wake"])
    refuse_more_tokens_than_rows(tokenizer, 2, "m")
    tokenizer.add_tokens(["<order>"])
    with pytest.raises(UserError, match="m: the tokenizer has 3 tokens, the model's embeddings 2 rows"):
        refuse_more_tokens_than_rows(tokenizer, 2, "m")


def test_an_id_that_only_a_text_gives_is_refused_too():
    beyond = text_items([[1, 9]])
    with pytest.raises(UserError, match="produces the id 9, but the model's embeddings have 2 rows"):
        check_split(beyond, words(["[UNK]", "wake"]), 2, "data.test")


def bare(teacher_folder, folder):
    shutil.copytree(teacher_folder, folder)
    (folder / "tokenizer.json").unlink()
    return folder


@pytest.mark.parametrize("kept", [True, False])
def test_a_folder_without_a_tokenizer_is_refused_by_name(teacher_folder, tmp_path, kept):
    folder = bare(teacher_folder, tmp_path / "bare")
    if not kept:
        (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer files; expected tokenizer.json"):
        load_tokenizer(folder)


def test_the_files_of_another_kind_of_tokenizer_do_not_count(teacher_folder, tmp_path):
    folder = bare(teacher_folder, tmp_path / "bare")
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    with pytest.raises(UserError, match="lacks vocab.txt, which its BertTokenizer needs"):
        load_tokenizer(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nwake\n")
    assert load_tokenizer(folder)("wake")["input_ids"] == [2, 5, 3]


@pytest.fixture
def planned(teacher_folder, data_folder, tmp_path):
    """A recipe whose teacher is a copy that a test changes, and the run's folder."""
    shutil.copytree(teacher_folder, tmp_path / "model")
    tree = tiny_recipe(data_folder)
    tree["teacher"] = {"model": str(tmp_path / "model"), "fine_tune": {"epochs": 1}}
    return tree, tmp_path / "model"


def refused_in_the_data_step(tree, tmp_path, sentence):
    with pytest.raises(EdgedistillError, match=sentence) as caught:
        edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run")
    assert caught.value.exit_code == 2
    assert not any("teacher" in step.name for step in (tmp_path / "run" / "steps").iterdir())


def test_tokens_without_embeddings_stop_the_run_before_any_training(planned, tmp_path):
    tree, folder = planned
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["<order>", "<num>"])
    tokenizer.save_pretrained(folder)
    refused_in_the_data_step(tree, tmp_path, r"the tokenizer has 302 tokens, the model's embeddings 300 rows")


def test_texts_that_the_tokenizer_does_not_know_stop_the_run(planned, tmp_path):
    tree, _ = planned
    texts = [{"text": "поставь будильник", "label": "weather"}, {"text": "включи музыку", "label": "play_music"}]
    tree["data"]["test"]["path"] = str(write_jsonl(tmp_path / "test.jsonl", texts))
    refused_in_the_data_step(tree, tmp_path, r"data.test: 100.0% of the tokens are unknown to the tokenizer")


def test_each_split_records_how_much_the_tokenizer_knows(finished_run):
    for split in ("train", "validation", "test", "unlabeled"):
        further = [] if split == "train" else [split]
        found = finished_run.data(*further).split_facts(split)
        assert found.token_coverage.texts == found.rows
        assert found.token_coverage.unknown < found.token_coverage.tokens * 0.05
