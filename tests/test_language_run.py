"""A language model goes from its teacher through a round with a control; its figures are those of a plain loop."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from helpers import write_jsonl, write_recipe
from transformers import AutoModelForCausalLM, AutoTokenizer

import edgedistill
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.recipe.reading import shipped
from edgedistill.tasks._language_judge import JUDGE

FOLDER = shipped()["stories"].parent / "stories"
METRICS = ["bits_per_byte", "perplexity", "next_token_accuracy"]


def texts(split, count, characters):
    lines = (FOLDER / f"{split}.jsonl").read_text().splitlines()[:count]
    return [json.loads(line)["text"][:characters] for line in lines]


@pytest.fixture
def recipe(tmp_path):
    """One round of one layer, on the beginnings of a few stories."""
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        write_jsonl(tmp_path / f"{split}.jsonl", [{"text": text} for text in texts(split, count, 100)])
    stage = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8}
    return {
        "schema": "edgedistill/1",
        "name": "few-stories",
        "task": {"type": "text-generation", "metrics": METRICS},
        "data": {split: {"path": str(tmp_path / f"{split}.jsonl")} for split in ("train", "validation", "test")}
        | {"max_length": 32},
        "teacher": {"model": str(FOLDER / "teacher")},
        "rounds": [
            {
                "id": "r1",
                "student": {"init": "keep_layers", "layers": 1},
                "stages": [
                    stage | {"name": "next-token", "losses": [{"kind": "hard_label"}]},
                    stage | {"name": "soft-targets", "losses": [{"kind": "kl", "temperature": 1.0}]},
                ],
            }
        ],
    }


def by_hand(text):
    """Bits of a text in windows of 32 tokens, each token seen by those before it in its window, and right ones."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "teacher")
    model = AutoModelForCausalLM.from_pretrained(FOLDER / "teacher", dtype=torch.float32)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    bits, right = 0.0, 0
    for start in range(0, ids.shape[1] - 1, 32):
        inputs, following = ids[:, start : start + 32], ids[0, start + 1 : start + 33]
        with torch.no_grad():
            log_p = model(inputs[:, : len(following)]).logits[0].log_softmax(-1)
        bits -= float(log_p[torch.arange(len(following)), following].sum()) / np.log(2)
        right += int((log_p.argmax(-1) == following).sum())
    return bits, len(text.encode()), right, ids.shape[1] - 1


def test_a_round_is_trained_and_judged_by_what_a_plain_loop_finds(recipe, tmp_path):
    found = edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    assert found.models == ("teacher", "r1", "r1-control")
    references, teacher = found.references(), found.said("teacher")
    bits, size, right, count = np.array([by_hand(text) for text in texts("test", 4, 100)]).sum(axis=0)
    scores = {name: JUDGE.metrics[name].score(teacher, references) for name in METRICS}
    assert scores["bits_per_byte"] == pytest.approx(bits / size, rel=1e-5)
    assert scores["perplexity"] == pytest.approx(2 ** (bits / count), rel=1e-5)
    assert scores["next_token_accuracy"] == pytest.approx(right / count)
    epochs = found.training("r1").epochs
    assert [epoch.stage for epoch in epochs] == ["next-token", "soft-targets"]
    assert epochs[1].metric < epochs[0].metric
    student, control = (JUDGE.metrics["bits_per_byte"].score(found.said(name), references) for name in found.models[1:])
    assert scores["bits_per_byte"] < student < 6
    assert control != student


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ m.content }}{{ eos_token if m.role == 'assistant' else '\\n' }}"
    "{% endfor %}"
)
"""Of a chat as a story of which the assistant tells every other part."""


def replies(text, form):
    """(row, its whole text, spans of what is asked there, bytes that count) of a story."""
    words = text.split(" ")
    parts = [" ".join(words[i : i + 12]) for i in range(0, 36, 12)] + [" ".join(words[36:44])]
    if form == "completion":
        prompt, completion = " ".join(parts[:3]), " " + parts[3]
        whole = f"<s>{prompt}{completion}</s>"
        return {"prompt": prompt, "completion": completion}, whole, [(len(prompt) + 3, len(whole))], completion
    chat = [{"role": role, "content": part} for role, part in zip(["user", "assistant"] * 2, parts, strict=True)]
    whole = "<s>{}\n{}</s>{}\n{}</s>".format(*parts)
    spans = [(whole.index(part), whole.index(part) + len(part)) for part in (f"{parts[1]}</s>", f"{parts[3]}</s>")]
    return {"messages": chat}, whole, spans, parts[1] + parts[3]


def asked_by_hand(text, spans, length):
    """(nats of the tokens in these spans, their ids), each read with up to `length` tokens that end with the last."""
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / "teacher")
    model = AutoModelForCausalLM.from_pretrained(FOLDER / "teacher", dtype=torch.float32)
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids, places = torch.tensor(found["input_ids"]), found["offset_mapping"]
    own = [n for n, (a, b) in enumerate(places) if any(first <= a and b <= end for first, end in spans)]
    start = max(0, len(ids) - 1 - length)
    with torch.no_grad():
        log_p = model(ids[None, start:-1]).logits[0].log_softmax(-1)
    return [-float(log_p[n - 1 - start, ids[n]]) for n in own], ids[own].tolist()


