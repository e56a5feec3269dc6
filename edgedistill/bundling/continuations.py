"""Golden continuations of a language model: the verified file's greedy tokens after a few prefixes, and how a client
with only `tokenizers` gets from a text to these tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.bundling.fields import Fields, shown
from edgedistill.bundling.golden import Golden
from edgedistill.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.task import Prompt

CONTINUATIONS = "golden-continuations.json"
SCHEMA = "edgedistill/continuations/1"
PROMPTS, PROMPT_TOKENS, SAID = 8, 12, 32
"""Maximum number of prefixes, tokens per prefix, and tokens per continuation."""
_LARGEST_ID, _MOST = 2**31 - 1, 10_000


@dataclass(frozen=True)
class Continuation:
    """One prefix and its continuation."""

    item: int
    """The golden input with this prefix."""
    prompt: str
    ids: tuple[int, ...]
    """The tokens of the prompt, including those before every text."""
    said: tuple[int, ...]
    """The greedy continuation, as long as each token leads all others by more than another processor's rounding may
    move it."""
    text: str
    """Their text when streamed."""


@dataclass(frozen=True)
class Continuations:
    """All continuations of a bundle, and what a client needs to continue other texts."""

    opening: tuple[int, ...]
    """Tokens before every text, unless the tokenizer itself adds them."""
    ends: tuple[int, ...]
    """End-of-text tokens."""
    longest: int
    """Context length in tokens, including the continuation."""
    chat: tuple[str, str] | None
    """Tokens before and after a user message, up to the start of the reply; None without a chat template."""
    items: tuple[Continuation, ...]

    def tokens(self, ids: Sequence[int]) -> tuple[int, ...]:
        """The model's input for a text, from the tokenizer's ids."""
        there = tuple(ids[: len(self.opening)]) == self.opening
        return tuple(ids) if there else (*self.opening, *ids)

    def as_json(self) -> str:
        """The file, with a line for each item."""
        known = {
            "schema": SCHEMA,
            "what": "prefixes of golden inputs, and the verified file's greedy continuation of each",
            "opening": self.opening,
            "ends": self.ends,
            "longest": self.longest,
            "chat": self.chat,
        }
        head = json.dumps(known, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join("  " + json.dumps(asdict(item), ensure_ascii=False) for item in self.items)
        return f'{head},\n "items": [\n{lines}\n ]\n}}\n'


def beginnings(
    golden: Golden, tokenizer: PreTrainedTokenizerBase, prompt: Callable[[PreTrainedTokenizerBase, Prompt], list[int]]
) -> list[tuple[int, str, tuple[int, ...]]]:
    """(golden input, text, tokens) of the first tokens of some examples, if their text encodes to the same tokens
    again: a cut within a character or word may not.

    Args:
        prompt: the task's function from a text to tokens.
    """
    items, found = golden.items, list[tuple[int, str, tuple[int, ...]]]()
    assert items.token_column is not None, "texts have tokens"
    opening, seen = prompt(tokenizer, ""), set[int]()
    for number, example in enumerate(items.example.tolist()):
        if example in seen or len(found) == PROMPTS:
            continue
        seen.add(example)
        every = items.inputs([number])[items.token_column][0].tolist()
        for count in range(min(PROMPT_TOKENS, max(1, len(every) // 2)), len(opening), -1):
            ids = every[:count]
            text = str(tokenizer.decode(ids[len(opening) :], skip_special_tokens=False))
            if prompt(tokenizer, text) == ids:
                found.append((number, text, tuple(ids)))
                break
    return found


def chat_frame(render: Callable[[str], str]) -> tuple[str, str] | None:
    """What a chat template puts around a single user message, up to the start of the reply; None if it depends on the
    message.

    Args:
        render: applies the template to a message.
    """
    first, second = render("ab"), render("xyz")
    before, found, after = first.partition("ab")
    return (before, after) if found and second == f"{before}xyz{after}" else None


def read_continuations(content: object, folder: Path, inputs: int) -> Continuations:
    """Parse the file.

    Args:
        inputs: number of golden inputs.

    Raises:
        UserError: another schema; a field that is missing, unknown, of another type or out of range.
    """
    where = str(folder / CONTINUATIONS)
    fields = Fields(content, where)
    if (found := fields.take("schema")) != SCHEMA:
        raise UserError(f"{where}: schema is {shown(found)}, expected '{SCHEMA}'")
    fields.text("what")
    opening, ends = _ids(fields, "opening"), _ids(fields, "ends")
    longest, chat = fields.integer("longest", 1, 2**31), _chat(fields)
    given = [Fields(item, f"{where}: item {number}") for number, item in enumerate(fields.items("items"))]
    fields.end()
    items = tuple(_item(item, inputs, longest) for item in given)
    return Continuations(opening, ends, longest, chat, items)


def _item(fields: Fields, inputs: int, longest: int) -> Continuation:
    found = Continuation(
        item=fields.integer("item", 0, inputs - 1),
        prompt=fields.text("prompt"),
        ids=_ids(fields, "ids"),
        said=_ids(fields, "said"),
        text=fields.text("text"),
    )
    fields.end()
    if not found.ids or len(found.ids) + len(found.said) > longest:
        raise fields.refuse("ids", list(found.ids), f"one at least, and with those said at most {longest}")
    return found


def _chat(fields: Fields) -> tuple[str, str] | None:
    pair = fields.take("chat")
    if pair is None:
        return None
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
        raise fields.refuse("chat", pair, "a pair of texts, or null")
    return pair[0], pair[1]


def _ids(fields: Fields, name: str) -> tuple[int, ...]:
    values = fields.items(name)
    numbers = [value for value in values if isinstance(value, int) and not isinstance(value, bool)]
    if len(numbers) != len(values) or len(values) > _MOST or not all(0 <= number <= _LARGEST_ID for number in numbers):
        raise fields.refuse(name, values, "a list of token ids")
    return tuple(numbers)
