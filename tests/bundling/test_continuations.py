"""Golden continuations of a bundle, and the scripts that continue texts with nothing but its files."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from language_models import PROMPTS, TEACHER, golden_of, write_bundle
from transformers import AutoTokenizer

import edgedistill
from edgedistill.bundling.continuations import CONTINUATIONS, chat_frame, read_continuations
from edgedistill.bundling.layout import write_hashes
from edgedistill.bundling.snippets import client_name
from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import decoder_of
from edgedistill.device.generation import generate, sure_tokens
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
    assert (done.returncode, done.stdout) == (0, "all 3 golden continuations agree\n"), done.stderr


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("said", [5, 6], "golden input 1 ('Lily and Tom') continues differently: "),
        ("ids", [1, 5], "golden input 1 ('Lily and Tom') has other token ids"),
        ("text", "x", "golden input 1 ('Lily and Tom') goes on with another text"),
    ],
)
def test_the_script_notices_what_differs(folder, key, value, words):
    items = json.loads((folder / CONTINUATIONS).read_text())["items"]
    items[1][key] = value
    change(folder, items=items)
    done = run(folder)
    assert done.returncode == 1
    assert words in done.stderr


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


def test_a_text_that_is_too_long_for_the_script_is_refused(folder):
    done = run(folder, "a dog and " * 300)
    assert (done.returncode, done.stdout) == (2, "")
    assert "tokens, expected 1 to 511" in done.stderr


def test_sure_tokens_stop_where_two_are_as_likely(stories_file):
    graph = onnxruntime.open(stories_file, 1, PortNames())
    ids = AutoTokenizer.from_pretrained(TEACHER)(PROMPTS[0])["input_ids"]
    every = list(generate(decoder_of(graph), ids, 20))
    assert sure_tokens(decoder_of(graph), ids, 20, (), 0.0) == every
    some = sure_tokens(decoder_of(graph), ids, 20, (), 1.0)
    assert some == every[: len(some)]
    assert len(some) < 20
    assert sure_tokens(decoder_of(graph), ids, 20, (), 1e9) == []
    assert sure_tokens(decoder_of(graph), ids, 20, {every[3]}, 0.0) == every[:3]


def test_what_is_written_is_read_again(known, tmp_path):
    assert read_continuations(json.loads(known.as_json()), tmp_path, 3) == known


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("schema", "edgedistill/continuations/2", "schema is 'edgedistill/continuations/2', expected"),
        ("opening", [-1], "opening is .* expected a list of token ids"),
        ("ends", [True], "ends is .* expected a list of token ids"),
        ("longest", 0, "longest is 0, expected a whole number"),
        ("chat", ["a"], "chat is .* expected a pair of texts, or null"),
        ("more", 1, "has 'more', which this version of edgedistill does not know"),
        ("longest", 8, "item 0: ids is .* with those said at most 8"),
    ],
)
def test_what_is_no_such_file_is_refused(known, tmp_path, key, value, words):
    content = json.loads(known.as_json()) | {key: value}
    with pytest.raises(UserError, match=words):
        read_continuations(content, tmp_path, 3)


def test_an_input_that_is_not_there_is_refused(known, tmp_path):
    with pytest.raises(UserError, match="item 2: item is 2, expected a whole number from 0 to 1"):
        read_continuations(json.loads(known.as_json()), tmp_path, 2)


def test_what_stands_before_every_text_is_put_there_once(known):
    assert known.tokens([1, 5]) == known.tokens([5]) == (1, 5)


def test_a_template_is_framed_where_it_writes_the_same_around_every_message():
    assert chat_frame(lambda text: f"<u>{text}<s>") == ("<u>", "<s>")
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
