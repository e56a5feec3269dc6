"""Beginnings of texts, how models continue them, and what a person reads of that."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgedistill.contracts import registry
from edgedistill.contracts.task import Encoder
from edgedistill.device.generation import generate
from edgedistill.recipe.reading import shipped
from edgedistill.tasks import _language_samples as samples
from edgedistill.tasks._language_torch import TorchDecoder

TEACHER = shipped()["stories"].parent / "stories" / "teacher"


@cache
def plain():
    return AutoTokenizer.from_pretrained(TEACHER)


@pytest.fixture(scope="module")
def tokenizer():
    return plain()


def encoder(tokenizer, length=64, **columns):
    spec = registry.task_as("text-generation", "perplexity", {})
    return Encoder(columns or {"text": "text"}, tokenizer, {}, length, spec)


def test_a_text_begins_with_whole_words(tokenizer):
    text = "Once upon a time, there was a little girl named Lily. " * 4
    found = samples.beginnings({"text": [text, "A dog ran home."]}, encoder(tokenizer))
    assert found.texts[1] == "A dog"
    assert text.startswith(found.texts[0])
    assert 60 < len(found.texts[0]) <= 80
    assert text[len(found.texts[0])] == " "


@given(st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from("ab \n\t")), min_size=1, max_size=200))
@example(" a")
@example("\n\nab")
@example(" " * 80 + "a")
@example("   word and more")
def test_every_text_has_a_beginning(text):
    (found,) = samples.beginnings({"text": [text]}, encoder(plain())).texts
    assert 0 < len(found) <= 80
    assert text.startswith(found)
    if re.search(r"\S\s", text[: min(80, len(text) // 2)]):
        assert text[len(found)].isspace()  # whole words


def test_its_tokens_begin_as_those_that_were_learned_and_leave_room(tokenizer):
    text = "Once upon a time, there was a little girl named Lily. " * 4
    found = samples.beginnings({"text": [text]}, encoder(tokenizer, 20))
    (tokens,) = map(list, found.tokens)
    assert tokens[0] == tokenizer.bos_token_id
    assert (len(tokens), found.count) == (10, 10)  # the beginning is cut at its front
    whole = tokenizer(found.texts[0], add_special_tokens=False)["input_ids"]
    assert tokens[1:] == whole[-9:]


def test_a_prompt_is_asked_as_it_is(tokenizer):
    rows = {"prompt": ["Tell me a story. "], "completion": ["Once upon a time"]}
    found = samples.beginnings(rows, encoder(tokenizer, prompt="prompt", completion="completion"))
    assert found.texts == ("Tell me a story. ",)


def test_a_chat_is_asked_for_its_last_answer(tokenizer):
    own = AutoTokenizer.from_pretrained(TEACHER)
    own.chat_template = (
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "Who?"), ("assistant", "Me")]
    rows = {"messages": [[{"role": role, "content": content} for role, content in turns]]}
    found = samples.beginnings(rows, encoder(own, messages="messages"))
    assert found.texts == ("<user>Hi\n<assistant>Hello\n<user>Who?\n<assistant>",)


def test_a_model_goes_on_with_the_likeliest_tokens(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(TEACHER, dtype=torch.float32).eval()
    asked = samples.beginnings({"text": ["Once upon a time, there was a cat.", "The dog was big."]}, encoder(tokenizer))
    decoder = TorchDecoder(model)
    for tokens in asked.tokens:
        own = list(generate(decoder, tokens, 5))
        assert len(own) == 5
        with torch.no_grad():
            logits = model(torch.tensor([[*tokens, *own]])).logits[0]
        np.testing.assert_array_equal(logits[len(tokens) - 1 : -1].argmax(-1).numpy(), own)


def test_what_is_read_goes_on_from_the_beginning_and_ends_where_the_text_ends(tokenizer):
    before = tokenizer("Once upon a", add_special_tokens=False)["input_ids"]
    said = tokenizer("Once upon a time there was", add_special_tokens=False)["input_ids"][len(before) :]
    assert samples.text(before, said, tokenizer) == " time there was"
    assert samples.text(before, [*said, tokenizer.eos_token_id, *said], tokenizer) == " time there was"
