"""What a text is for a language model: every token is decided once, every byte counts once."""

from __future__ import annotations

import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.contracts.task import Encoder
from edgedistill.errors import UserError
from edgedistill.recipe.reading import shipped
from edgedistill.tasks import _language_data as data
from edgedistill.tasks._language_items import BYTES, NEXT, NONE, TOKENS, references

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PHI_3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
MARKS = ["<|im_start|>", "<|im_end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]


@cache
def stories():
    """A byte-fallback tokenizer that begins every text with <s>."""
    return AutoTokenizer.from_pretrained(shipped()["stories"].parent / "stories" / "teacher")


@cache
def bytelevel(**special):
    """A tokenizer of bytes, as GPT-2's without a merge; it begins no text by itself."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **(special or {"eos_token": "<end>"}))
    made.add_special_tokens({"additional_special_tokens": MARKS})
    return made


@cache
def neox():
    """GPT-NeoX's kind: tokens of spaces, and offsets that leave them out."""
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠĠ", "ĠĠĠĠ"]
    merges = [("Ġ", "Ġ"), ("ĠĠ", "ĠĠ")]
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(alphabet)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    tokenizer.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    made.add_special_tokens({"additional_special_tokens": MARKS})
    return made


def encoded(rows, tokenizer, length=8, **named):
    columns = named or {key: key for key in rows}
    return data.encode(
        rows, Encoder(columns, tokenizer, {}, length, registry.task_as("text-generation", "perplexity", {}))
    )


def asked(items, tokenizer):
    return tokenizer.decode(references(items).values["token"].tolist())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.text(min_size=1, max_size=40), st.text("a \n", min_size=1)), min_size=1, max_size=4),
    st.integers(4, 12),
    st.sampled_from([stories, bytelevel, neox]),
)
def test_every_token_is_decided_once_and_every_byte_counts_once(texts, length, kind):
    tokenizer, fallback = kind(), kind is stories
    items = encoded({"text": texts}, tokenizer, length)
    right = references(items)
    assert items.lengths.max() <= length
    for number, text in enumerate(texts):
        own = right.example == number
        ids = tokenizer(text)["input_ids"]
        assert right.values["token"][own].tolist() == (ids[1:] if fallback else ids)
        assert right.values[BYTES][own].sum() == len(text.encode())
        assert (right.values[BYTES][own] >= 0).all()


def test_a_window_goes_on_where_the_one_before_ended():
    items = encoded({"text": ["Once upon a time there was a dog"]}, stories(), 4)
    ids = stories()("Once upon a time there was a dog")["input_ids"]
    assert len(items) > 2
    assert items.values[TOKENS].tolist() == ids[:-1]
    assert items.values[NEXT].tolist() == ids[1:]
    first_of_second = items.values[TOKENS][items.offsets[TOKENS][1]]
    assert items.values[NEXT][items.offsets[TOKENS][1] - 1] == first_of_second


def test_a_text_begins_with_the_token_that_begins_or_ends_one():
    end = bytelevel().eos_token_id
    assert encoded({"text": ["ab"]}, bytelevel()).values[TOKENS][0] == end
    both = bytelevel(bos_token="<begin>", eos_token="<end>")
    assert encoded({"text": ["ab"]}, both).values[TOKENS][0] == both.bos_token_id
    neither = encoded({"text": ["ab", "a"]}, bytelevel(pad_token="<pad>"))
    assert references(neither).example.tolist() == [0]  # a first token with nothing before it can't be decided
    assert neither.example.tolist() == [0, 1]


def test_only_the_completion_is_asked_for_and_the_end_after_it():
    items = encoded({"prompt": ["Say it: "], "completion": ["é!"]}, bytelevel(), 64)
    right = references(items)
    assert asked(items, bytelevel()) == "é!<end>"
    assert right.values[BYTES].tolist() == [2, 0, 1, 0]
    assert (items.values[NEXT] != NONE).sum() == 4


def test_windows_in_which_nothing_is_asked_are_left_out():
    items = encoded({"prompt": ["a" * 40], "completion": ["bc"]}, bytelevel(), 8)
    assert len(items) == 1
    assert asked(items, bytelevel()) == "bc<end>"
    assert bytelevel().decode(items.values[TOKENS].tolist()) == "aaaaaabc"  # all of the prompt that fits


TOKENIZERS = st.sampled_from([stories, bytelevel, neox])
WORDS = st.text("ab é\n", max_size=30)


@settings(max_examples=60, deadline=None)
@given(prompt=WORDS, completion=WORDS.filter(bool), length=st.integers(4, 12), kind=TOKENIZERS)
def test_every_token_of_a_completion_is_decided_once_and_its_bytes_count_once(prompt, completion, length, kind):
    tokenizer = kind()
    rows = {"prompt": [prompt], "completion": [completion]}
    short, whole = encoded(rows, tokenizer, length), encoded(rows, tokenizer, 512)
    assert len(whole) == 1
    found, expected = references(short).values, references(whole).values
    assert found["token"].tolist() == expected["token"].tolist()
    assert found[BYTES].tolist() == expected[BYTES].tolist()
    assert short.lengths.max() <= length
    if kind is bytelevel:  # tokens that don't span the prompt's end
        assert asked(short, tokenizer) == completion + "<end>"
        assert found[BYTES].sum() == len(completion.encode())


