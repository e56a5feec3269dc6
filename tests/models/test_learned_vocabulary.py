from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from helpers import quickstart_rows
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.models.learned_vocabulary import SPECIAL, learn, learn_tokenizer

SCRIPT = """
import hashlib, sys, tempfile, pathlib
sys.path.insert(0, "tests")
from helpers import quickstart_rows
from edgedistill.models.learned_vocabulary import learn_tokenizer
with tempfile.TemporaryDirectory() as folder:
    learn_tokenizer([row["text"] for row in quickstart_rows("train")], 2000, 64).save_pretrained(folder)
    print(hashlib.sha256((pathlib.Path(folder) / "tokenizer.json").read_bytes()).hexdigest())
"""


def test_every_process_writes_the_same_tokenizer(tmp_path):
    learn_tokenizer([row["text"] for row in quickstart_rows("train")], 2000, 64).save_pretrained(tmp_path)
    here = hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    for seed, threads in (("0", "1"), ("1", "2"), ("random", "4")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "RAYON_NUM_THREADS": threads}
        command = [sys.executable, "-c", SCRIPT]
        found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert found.stdout.strip() == here


@given(st.dictionaries(st.text("abcé", min_size=1, max_size=6), st.integers(1, 5), max_size=12), st.randoms())
def test_the_order_of_the_words_changes_nothing(words, random):
    shuffled = list(words.items())
    random.shuffle(shuffled)
    assert learn(dict(shuffled), 60) == learn(words, 60)


def test_the_most_frequent_pair_is_merged_first_and_ties_go_by_the_alphabet():
    tokens = learn({"ab": 3, "cd": 2, "ef": 2, "gh": 1}, 100)
    assert tokens[: len(SPECIAL)] == list(SPECIAL)
    assert [token for token in tokens if len(token.removeprefix("##")) == 2] == ["ab", "cd", "ef"]


def test_pairs_are_counted_anew_after_every_merge():
    # ##ow and lo occur 7 times each, and # is before l; then low 7 times, and ##er and lowe twice
    assert learn({"low": 5, "lower": 2}, 100)[-4:] == ["##ow", "low", "##er", "lower"]


def test_a_repeated_pair_in_a_word_is_merged_from_the_left():
    assert learn({"aaaa": 2}, 100)[-3:] == ["##aa", "##aaa", "aaaa"]


def test_the_size_is_kept_and_rare_pairs_are_not_merged():
    words = {"abcdef": 5, "abcxyz": 4}
    assert len(learn(words, 25)) == 25
    assert not any(len(token.removeprefix("##")) > 1 for token in learn({"abc": 1}, 100)[len(SPECIAL) :])


def test_only_frequent_characters_are_tokens():
    words = {chr(0x4E00 + i): 2 for i in range(1500)} | {"ab": 9}
    tokens = learn(words, 5000)
    assert len([token for token in tokens if len(token) == 1]) == 1000
    assert "ab" in tokens


def test_texts_are_read_in_lower_case_and_whole():
    tokenizer = learn_tokenizer(["Play some jazz", "play it again"] * 3, 200, 32)
    assert tokenizer.tokenize("PLAY jazz") == ["play", "jazz"]
    assert tokenizer.unk_token_id not in tokenizer("play it again")["input_ids"]
    assert tokenizer.model_max_length == 32
