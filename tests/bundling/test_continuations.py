"""Golden continuations of a bundle, and the scripts that continue texts with nothing but its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from language_models import PROMPTS, TEACHER, golden_of, write_bundle
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

import edgedistill
from edgedistill.bundling.continuations import (
    CONTINUATIONS,
    beginnings,
    chat_frame,
    least_agreeing,
    read_continuations,
)
from edgedistill.bundling.golden import Golden
from edgedistill.bundling.layout import write_hashes
from edgedistill.bundling.snippets import client_name
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.items import Column, Items
from edgedistill.device.decoding import decoder_of
from edgedistill.device.generation import generate, greedy_with_leads, likeliest_tokens
from edgedistill.errors import UserError
from edgedistill.runtimes import onnxruntime


@pytest.fixture(scope="module")
def known(stories_file):
    return golden_of(stories_file)


@pytest.fixture
def folder(stories_file, known, tmp_path):
    return write_bundle(stories_file, known, tmp_path / "bundle")


def run(folder, *words):
    """With numpy, tokenizers and onnxruntime alone."""
    block = folder.parent / "block"
    block.mkdir(exist_ok=True)
    for name in ("torch", "transformers", "edgedistill", "jinja2"):
        (block / f"{name}.py").write_text(f"raise ImportError('{name} is not here')")
    environment = {**os.environ, "PYTHONPATH": str(block)}
    command = [sys.executable, "-P", str(folder / "examples" / "run.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def change(folder, **values):
    content = json.loads((folder / CONTINUATIONS).read_text()) | values
    (folder / CONTINUATIONS).write_text(json.dumps(content))
    write_hashes(folder)
    return content


def test_the_script_agrees_with_what_is_golden(folder):
    done = run(folder)
    assert (done.returncode, done.stdout) == (0, "all 3 golden continuations agree: 60 of 60 tokens\n"), done.stderr


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("said", [5, 6], "golden input 1 ('Lily and Tom') continues differently at token 0"),
        ("ids", [1, 5], "golden input 1 ('Lily and Tom') has other token ids"),
        ("text", "x", "golden input 1 ('Lily and Tom') goes on with another text"),
    ],
)
def test_the_script_notices_what_differs(folder, key, value, words):
    items = json.loads((folder / CONTINUATIONS).read_text())["items"]
    items[1][key] = value
    if key == "said":
        items[1]["text"] = AutoTokenizer.from_pretrained(TEACHER).decode(value)
    change(folder, items=items)
    done = run(folder)
    assert done.returncode == 1
    assert words in done.stderr


def test_the_script_forgives_other_tokens_only_where_they_are_unsure_and_few(folder):
    content = json.loads((folder / CONTINUATIONS).read_text())
    (item,) = items = content["items"][:1]
    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    item["said"][-1] = 5  # nothing follows
    item["text"] = tokenizer.decode([*item["ids"], *item["said"]], skip_special_tokens=True).removeprefix(
        item["prompt"]
    )
    change(folder, items=items, least=19)
    assert "continues differently at token 19\n" in run(folder).stderr
    item["unsure"] = [19]
    change(folder, items=items, least=19)
    done = run(folder)
    assert done.stdout == "all 1 golden continuations agree: 19 of 20 tokens\n", done.stderr
    change(folder, items=items, least=20)
    done = run(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "only 19 of 20 golden tokens are the most likely in their places, expected at least 20\n"


def test_the_script_reads_a_chat_without_what_precedes_texts(folder):
    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    content = json.loads((folder / CONTINUATIONS).read_text())
    item = content["items"][0]
    item |= {"special": False, "ids": tokenizer.encode(item["prompt"], add_special_tokens=False)}
    item |= {"unsure": list(range(len(item["said"])))}
    change(folder, items=[item], least=1)
    assert "other token ids" not in run(folder).stderr
    change(folder, items=[item | {"special": True}], least=1)
    assert "has other token ids" in run(folder).stderr


def test_what_a_tokenizer_adds_after_a_text_is_not_continued(folder):
    file = folder / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.post_processor = TemplateProcessing("<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    file.unlink()
    tokenizer.save(str(file))
    change(folder)
    done = run(folder)
    assert done.returncode == 0, done.stderr
    change(folder, closing=None)
    assert "has other token ids" in run(folder).stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("a", "--seed", "-1"), "argument --seed: got -1, expected at least 0"),
        (("a", "--temperature", "nan"), "argument --temperature: got nan, expected at least 0"),
        (("a", "--temperature", "-1"), "argument --temperature: got -1, expected at least 0"),
        (("a", "--max-tokens", "0"), "argument --max-tokens: got 0, expected at least 1"),
        (("\udcff",), "the text is not valid UTF-8"),
    ],
)
def test_options_that_mean_nothing_are_refused_by_the_script(folder, words, expected):
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_the_script_opens_nothing_that_has_changed(folder):
    with (folder / "tokenizer.json").open("a") as file:
        file.write(" ")
    done = run(folder)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "'tokenizer.json' is missing or has changed" in done.stderr


def test_the_script_says_what_edgedistill_says(folder, stories_file):
    expected = "".join(edgedistill.generate(stories_file, PROMPTS[0], max_tokens=12, temperature=2.0, seed=7))
    done = run(folder, PROMPTS[0], "--max-tokens", "12", "--temperature", "2.0", "--seed", "7")
    assert done.stdout == expected + "\n", done.stderr
    greedy = run(folder, PROMPTS[0], "--max-tokens", "12").stdout
    assert greedy == "".join(edgedistill.generate(stories_file, PROMPTS[0], max_tokens=12)) + "\n" != done.stdout


def test_the_script_answers_a_chat_as_it_is_framed(folder, stories_file):
    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    ids = tokenizer("<user>Hi\n<say>", add_special_tokens=False)["input_ids"]
    said = list(generate(decoder_of(onnxruntime.open(stories_file, 1, PortNames())), ids, 8, {2}))
    whole = tokenizer.decode([*ids, *said], skip_special_tokens=True)
    done = run(folder, "Hi", "--chat", "--max-tokens", "8")
    assert done.stdout == whole.removeprefix(tokenizer.decode(ids, skip_special_tokens=True)) + "\n", done.stderr


def test_an_onnx_file_chosen_for_another_runtime_has_the_same_script(stories_file, known, folder, tmp_path):
    other = write_bundle(stories_file, known, tmp_path / "other", runtime="browser")
    own, script = (place / "examples" / "run.py" for place in (folder, other))
    assert script.read_text() == own.read_text().replace("fp32/onnxruntime", "fp32/browser")


def test_a_file_that_onnx_runtime_does_not_open_is_continued_through_edgedistill(stories_file, known, folder, tmp_path):
    other = write_bundle(stories_file, known, tmp_path / "other", runtime="its-own", name="model.bin")
    words = (PROMPTS[0], "--max-tokens", "12", "--temperature", "2.0", "--seed", "7")
    expected = run(folder, *words).stdout
    for name in ("edgedistill", "jinja2"):
        (tmp_path / "block" / f"{name}.py").unlink()
    command = [sys.executable, "-P", str(other / "examples" / "run.py")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "block"), *sys.path])}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.stdout == "all 3 golden continuations agree: 60 of 60 tokens\n", done.stderr
    assert subprocess.run([*command, *words], capture_output=True, text=True, env=environment).stdout == expected


def test_a_text_that_is_too_long_for_the_script_is_refused(folder):
    done = run(folder, "a dog and " * 300)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tokens, expected 1 to 511" in done.stderr


def test_the_leads_of_a_greedy_continuation(stories_file):
    graph = onnxruntime.open(stories_file, 1, PortNames())
    ids = AutoTokenizer.from_pretrained(TEACHER)(PROMPTS[0])["input_ids"]
    every = list(generate(decoder_of(graph), ids, 20))
    found = list(greedy_with_leads(decoder_of(graph), ids, 20, ()))
    assert [token for token, _ in found] == every
    logits = decoder_of(graph).advance(np.array([[*ids, *every[:-1]]]))[0, len(ids) - 1 :]
    two = np.sort(logits, axis=1)[:, -2:]
    np.testing.assert_allclose([lead for _, lead in found], two[:, 1] - two[:, 0], atol=1e-3)
    assert [token for token, _ in greedy_with_leads(decoder_of(graph), ids, 20, {every[3]})] == every[:3]


def test_the_likeliest_tokens_follow_the_given_ones_and_not_themselves(stories_file):
    graph = onnxruntime.open(stories_file, 1, PortNames())
    ids = AutoTokenizer.from_pretrained(TEACHER)(PROMPTS[0])["input_ids"]
    given = [300, 400, 310, 200]
    expected = decoder_of(graph).advance(np.array([[*ids, *given[:-1]]]))[0, len(ids) - 1 :].argmax(axis=1).tolist()
    assert list(likeliest_tokens(decoder_of(graph), ids, given)) == expected
    assert list(likeliest_tokens(decoder_of(graph), ids, [])) == []


def test_a_right_file_agrees_on_at_least_so_many_tokens_but_once_in_10000_times():
    assert least_agreeing(0, 0.9) == 0
    assert least_agreeing(256, 1.0) == 250
    assert least_agreeing(256, 0.8337) == 190
    drawn = np.random.default_rng(0).binomial(256, 0.8337, 1_000_000)
    assert 0.2e-4 < (drawn < 190).mean() < 1e-4


def test_what_is_written_is_read_again(known, tmp_path):
    assert read_continuations(json.loads(known.as_json()), tmp_path, 3) == known


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", "edgedistill/continuations/1", "schema is 'edgedistill/continuations/1', expected"),
        ("opening", [-1], "opening is .* expected a list of token ids"),
        ("ends", [True], "ends is .* expected a list of token ids"),
        ("longest", 0, "longest is 0, expected a whole number"),
        ("chat", ["a"], "chat is .* expected a pair of texts, or null"),
        ("more", 1, "has 'more', which this version of edgedistill does not know"),
        ("longest", 8, "item 0: ids is .* with those said at most 8"),
        ("least", 0, "least is 0, expected 1 to 60, the number of tokens said"),
        ("least", 61, "least is 61, expected 1 to 60"),
    ],
)
def test_what_is_no_such_file_is_refused(known, tmp_path, key, value, words):
    content = json.loads(known.as_json()) | {key: value}
    with pytest.raises(UserError, match=words):
        read_continuations(content, tmp_path, 3)


def test_an_input_that_is_not_there_is_refused(known, tmp_path):
    with pytest.raises(UserError, match="item 2: item is 2, expected a whole number from 0 to 1"):
        read_continuations(json.loads(known.as_json()), tmp_path, 2)


@pytest.mark.parametrize("places", [[20], [3, 2], [2, 2]])
def test_unsure_places_are_among_the_tokens_and_ascend(known, tmp_path, places):
    content = json.loads(known.as_json())
    content["items"][2]["unsure"] = places
    with pytest.raises(UserError, match="item 2: unsure is .* expected ascending places below 20"):
        read_continuations(content, tmp_path, 3)


def test_what_stands_before_every_text_is_put_there_once_and_what_follows_is_left_out(known):
    item = known.items[0]
    for ids in ([1, 5], [5], [5, 2], [1, 5, 2]):
        assert known.tokens(lambda text, special, ids=ids: ids, item) == (1, 5)
    bare = replace(item, special=False)
    assert known.tokens(lambda text, special: [5, 2], bare) == (5, 2)


def test_the_beginning_of_a_chat_is_read_as_it_is():
    """Without a beginning-of-text token, texts follow an end-of-text token and chats do not."""
    tokenizer = AutoTokenizer.from_pretrained(TEACHER)
    tokenizer.bos_token = None
    plain = tokenizer.encode("Lily and Tom went home and then to bed.", add_special_tokens=False)
    content = {"input_ids": [plain, [2, *plain]], "attention_mask": [[1] * len(plain), [1] * (len(plain) + 1)]}
    columns = {name: Column("input", "sequence", tokens=name == "input_ids") for name in content}
    items = Items.of(columns, content, [0, 1], "input_ids")
    golden = Golden(items, Answers({}, np.arange(2), np.arange(2)), (), 1e-3, "")

    def prompt(tokenizer, text):
        return [2, *tokenizer.encode(text, add_special_tokens=False)]

    chat, text = beginnings(golden, tokenizer, prompt)
    assert (chat.special, list(chat.ids)) == (False, plain[: len(chat.ids)])
    assert (text.special, list(text.ids)) == (True, [2, *plain][: len(text.ids)])
    assert text.prompt == tokenizer.decode(text.ids[1:])


def test_a_template_is_framed_where_it_writes_the_same_around_every_message():
    assert chat_frame(lambda text: f"<u>{text}<s>") == ("<u>", "<s>")
    assert chat_frame(lambda text: f"made by Alibaba, xyz <u>{text}<s>") == ("made by Alibaba, xyz <u>", "<s>")
    assert chat_frame(lambda text: f"{len(text)} {text}") is None
    assert chat_frame(lambda text: text.upper()) is None


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("onnx/model.onnx", ("model", "fp32")),
        ("onnx/model_quantized.onnx", ("model", "q8")),
        ("onnx/model_int4.onnx", ("model_int4", "fp32")),
        ("gguf/model-F32.gguf", None),
        ("other/model.onnx", None),
    ],
)
def test_the_name_by_which_a_page_finds_a_file(file, name):
    assert client_name(file) == name