def test_spaces_alone_are_predicted_where_offsets_leave_them_out():
    assert asked(encoded({"text": ["a    b  "]}, neox(), 64), neox()) == "a    b  "
    items = encoded({"prompt": ["if a:    "], "completion": ["    b  "]}, neox(), 64)
    assert asked(items, neox()) == "    b  <end>"  # but not the prompt's last ones
    assert references(items).values[BYTES].tolist() == [2, 1, 1, 1, 2, 0]


def chat(*turns):
    roles = ["system", "user", "assistant", "user", "assistant"]
    return [{"role": role, "content": content, "name": None} for role, content in zip(roles, turns, strict=False)]


def test_of_a_chat_the_assistants_turns_are_asked_for():
    tokenizer = bytelevel(eos_token="<end>", pad_token="<pad>")
    tokenizer.chat_template = CHATML
    items = encoded({"messages": [chat("Be kind.", "Hi", "Hello!", "And?", "Bye.")]}, tokenizer, 512)
    assert asked(items, tokenizer) == "Hello!<|im_end|>\nBye.<|im_end|>\n"
    added = references(items).values[BYTES]
    assert added.tolist() == [1] * len("Hello!") + [0, 0] + [1] * len("Bye.") + [0, 0]  # none for the template's tokens


@pytest.mark.parametrize("kind", [bytelevel, neox])
def test_the_next_message_is_not_asked_where_its_mark_begins_as_the_end_of_the_last_one(kind):
    tokenizer = kind()
    tokenizer.chat_template = PHI_3
    items = encoded({"messages": [chat("Be kind.", "Hi", "Hé!", "And?", "Bye.")]}, tokenizer, 512)
    assert asked(items, tokenizer) == "Hé!<|end|>\nBye.<|end|>\n<end>"
    assert references(items).values[BYTES].sum() == len("Hé!Bye.".encode())


@settings(max_examples=60, deadline=None)
@given(said=st.lists(st.text("ab é", min_size=1, max_size=20), min_size=5, max_size=5), length=st.integers(4, 40))
@pytest.mark.parametrize("kind", [bytelevel, neox])
def test_every_token_of_a_reply_is_decided_once_and_only_what_is_said_counts(said, length, kind):
    tokenizer = kind()
    tokenizer.chat_template = CHATML
    right = references(encoded({"messages": [chat(*said)]}, tokenizer, length))
    assert tokenizer.decode(right.values["token"].tolist()) == f"{said[2]}<|im_end|>\n{said[4]}<|im_end|>\n"
    assert right.values[BYTES].sum() == len((said[2] + said[4]).encode())


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "has no chat template"),
        ("{{ raise_exception('no system') }}", "rejects the messages that begin with .*no system"),
        (
            "{% for m in messages %}{{ loop.revindex }}{{ m.content }}{% endfor %}",
            "renders message 3 of .* differently",
        ),
        ("{{ messages.__class__.__mro__ }}", "is unsafe|doesn't take"),
    ],
)
def test_a_template_that_cannot_say_whose_text_is_whose_is_refused(template, sentence):
    tokenizer = bytelevel(eos_token="<end>", unk_token="<unk>")
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=sentence):
        encoded({"messages": [chat("Be kind.", "Hi", "Hello!", "And?")]}, tokenizer)


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"text": 3}, "'text' is .*3.*, expected text"),
        ({"text": ""}, "'text' is empty"),
        ({"prompt": "", "completion": "x"}, None),
        ({"prompt": "x", "completion": ""}, "'completion' is empty"),
        ({"messages": "hi"}, "expected a list of messages"),
        ({"messages": [{"role": "user"}]}, "message 1 of 'messages' is .*, expected an object"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "no message with the role assistant"),
        ({"messages": chat("a", "b", "c")}, None),
    ],
)
def test_a_row_that_is_none_is_named(row, sentence):
    found = data.problem(row, {key: key for key in row}, True)
    assert (found is None) == (sentence is None)
    if sentence is not None:
        assert re.search(sentence, found)


def test_the_recipe_chooses_the_form_by_its_columns():
    assert data.COLUMNS.read({}) == {"text": "text"}
    assert data.COLUMNS.read({"completion": "answer"}) == {"prompt": "prompt", "completion": "answer"}
    assert data.COLUMNS.read({"messages": "chat"}) == {"messages": "chat"}
    assert data.COLUMNS.learned


@pytest.mark.parametrize(
    ("rows", "length"),
    [
        ({"text": ["one two three four", "five", "a longer text of several windows"]}, 6),
        ({"prompt": ["a prompt of many more letters than fit", "b"], "completion": [" yes", " or no"]}, 8),
        (
            {
                "messages": [
                    [{"role": "user", "content": "what is it" * 3}, {"role": "assistant", "content": "nothing"}]
                ]
            },
            9,
        ),
    ],
)
def test_whole_sequences_hold_the_windows_and_decisions_of_the_items(rows, length):
    tokenizer = bytelevel()
    tokenizer.chat_template = CHATML
    named = {key: key for key in rows}
    items = encoded(rows, tokenizer, length, **named)
    found = data.sequences(
        rows, Encoder(named, tokenizer, {}, length, registry.task_as("text-generation", "perplexity", {}))
    )
    assert found.example.tolist() == items.example.tolist()
    for number, (example, first) in enumerate(zip(found.example, found.first, strict=True)):
        own = items.batch([number])[TOKENS][0]
        assert found.of_example(example)[first : first + len(own)].tolist() == own.tolist()
    right = references(items)
    assert found.item.tolist() == right.item.tolist()
    following = [
        found.of_example(found.example[item])[after + 1] for item, after in zip(found.item, found.after, strict=True)
    ]
    assert following == right.values["token"].tolist()
