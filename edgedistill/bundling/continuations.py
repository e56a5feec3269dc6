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
SCHEMA = "edgedistill/continuations/2"
PROMPTS, PROMPT_TOKENS, SAID = 8, 12, 32
"""Maximum number of prefixes, tokens per prefix, and tokens per continuation."""
FALSE_ALARM = 1e-4
"""Largest probability that a right file agrees on too few tokens."""
_LARGEST_ID, _MOST = 2**31 - 1, 10_000
_MESSAGES = ("message 7f3a", "and another 9c1e")
"""No template contains them."""


@dataclass(frozen=True)
class Continuation:
    """One prefix and its continuation."""

    item: int
    """The golden input with this prefix."""
    prompt: str
    special: bool
    """Whether the tokenizer's special tokens are added to the prompt; a beginning of a chat has its own."""
    ids: tuple[int, ...]
    """The tokens of the prompt."""
    said: tuple[int, ...] = ()
    """The greedy continuation."""
    unsure: tuple[int, ...] = ()
    """Places of tokens whose logits lead the next by less than the outputs of another processor may differ, in order.
    """
    text: str = ""
    """Their text when streamed."""


@dataclass(frozen=True)
class Continuations:
    """All continuations of a bundle, and what a client needs to continue other texts."""

    opening: tuple[int, ...]
    """Tokens before every text, unless the tokenizer itself adds them."""
    closing: int | None
    """The token that some tokenizers add after a text, which a continuation is not to follow."""
    ends: tuple[int, ...]
    """End-of-text tokens."""
    longest: int
    """Context length in tokens, including the continuation."""
    chat: tuple[str, str] | None
    """Text before and after a user message, up to the start of the reply; None without a chat template."""
    least: int
    """How many of all tokens said must be the most likely in their places on another machine too."""
    items: tuple[Continuation, ...]

    @property
    def said(self) -> int:
        """Number of tokens of all continuations."""
        return sum(len(item.said) for item in self.items)

    def tokens(self, encode: Callable[[str, bool], Sequence[int]], item: Continuation) -> tuple[int, ...]:
        """The model's input for an item's prompt.

        Args:
            encode: the tokenizer, from a text and whether to add special tokens.
        """
        ids = tuple(encode(item.prompt, item.special))
        if not item.special:
            return ids
        if len(ids) > 1 and ids[-1] == self.closing:
            ids = ids[:-1]
        return ids if ids[: len(self.opening)] == self.opening else (*self.opening, *ids)

    def as_json(self) -> str:
        """The file, with a line for each item."""
        known = {
            "schema": SCHEMA,
            "what": "prefixes of golden inputs, and the verified file's greedy continuation of each",
            "opening": self.opening,
            "closing": self.closing,
            "ends": self.ends,
            "longest": self.longest,
            "chat": self.chat,
            "least": self.least,
        }
        head = json.dumps(known, indent=1, ensure_ascii=False).removesuffix("\n}")
        lines = ",\n".join("  " + json.dumps(asdict(item), ensure_ascii=False) for item in self.items)
        return f'{head},\n "items": [\n{lines}\n ]\n}}\n'


def beginnings(
    golden: Golden, tokenizer: PreTrainedTokenizerBase, prompt: Callable[[PreTrainedTokenizerBase, Prompt], list[int]]
) -> list[Continuation]:
    """Beginnings of some examples, with nothing said yet. A cut within a character or word may encode differently, and
    is moved forward.

    Args:
        prompt: the task's function from a text to tokens.
    """
    items, found = golden.items, list[Continuation]()
    assert items.token_column is not None, "texts have tokens"
    opening, seen = prompt(tokenizer, ""), set[int]()

    def encoded(text: str, special: bool) -> list[int]:
        return prompt(tokenizer, text) if special else list(tokenizer.encode(text, add_special_tokens=False))

    for number, example in enumerate(items.example.tolist()):
        if example in seen or len(found) == PROMPTS:
            continue
        seen.add(example)
        every = items.inputs([number])[items.token_column][0].tolist()
        special = every[: len(opening)] == opening
        before = len(opening) if special else 0
        for count in range(min(PROMPT_TOKENS, max(1, len(every) // 2)), before, -1):
            ids = every[:count]
            text = str(tokenizer.decode(ids[before:], skip_special_tokens=False))
            if encoded(text, special) == ids:
                found.append(Continuation(number, text, special, tuple(ids)))
                break
    return found


def least_agreeing(said: int, agreement: float) -> int:
    """How many of so many tokens a right file agrees on, but for one in 10,000 of them, if another processor's rounding
    changes its tokens as often as its own did those of its PyTorch model: a quantile of the binomial distribution.

    Args:
        agreement: share of tokens on which file and PyTorch model agree.
    """
    from scipy.stats import binom

    return int(binom.ppf(FALSE_ALARM, said, min(agreement, 1 - 1 / said))) if said else 0


def chat_frame(render: Callable[[str], str]) -> tuple[str, str] | None:
    """What a chat template puts around a single user message, up to the start of the reply; None if it depends on the
    message.

    Args:
        render: applies the template to a message.
    """
    first, second = (render(message) for message in _MESSAGES)
    before, found, after = first.partition(_MESSAGES[0])
    return (before, after) if found and second == f"{before}{_MESSAGES[1]}{after}" else None


def read_continuations(content: object, folder: Path, inputs: int) -> Continuations:
    """Parse the file.

    Args:
        inputs: number of golden inputs.

    Raises:
        UserError: another schema; a field that is missing, unknown, of another type or out of range.
    """
    where = str(folder / CONTINUATIONS)
    fields = Fields(content, where)
    if (schema := fields.take("schema")) != SCHEMA:
        raise UserError(f"{where}: schema is {shown(schema)}, expected '{SCHEMA}'")
    fields.text("what")
    opening, closing = _ids(fields, "opening"), fields.integer_or_none("closing", 0, _LARGEST_ID)
    ends, longest, chat = _ids(fields, "ends"), fields.integer("longest", 1, 2**31), _chat(fields)
    least = fields.integer("least", 0, _MOST)
    given = [Fields(item, f"{where}: item {number}") for number, item in enumerate(fields.items("items"))]
    fields.end()
    items = tuple(_item(item, inputs, longest) for item in given)
    found = Continuations(opening, closing, ends, longest, chat, least, items)
    if not min(found.said, 1) <= least <= found.said:
        raise UserError(f"{where}: least is {least}, expected 1 to {found.said}, the number of tokens said")
    return found


def _item(fields: Fields, inputs: int, longest: int) -> Continuation:
    found = Continuation(
        item=fields.integer("item", 0, inputs - 1),
        prompt=fields.text("prompt"),
        special=fields.boolean("special"),
        ids=_ids(fields, "ids"),
        said=_ids(fields, "said"),
        unsure=_ids(fields, "unsure"),
        text=fields.text("text"),
    )
    fields.end()
    if not found.ids or len(found.ids) + len(found.said) > longest:
        raise fields.refuse("ids", list(found.ids), f"one at least, and with those said at most {longest}")
    if list(found.unsure) != sorted({place for place in found.unsure if place < len(found.said)}):
        raise fields.refuse("unsure", list(found.unsure), f"ascending places below {len(found.said)}")
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
