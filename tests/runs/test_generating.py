"""Texts are continued by torch models, files and runs, in pieces of whole characters."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from byte_pairs import byte_pairs
from helpers import quickstart_rows, stand_in, write_jsonl
from language_models import TEACHER as FOLDER
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

import edgedistill
from edgedistill.cli.app import app
from edgedistill.contracts.driver import PortNames
from edgedistill.device.files import Component
from edgedistill.errors import UserError
from edgedistill.measuring import lone_file
from edgedistill.measuring.device_model import Opened
from edgedistill.measuring.options import MeasureOptions
from edgedistill.runs import generating

PROMPT = "Once upon a time"
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<say>{% endif %}"
)


def said(place, prompt=PROMPT, **more):
    return "".join(edgedistill.generate(place, prompt, **more))


@pytest.fixture(scope="module")
def greedy():
    """What torch's own `generate` goes on with."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)
    given = tokenizer(PROMPT, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**given, max_new_tokens=24, do_sample=False)[0].tolist()
    return tokenizer.decode(ids, skip_special_tokens=True).removeprefix(PROMPT)


@pytest.fixture
def run(finished_run, tmp_path):
    """A run that says that it is of this task, with the stories' teacher."""
    content = json.loads((finished_run.folder / "results.json").read_text())
    content["data"]["task"] = "text-generation"
    (tmp_path / "results.json").write_text(json.dumps(content))
    shutil.copytree(FOLDER, tmp_path / "models" / "teacher")
    return tmp_path


def test_a_torch_model_goes_on_as_its_library_does(greedy):
    assert said(FOLDER, max_tokens=24) == greedy


def test_a_file_goes_on_as_its_torch_model_does(stories_file, greedy):
    pieces = list(edgedistill.generate(stories_file, PROMPT, max_tokens=24))
    assert "".join(pieces) == greedy
    assert len(pieces) > 12
    drawn = {"max_tokens": 24, "temperature": 0.9, "top_k": 40, "top_p": 0.95, "seed": 5}
    assert said(stories_file, **drawn) == said(FOLDER, **drawn) != greedy