@pytest.mark.parametrize(("form", "length"), [("completion", 60), ("messages", 256)])
def test_of_prompts_and_chats_only_the_replies_are_trained_and_judged(recipe, tmp_path, form, length):
    stories = {split: [replies(text, form) for text in texts(split, 4, 400)] for split in ("train", "test")}
    for split, own in (stories | {"validation": stories["test"]}).items():
        write_jsonl(tmp_path / f"{split}.jsonl", [row for row, _, _, _ in own])
    shutil.copytree(FOLDER / "teacher", tmp_path / "teacher")
    (tmp_path / "teacher" / "chat_template.jinja").write_text(TEMPLATE)
    recipe["teacher"]["model"] = str(tmp_path / "teacher")
    names = ["messages"] if form == "messages" else ["prompt", "completion"]
    recipe["data"] |= {"max_length": length, "columns": {name: name for name in names}}
    recipe["control"] = False
    (round_,) = recipe["rounds"]
    round_["student"]["layers"] = 5  # the teacher itself, until its first step
    round_["stages"] = [round_["stages"][0]]
    found = edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    references, teacher = found.references(), found.said("teacher")
    expected = {
        split: [asked_by_hand(text, spans, length) for _, text, spans, _ in own] for split, own in stories.items()
    }
    assert references.values["token"].tolist() == [token for _, ids in expected["test"] for token in ids]
    counted = sum(len(own.encode()) for _, _, _, own in stories["test"])
    assert references.values["next_bytes"].sum() == counted
    bits = sum(sum(nats) for nats, _ in expected["test"]) / np.log(2)
    assert JUDGE.metrics["bits_per_byte"].score(teacher, references) == pytest.approx(bits / counted, rel=1e-5)
    (epoch,) = found.training("r1").epochs  # of one step
    assert epoch.loss == pytest.approx(np.mean([n for nats, _ in expected["train"] for n in nats]), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"data": {"columns": {"text": "a", "messages": "b"}}}, "got columns for 2 row formats, expected one of text"),
        ({"augment": {"copies": 1, "delete": 0.1}}, "has no free text to augment"),
        ({"errors": {"of": "teacher"}}, "the task does not define correct answers"),
    ],
)
def test_what_a_language_model_has_not_is_refused(recipe, tmp_path, change, sentence):
    recipe["data"] |= change.pop("data", {})
    recipe["rounds"][0]["stages"][0] |= change
    with pytest.raises(UserError, match=sentence):
        edgedistill.plan(write_recipe(recipe, tmp_path))


def test_a_teacher_from_nothing_is_refused(recipe, tmp_path):
    architecture = {"layers": 1, "hidden_size": 32, "heads": 2, "intermediate_size": 64}
    recipe["teacher"] = {"scratch": architecture, "fine_tune": {"epochs": 1}}
    with pytest.raises(
        EdgedistillError, match="'text-generation' does not support a teacher trained from scratch; expected 'model'"
    ):
        edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")


def test_a_teacher_that_knows_nothing_of_the_texts_is_refused(recipe, tmp_path):
    reversed_ = [{"text": text[::-1].upper()} for text in texts("validation", 4, 100)]
    recipe["data"]["validation"]["path"] = str(write_jsonl(tmp_path / "reversed.jsonl", reversed_))
    sentence = r"is no better than chance: it has a bits_per_byte of .* on validation, guessing \d\.\d+, .* expected"
    with pytest.raises(EdgedistillError, match=sentence):
        edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")


@pytest.mark.parametrize("loss", [{"kind": "kl", "temperature": 1.0}, {"kind": "mse_logits"}])
def test_a_live_teacher_teaches_what_its_recorded_states_do(recipe, tmp_path, loss):
    (round_,) = recipe["rounds"]
    round_["stages"] = [round_["stages"][1] | {"losses": [loss]}]
    recipe["control"] = False
    found = {}
    for form in ("hidden", "live"):
        recipe["signals"] = {"form": form}
        trained = edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / form)
        (found[form],) = trained.training("r1").epochs
    recorded = [line for line in (tmp_path / "live" / "events.jsonl").read_text().splitlines() if "states-" in line]
    assert not recorded
    assert found["live"].loss == pytest.approx(found["hidden"].loss, rel=1e-3)
    assert found["live"].metric == pytest.approx(found["hidden"].metric, rel=1e-3)


@pytest.mark.parametrize("split", ["unlabeled", "test", "ood"])
def test_texts_in_which_nothing_is_predicted_are_refused_before_anything_is_recorded(recipe, tmp_path, split):
    """A tokenizer without a token that begins texts predicts no single token."""
    folder = shutil.copytree(FOLDER / "teacher", tmp_path / "teacher")
    for name, change in (
        ("tokenizer.json", {"post_processor": None}),
        ("tokenizer_config.json", {"bos_token": None, "eos_token": None, "pad_token": "<unk>"}),
    ):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    recipe["teacher"]["model"] = str(folder)
    source = {"path": str(write_jsonl(tmp_path / "letters.jsonl", [{"text": "a"}, {"text": "I"}]))}
    if split == "ood":
        recipe["evaluate"] = {"ood": {"letters": source}}
    else:
        recipe["data"][split] = source
    if split == "unlabeled":
        recipe["rounds"][0]["stages"][1]["data"] = [split]
    named = "evaluate.ood.letters" if split == "ood" else f"data.{split}"
    sentence = f"{named}: there is nothing to predict in any of its rows, as 'text-generation' encodes them"
    with pytest.raises(EdgedistillError, match=sentence) as caught:
        edgedistill.evaluate(write_recipe(recipe, tmp_path), out=tmp_path / "run")
    assert caught.value.exit_code == 2
    trained = list((tmp_path / "run").glob("steps/[0-9][0-9]-teacher"))
    assert bool(trained) == (split == "ood")  # which are read last
