"""Texts come in pieces of whole characters, which together are the whole text."""

from __future__ import annotations

import pytest
from byte_pairs import byte_pairs
from hypothesis import given
from hypothesis import strategies as st
from language_models import TEACHER
from tokenizers import Tokenizer, decoders, models

from edgedistill.device.streaming import pieces

STORIES = Tokenizer.from_file(str(TEACHER / "tokenizer.json"))
"""Byte fallback: a newline is the token `<0x0A>`."""
BYTE_LEVEL = byte_pairs()
WORD_PIECES = Tokenizer(models.WordPiece({"[UNK]": 0, "un": 1, "##like": 2, "##ly": 3, "not": 4}, unk_token="[UNK]"))
WORD_PIECES.decoder = decoders.WordPiece()
TOKENIZERS = {"byte fallback": STORIES, "byte level": BYTE_LEVEL, "words": WORD_PIECES}
INVALID = "\ufffd"


class Counting:
    """A tokenizer that counts the tokens that it decodes."""

    def __init__(self, tokenizer):
        self.tokenizer, self.decoded = tokenizer, 0

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def decode(self, ids):
        self.decoded += len(ids)
        return self.tokenizer.decode(ids)


def ids_of(tokenizer):
    """Any tokens, special ones among them, and some that it does not have."""
    return st.lists(st.integers(0, tokenizer.get_vocab_size() + 2), max_size=40)


@pytest.mark.parametrize("name", list(TOKENIZERS))
@given(data=st.data())
def test_any_tokens_come_as_the_whole_text_has_them(name, data):
    tokenizer = TOKENIZERS[name]
    prompt, tokens = data.draw(ids_of(tokenizer)), data.draw(ids_of(tokenizer))
    found = list(pieces(tokenizer, prompt, tokens))
    assert all(found)
    start, whole = tokenizer.decode(prompt), tokenizer.decode(prompt + tokens)
    if INVALID not in whole:
        assert start + "".join(found) == whole


@pytest.mark.parametrize("name", ["byte fallback", "byte level"])
@given(text=st.text(), data=st.data())
def test_a_text_comes_as_it_is_and_no_piece_has_half_a_character(name, text, data):
    tokenizer = TOKENIZERS[name]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    cut = data.draw(st.integers(0, len(ids)))
    start, whole = tokenizer.decode(ids[:cut]), tokenizer.decode(ids)
    if INVALID in start:  # the prompt ends inside of a character
        return
    found = list(pieces(tokenizer, ids[:cut], ids[cut:]))
    assert start + "".join(found) == whole
    if INVALID not in text:
        assert not any(INVALID in piece for piece in found)


@given(invalid=st.lists(st.integers(0x80, 0xBF), min_size=1, max_size=50))
def test_bytes_that_are_no_character_leave_what_was_said_before(invalid):
    prompt = STORIES.encode("Once upon a time").ids
    bytes_of = [STORIES.token_to_id(f"<0x{byte:02X}>") for byte in (0x0A, *invalid)]
    last = STORIES.token_to_id("▁the")
    assert "".join(pieces(STORIES, prompt, [*bytes_of, last])) == "\n" + INVALID * len(invalid) + " the"
    after_newline = "".join(pieces(STORIES, [*prompt, bytes_of[0]], [*bytes_of[1:], last]))
    assert after_newline == INVALID * len(invalid) + " the"


def test_a_newline_and_a_byte_that_is_no_character_are_no_error():
    prompt = STORIES.encode("Once upon a time").ids
    assert list(pieces(STORIES, prompt, [13, 131, 410])) == ["\n", INVALID + " "]


def test_special_tokens_say_nothing_and_keep_the_space_after_them():
    once, upon = (STORIES.token_to_id(token) for token in ("▁was", "▁the"))
    assert list(pieces(STORIES, [1], [once])) == ["was"]
    assert list(pieces(STORIES, [1, once, 2], [1, upon, 2, 2])) == [" the"]


def test_what_is_left_at_the_end_is_said():
    (character,) = (BYTE_LEVEL.encode("漢").ids,)
    assert len(character) == 3
    assert list(pieces(BYTE_LEVEL, [], character)) == ["漢"]
    assert list(pieces(BYTE_LEVEL, [], character[:2])) == [INVALID]
    assert list(pieces(BYTE_LEVEL, [], [])) == []


def test_tokens_that_each_end_inside_a_character_come_in_time():
    """Byte-level tokens of the last bytes of one character and the first of the next."""
    letters = {byte: token for token, byte in zip("æ¼¢", "漢".encode(), strict=True)}
    first, second, third = (letters[byte] for byte in "漢".encode())
    vocabulary = {first: 0, second + third + first: 1, second + third: 2}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.decoder = decoders.ByteLevel()
    assert tokenizer.decode([0, 1, 2]) == "漢漢"
    found = list(pieces(tokenizer, [], [0, *[1] * 99, 2]))
    assert "".join(found) == "漢" * 100
    assert max(map(len, found)) <= 16


@pytest.mark.parametrize("name", ["byte fallback", "byte level"])
@pytest.mark.parametrize("text", ["a", "\n", "漢", "\x80"])
def test_the_cost_of_a_token_does_not_grow(name, text):
    tokenizer = TOKENIZERS[name]
    tokens = tokenizer.encode(text, add_special_tokens=False).ids * 1000
    if text == "\x80":  # without its first byte
        tokens = tokens[-1:] * 1000
    counting = Counting(tokenizer)
    list(pieces(counting, tokens[:9], tokens))  # type: ignore[arg-type]
    assert counting.decoded < 40 * len(tokens)
