"""Whether a file reads texts as its model's tokenizer does: by its own tokenizer, or by tokenizer.json alone."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from helpers import stand_in
from transformers import AutoTokenizer

from edgedistill.errors import UserError
from edgedistill.measuring import readers
from edgedistill.recipe.reading import shipped
from edgedistill.vocabulary.probe_texts import probe_texts

TEACHER = shipped()["stories"].parent / "stories" / "teacher"


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "probe_texts", lambda texts: probe_texts(texts, 300))
    folder = shutil.copytree(TEACHER, tmp_path / "tokenizer")
    loaded = AutoTokenizer.from_pretrained(folder)
    return stand_in(tokenizer=folder, load_tokenizer=lambda: loaded)


def by_its_own(data, change=lambda text, ids: ids):
    """A file that holds the same tokenizer, with something changed."""

    def tokens_of(texts):
        ids = data.load_tokenizer()(list(texts), add_special_tokens=False)["input_ids"]
        return [change(text, own) for text, own in zip(texts, ids, strict=True)]

    return stand_in(tokens_of=tokens_of)


def test_a_file_with_the_same_tokenizer_reads_all_alike(data):
    found = readers.texts_read(by_its_own(data), data, ["Once upon a time"])
    assert (found.by, found.texts, found.otherwise, found.shown) == ("its own tokenizer", 556, 0, ())


def test_each_text_that_is_read_otherwise_counts_and_the_shortest_are_shown(data):
    def without_tabs(text, ids):
        return [0] if "\t" in text else ids

    found = readers.texts_read(by_its_own(data, without_tabs), data, ["Once\tupon a time"] * 5)
    assert found.otherwise > 1
    assert found.bytes_otherwise == 1
    assert 1 < found.in_data < found.otherwise  # other probes have tabs that the data has not
    assert found.shown[0] == repr("\t")  # the shortest first
    assert len(found.shown) > 1


def test_texts_of_the_data_are_told_apart_and_shown_first(data):
    given = ["A rather long word: antidisestablishmentarianism, twice: antidisestablishmentarianism."]
    found = readers.texts_read(by_its_own(data, lambda text, ids: [0] if "\0" in text else ids), data, given)
    assert found.otherwise > 1
    assert found.in_data == 0
    found = readers.texts_read(by_its_own(data, lambda text, ids: [0]), data, given)
    assert found.otherwise == found.texts == 556
    assert 100 < found.in_data < 456
    assert len(found.shown[0]) == 3
    assert all(text[1:-1] in given[0] for text in found.shown)


def test_a_file_without_one_is_read_by_the_tokenizer_beside_it_alone(data):
    opened = stand_in(tokens_of=lambda texts: None)
    found = readers.texts_read(opened, data, ["Once upon a time"])
    assert (found.by, found.otherwise) == ("tokenizer.json", 0)
    content = json.loads((data.tokenizer / "tokenizer.json").read_text())
    content["model"]["merges"] = content["model"]["merges"][:50]
    (data.tokenizer / "tokenizer.json").write_text(json.dumps(content))
    assert readers.texts_read(opened, data, ["Once upon a time"]).otherwise > 50


def test_tokens_that_stand_for_something_else_are_no_texts(data):
    special = data.load_tokenizer().eos_token
    asked = []
    opened = stand_in(tokens_of=lambda texts: asked.extend(texts))
    readers.texts_read(opened, data, [f"The end.{special}"])
    assert asked
    assert not any(special in text for text in asked)


def test_a_folders_tokenizer_that_is_not_the_files_is_refused(data):
    """What runtimes differ on, rare characters and spaces, is no other tokenizer."""
    tokenizer, file = data.load_tokenizer(), "generate: 'model.gguf'"

    def without_rare(text, ids):
        return ids if text.isascii() and text.isprintable() else [0]

    for opened in (by_its_own(data, without_rare), stand_in(tokens_of=lambda texts: None)):
        readers.refuse_other_tokenizer(opened, tokenizer, data.tokenizer, file)
    changed = by_its_own(data, lambda text, ids: [*ids, 7] if "https" in text else ids)
    sentence = f"{file} contains another tokenizer than '{data.tokenizer}' (the text '1234567890 12345 1,000,000"
    with pytest.raises(UserError, match=re.escape(sentence)):
        readers.refuse_other_tokenizer(changed, tokenizer, data.tokenizer, file)
