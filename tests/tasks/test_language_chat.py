"""Where the assistant speaks in a chat, by the templates that models come with."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from edgedistill.errors import UserError
from edgedistill.tasks._language_chat import asked, rendered

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
PHI_3 = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + "
    "'<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}"
    "{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
QWEN_3 = r"""
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\n' }}
                {%- endif %}
                {{- '<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' + (tool_call.arguments | tojson) + '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\n<tool_response>\n' + content + '\n</tool_response><|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""  # noqa: E501 - as it is shipped, without tool descriptions
TEMPLATES = {"SmolLM2": SMOLLM2, "Llama 3": LLAMA_3, "Phi-3": PHI_3, "Gemma": GEMMA, "Qwen3": QWEN_3}
ENDS = {
    "SmolLM2": "<|im_end|>\n",
    "Llama 3": "<|eot_id|>",
    "Phi-3": "<|end|>\n",
    "Gemma": "<end_of_turn>\n",
    "Qwen3": "<|im_end|>\n",
}
NO_THOUGHT = "<think>\n\n</think>\n\n"


def tokenizer(template):
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({}, [])), bos_token="<bos>", eos_token="<eos>")
    made.chat_template = TEMPLATES.get(template, template)
    return made


def turns(*said):
    """u: user, a: assistant, s: system."""
    roles = {"u": "user", "a": "assistant", "s": "system"}
    return [{"role": roles[role], "content": content} for role, content in (one.split(":", 1) for one in said)]


def parts(template, chat):
    """(what is asked, its content) of each reply."""
    text, replies = rendered(tokenizer(template), chat)
    assert all(sorted(places) == places for r in replies for places in [[r.whole[0], *r.content, r.whole[1]]])
    return [(text[slice(*reply.whole)], text[slice(*reply.content)]) for reply in replies]


@pytest.mark.parametrize("template", TEMPLATES)
def test_each_reply_of_a_chat_is_asked_with_its_end(template):
    end = ENDS[template]
    (first, _), (last, _) = found = parts(template, turns("u:Hi", "a:Hello!", "u:And?", "a:Bye."))
    assert [content for _, content in found] == ["Hello!", "Bye."]
    assert first.removesuffix("<") == "Hello!" + end  # Phi-3: of the next message's first token, a part
    assert last == (NO_THOUGHT if template == "Qwen3" else "") + "Bye." + end + ("<eos>" if template == "Phi-3" else "")


@pytest.mark.parametrize("template", sorted(TEMPLATES.keys() - {"Gemma"}))
def test_a_chat_may_begin_with_the_assistant(template):
    chat = turns("a:Hi", "u:And?", "a:Bye.")
    assert [content for _, content in parts(template, chat)] == ["Hi", "Bye."]
    assert parts(template, chat)[0][0].removesuffix("<") == "Hi" + ENDS[template]
    assert [content for _, content in parts(template, [*turns("s:Be kind."), *chat])] == ["Hi", "Bye."]


@pytest.mark.parametrize("template", sorted(TEMPLATES.keys() - {"Gemma"}))
def test_it_may_speak_twice(template):
    found = parts(template, turns("u:Hi", "a:Hello!", "a:Again.", "u:And?"))
    assert [content for _, content in found] == ["Hello!", "Again."]
    assert [own.removesuffix("<") for own, _ in found] == [text + ENDS[template] for text in ("Hello!", "Again.")]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_reply_begins_where_it_is_asked_for(template):
    chat = turns("u:Hi", "a:Hello!", "u:And?", "a:Bye.")
    text, replies = rendered(tokenizer(template), chat)
    assert [text[: reply.whole[0]] for reply in replies] == [asked(tokenizer(template), chat[:n]) for n in (1, 3)]


SAID = st.text(max_size=12).filter(lambda text: "think>" not in text)


@given(template=st.sampled_from(sorted(TEMPLATES)), said=st.lists(SAID, min_size=4, max_size=4))
def test_whatever_is_said_is_found(template, said):
    chat = turns("u:" + said[0], "a:" + said[1], "u:" + said[2], "a:" + said[3])
    for (whole, content), own in zip(parts(template, chat), said[1::2], strict=True):
        assert content.strip() == own.strip()
        assert ENDS[template] in whole.removeprefix(NO_THOUGHT)[len(content) :]
        assert whole.removeprefix(NO_THOUGHT).startswith(content)


def test_a_thought_that_a_template_drops_is_not_asked():
    thought = "<think>\nhm\n</think>\n\n"
    first, last = parts("Qwen3", turns("u:Hi", f"a:{thought}Hello!", "u:And?", f"a:{thought}Bye."))
    assert first == ("Hello!<|im_end|>\n", "Hello!")
    assert last[0] == thought + "Bye.<|im_end|>\n"


def test_what_a_message_has_besides_its_content_is_asked_too():
    call = {"role": "assistant", "content": "", "tool_calls": [{"name": "now", "arguments": {}}]}
    chat = [*turns("u:Hi"), call, {"role": "tool", "content": "noon"}, *turns("a:Noon.", "u:Thanks", "a:Bye.")]
    (whole, content), *others = parts("Qwen3", chat)
    assert whole == '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>\n'
    assert (content, [own for _, own in others]) == ("", ["Noon.", "Bye."])


@pytest.mark.parametrize(
    ("template", "chat"),
    [
        # A thinking model whose template begins replies with a thought, and leaves it out of chats.
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
            "{% if add_generation_prompt %}<assistant><think>{% endif %}",
            turns("u:Hi", "a:Hello!"),
        ),
        (
            "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if loop.last %}<end>{% else %}. {% endif %}"
            "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}",
            turns("a:Hello!", "u:Hi"),
        ),
        ("{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}", turns("u:Hi", "a:Hello!")),
        ("{{ messages[0].content }}", turns("u:Hi", "a:Hello!")),
    ],
    ids=["generation prompt", "end marker", "content twice", "no content"],
)
def test_a_message_that_a_model_would_not_generate_so_is_refused(template, chat):
    number = 1 + [turn["role"] for turn in chat].index("assistant")
    first = re.escape(chat[0]["content"])
    with pytest.raises(UserError, match=f"renders message {number} of .*{first}.* differently in the whole chat"):
        parts(template, chat)
