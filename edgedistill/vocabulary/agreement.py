"""Checks that two models' token ids mean the same tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROBES = (
    "The quick brown fox jumps over the lazy dog; it's 3.14159 (or 22/7), isn't it?",
    "  two  spaces,\ttabs\t\tand\n\n\nnew lines \r\n ",
    "def f(x: int = 0) -> str:\n    return f'{x!r}' if x else \"\"  # 100_000",
    "Übergrößen, naïveté, ﬁne ligatures, e\u0301 and é, ½ ² ™, “quotes” — dashes…",
    "Привет, мир! Γειά σου Κόσμε, שלום עולם, مرحبا بالعالم, नमस्ते दुनिया",
    "你好,世界。こんにちは世界、안녕하세요 세계 สวัสดีชาวโลก",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈 𝒜𝔹 \u200b\u00a0\ufeff",
    "".join(map(chr, range(256))),
    "1234567890 12345 1,000,000 2026-11-26T02:18:19Z 0xFFFF https://example.org/a?b=c&d=%20",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ================ ________ antidisestablishmentarianism",
)
"""Texts on which tokenizers differ: cases, spaces, digits, code, accents, scripts, joined characters, Latin-1."""
_SHOWN = 40


@dataclass(frozen=True)
class Reader:
    """The vocabulary of a model."""

    name: str
    tokenizer: Tokenizer
    width: int | None
    """Rows of its output head, W: tokens, padded to a round number. None: it has no logits over tokens."""

    @classmethod
    def at(cls, name: str, tokenizer: Path, width: int | None) -> Reader:
        """From the tokenizer in a folder."""
        from edgedistill.models.loading import load_tokenizer

        return cls(name, load_tokenizer(tokenizer).backend_tokenizer, width)


def shared_tokens(teacher: Reader, student: Reader, texts: Iterable[str] = ()) -> int:
    """Number of both models' logits that are tokens; the rest is padding and not part of a loss.

    The vocabularies are equal if every token has the same id, and both tokenizers encode these texts, our own probes
    and each other's special tokens identically. Widths do not matter: one model family pads the same tokens to 151,936
    rows and to 152,064.

    Raises:
        UserError: they differ, or a model has fewer rows than its tokenizer has tokens.
    """
    vocabularies = [side.tokenizer.get_vocab() for side in (teacher, student)]
    for side, vocabulary in zip((teacher, student), vocabularies, strict=True):
        if side.width is not None and side.width <= max(vocabulary.values()):
            raise UserError(
                f"'{side.name}' has {side.width} logits, expected at least {max(vocabulary.values()) + 1}, one for "
                "each token of its tokenizer"
            )
    probes = [*PROBES, *texts]
    for side in (teacher, student):
        probes += [f"a {token.content} b" for token in side.tokenizer.get_added_tokens_decoder().values()]
    pairs = zip(probes, _encoded(teacher, probes), _encoded(student, probes), strict=True)
    by_text = (f"the text {text[:_SHOWN]!r} is encoded differently" for text, one, other in pairs if one != other)
    found = _other_id(teacher, student, *vocabularies) or next(by_text, None)
    if found is not None:
        raise UserError(
            f"teacher '{teacher.name}' and student '{student.name}' have different vocabularies ({found}); expected "
            "a student with its teacher's tokens, or one made with init: trim_vocabulary"
        )
    return max(vocabularies[0].values()) + 1


def _other_id(teacher: Reader, student: Reader, its: Mapping[str, int], others: Mapping[str, int]) -> str | None:
    """The first token with different ids, or that only one of them has."""
    for token in sorted(its.keys() | others.keys(), key=lambda token: its.get(token, others.get(token, 0))):
        one, other = its.get(token), others.get(token)
        if one != other:
            ids = " and ".join(
                f"{'no token' if number is None else number} in '{side.name}'"
                for side, number in ((teacher, one), (student, other))
            )
            return f"{token[:_SHOWN]!r} is {ids}"
    return None


def _encoded(reader: Reader, texts: list[str]) -> list[list[int]]:
    """Encode whole texts without special tokens around them."""
    plain = type(reader.tokenizer).from_str(reader.tokenizer.to_str())
    plain.no_truncation()
    plain.no_padding()
    return [encoding.ids for encoding in plain.encode_batch(texts, add_special_tokens=False)]
