"""Texts are continued by torch models, files and runs, in pieces of whole characters."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from helpers import quickstart_rows
from language_models import TEACHER as FOLDER
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

import edgedistill
from edgedistill.cli.app import app
from edgedistill.errors import UserError
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