def test_a_seed_gives_its_text_and_another_another():
    first, again, other = (said(FOLDER, max_tokens=16, temperature=1.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_a_runs_torch_model_is_asked_by_name(run, greedy):
    assert said(run, model="teacher", max_tokens=24) == greedy


def test_a_character_of_several_tokens_comes_whole(monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    ids = tokenizer("a 漢é", add_special_tokens=False)["input_ids"]
    monkeypatch.setattr(generating, "_by_torch", lambda *given: iter(ids))
    pieces = list(edgedistill.generate(FOLDER, PROMPT))
    assert "".join(pieces) == " a 漢é"
    assert "漢" in pieces


def test_bytes_that_are_no_character_end_no_text(monkeypatch):
    monkeypatch.setattr(generating, "_by_torch", lambda *given: iter([13, 131, 410]))
    assert said(FOLDER) == "\n\ufffd "


def test_a_text_ends_where_the_models_settings_say(tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    comma, full_stop = (tokenizer.convert_tokens_to_ids(token) for token in (",", "."))
    settings = json.loads((folder / "generation_config.json").read_text())
    for ends, last in (([2, full_stop], "Lily"), (comma, "")):
        (folder / "generation_config.json").write_text(json.dumps(settings | {"eos_token_id": ends}))
        assert said(folder).endswith(last)
        assert "." not in said(folder)


def test_a_chat_is_rendered_up_to_the_reply(tmp_path, monkeypatch):
    folder = shutil.copytree(FOLDER, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Hello"}]
    with pytest.raises(
        UserError, match="tokenizer has no chat template; expected a text to continue instead of a chat"
    ):
        said(folder, messages)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    given = []
    monkeypatch.setattr(generating, "generate", lambda decoder, prompt, *more: given.extend(prompt) or iter(()))
    said(folder, messages)
    assert given == tokenizer("<user>Hello\n<say>", add_special_tokens=False)["input_ids"]


def test_a_prompt_begins_as_the_texts_that_were_learned(monkeypatch):
    given = []
    monkeypatch.setattr(generating, "generate", lambda decoder, prompt, *more: given.append(prompt) or iter(()))
    said(FOLDER)
    said(FOLDER, "")
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert given == [tokenizer(PROMPT)["input_ids"], [tokenizer.bos_token_id]]


def test_a_chat_is_asked_for_on_the_command_line(tmp_path, monkeypatch):
    folder = shutil.copytree(FOLDER, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    given = []
    monkeypatch.setattr(generating, "generate", lambda decoder, prompt, *more: given.append(prompt) or iter(()))
    for words in (["--chat"], []):
        assert CliRunner().invoke(app, ["generate", str(folder), "--prompt", "Hello", *words]).exit_code == 0
    chat, plain = given
    assert chat == tokenizer("<user>Hello\n<say>", add_special_tokens=False)["input_ids"]
    assert plain == tokenizer("Hello")["input_ids"]


@pytest.fixture
def bundle(stories_file, tmp_path, monkeypatch):
    """As much of a bundle with the stories' file as is asked of it here, whose own runtime is not installed."""
    for file in FOLDER.iterdir():
        shutil.copy(file, tmp_path / file.name)
    opened = {"model": Component({None: stories_file}, PortNames((), ("logits",)))}
    told = stand_in(facts=stand_in(task="text-generation", runtime="browser"), opened=opened)
    monkeypatch.setattr(generating, "is_bundle", lambda place: place == tmp_path)
    monkeypatch.setattr(generating, "open_bundle", lambda place: told)
    return tmp_path


def test_a_bundle_is_run_by_its_own_runtime_or_the_one_asked_for(bundle, greedy):
    assert generating.find(bundle, None, None, None, None).runtime == "browser"
    words = ["generate", str(bundle), "--prompt", PROMPT, "--max-tokens", "24", "--runtime", "onnxruntime"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (0, greedy + "\n")


def test_a_runtime_that_does_not_open_a_bundles_file_is_refused(bundle):
    with pytest.raises(UserError, match=r"model.onnx' is not a file that llama-cpp opens \(\.gguf\)"):
        edgedistill.generate(bundle, PROMPT, runtime="llama-cpp")
    with pytest.raises(UserError, match="unknown runtimes 'onxruntime'"):
        edgedistill.generate(bundle, PROMPT, runtime="onxruntime")


@pytest.mark.parametrize("prompt", ["ab\udcff", [{"role": "user", "content": "ab\udcff"}]])
def test_bytes_that_are_no_text_are_no_prompt(prompt, tmp_path):
    folder = shutil.copytree(FOLDER, tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    with pytest.raises(UserError, match="the prompt 'ab.udcff' is not valid Unicode at character 3"):
        said(folder, prompt)


def test_a_prompt_without_tokens_is_the_users_to_change(stories_file, tmp_path):
    PreTrainedTokenizerFast(tokenizer_object=byte_pairs()).save_pretrained(tmp_path)
    with pytest.raises(UserError) as found:
        said(stories_file, "", tokenizer=tmp_path)
    assert str(found.value) == "a prompt has no tokens, expected at least one"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max-tokens", "0"], "greater than or equal to 1"),
        (["--max-tokens", "-5"], "greater than or equal to 1"),
        (["--seed", "-1"], "the seed is -1, expected 0 or more"),
        (["--temperature", "nan"], "the temperature is nan, expected 0 or more"),
        (["--temperature", "-1"], "the temperature is -1.0, expected 0 or more"),
        (["--top-k", "-1"], "top_k is -1, expected 0 (all) or more"),
        (["--top-p", "nan"], "top_p is nan, expected more than 0 and at most 1"),
    ],
)
def test_figures_that_cannot_be_are_one_sentence_and_the_users_to_change(words, sentence):
    done = CliRunner().invoke(app, ["generate", str(FOLDER), "--prompt", PROMPT, *words])
    own = done.exception
    assert sentence in " ".join((str(own) if isinstance(own, UserError) else done.output).split())
    assert (own.exit_code if isinstance(own, UserError) else done.exit_code) == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"candidate": "r9/onnx/fp32/onnxruntime"}, "has no candidate 'r9/onnx/fp32/onnxruntime'; expected one of r1/"),
        ({"model": "r9"}, "has no model 'r9'; expected one of teacher, r1"),
        ({"model": "r1", "candidate": "x"}, "got both --candidate and --model"),
        ({"runtime": "onnxruntime"}, "do not apply to a run, which has its own"),
        ({"max_tokens": 0}, "max_tokens is 0, expected 1 or more"),
        ({"temperature": -1}, "the temperature is -1, expected 0 or more"),
    ],
)
def test_what_a_run_has_not_is_refused(run, more, sentence):
    with pytest.raises(UserError, match=sentence):
        edgedistill.generate(run, PROMPT, **more)


def test_a_run_of_another_task_is_refused(finished_run):
    with pytest.raises(
        UserError, match="'text-classification', which does not generate text; expected text-generation"
    ):
        edgedistill.generate(finished_run.folder, PROMPT)
    with pytest.raises(UserError, match="'text-classification', which does not generate text"):
        edgedistill.generate(finished_run.folder / "bundle", PROMPT)


@pytest.mark.parametrize(
    ("place", "more", "sentence"),
    [
        ("nowhere", {}, "'.*nowhere' is not a file or folder"),
        ("model.txt", {}, "no runtime opens '.*model.txt'"),
        ("model.onnx", {}, "generate: no tokenizer.json beside or above '.*model.onnx'"),
        ("model.onnx", {"runtime": "llama-cpp"}, r"model.onnx' is not a file that llama-cpp opens \(\.gguf\)"),
        ("qwen2.5-0.5b-genai", {}, "generate: no tokenizer.json beside or above '.*qwen2.5-0.5b-genai'"),
        ("qwen2.5-0.5b-genai", {"runtime": "onnxruntime"}, r"is not a file that onnxruntime opens \(\.onnx, \.ort\)"),
        ("model.onnx", {"runtime": "onnxruntime-genai"}, r"is not a file that onnxruntime-genai opens \(a folder\)"),
        ("model.onnx", {"model": "r1"}, "is not a finished run, which --candidate and --model require"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, place, more, sentence):
    for name in ("model.txt", "model.onnx"):
        (tmp_path / name).touch()
    (tmp_path / "qwen2.5-0.5b-genai").mkdir()
    with pytest.raises(UserError, match=sentence):
        edgedistill.generate(tmp_path / place, PROMPT, **more)


def test_a_file_that_is_no_model_is_the_users_to_change(tmp_path):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.onnx").write_text("no model")
    with pytest.raises(UserError, match=r"generate: onnxruntime cannot open '.*model\.onnx': "):
        said(tmp_path / "model.onnx")


def test_more_than_the_model_reads_is_refused(stories_file):
    text = " ".join(row["text"] for row in quickstart_rows("test")[:200])
    for place in (FOLDER, stories_file):
        with pytest.raises(
            UserError, match=r"the prompt has \d+ tokens, and prompt and continuation must fit in the model's 512"
        ):
            said(place, text)
        with pytest.raises(UserError, match="512 tokens after a prompt of 5 .* expected at most 507"):
            said(place, max_tokens=512)


def test_the_command_streams_to_its_output(greedy):
    done = CliRunner().invoke(app, ["generate", str(FOLDER), "--prompt", PROMPT, "--max-tokens", "24"])
    assert (done.exit_code, done.stdout) == (0, greedy + "\n")


def test_a_file_is_not_asked_in_the_tokens_of_another_tokenizer(stories_file, monkeypatch, tmp_path):
    """Here the file says what its own tokenizer gives; `measure` asks the same."""
    monkeypatch.setattr(Opened, "tokens_of", lambda self, texts: [[1] for _ in texts])
    sentence = "'.*model.onnx' contains another tokenizer than '.*' \\(the text 'The quick brown"
    with pytest.raises(UserError, match=f"generate: {sentence}"):
        said(stories_file, tokenizer=FOLDER, runtime="onnxruntime")
    data = write_jsonl(tmp_path / "texts.jsonl", [{"text": "a word"}])
    options = MeasureOptions(task="text-generation", metric="bits_per_byte", tokenizer=FOLDER)
    monkeypatch.setattr(lone_file, "_looked_into", lambda *given: (None, []))  # it has a cache, as no single file may
    with pytest.raises(UserError, match=f"measure: {sentence}"):
        edgedistill.measure(stories_file, data, options)
