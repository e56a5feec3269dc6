"""Every token of a teacher in trimmed tokens, and the tree of their beginnings."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from byte_pairs import byte_pairs, pair
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models

from edgedistill.errors import UserError
from edgedistill.vocabulary.re_encoding import ReEncoding
from edgedistill.vocabulary.token_bytes import byte_characters, token_bytes
from edgedistill.vocabulary.trimming import Trimmed

STORIES = Path(__file__).parents[3] / "shared" / "models" / "stories260k" / "tokenizer.json"


def own_pieces(found: ReEncoding, token: int) -> tuple[int, ...]:
    return tuple(found.pieces[slice(*found.offsets[token : token + 2])].tolist())


@pytest.mark.parametrize("size", [258, 400, None])
def test_pieces_spell_their_token(size):
    tokenizers = pair(size)
    found = tokenizers.re_encoding
    assert found.tokens == 701
    for token in range(found.tokens):
        pieces = np.array(own_pieces(found, token))
        assert bytes(found.bytes_of(found.kept[pieces])) == bytes(found.bytes_of(np.array([token])))
    for number, token in enumerate(tokenizers.trimmed.kept):
        assert own_pieces(found, token) == (number,)


def test_bytes_are_those_of_the_decoder():
    tokenizer = byte_pairs()
    texts = token_bytes(json.loads(tokenizer.to_str()))
    assert sorted(byte_characters().values()) == list(range(256))
    for token, text in texts.items():
        if text.isascii():
            assert tokenizer.decode([token], skip_special_tokens=False) == text.decode()
    assert sorted(text for text in texts.values() if len(text) == 1) == [bytes([byte]) for byte in range(256)]


def test_the_tree_holds_every_beginning():
    found = pair(300).re_encoding
    tree, below = found.tree, defaultdict(set)
    for token in range(found.tokens):
        pieces = own_pieces(found, token)
        for length in range(len(pieces) + 1):
            below[pieces[:length]].add(token)
    assert len(tree.first) == len(below)
    for beginning, tokens in below.items():
        node = np.array([0])
        for piece in beginning:
            node = tree.children(node, np.array([piece]), len(found.kept))
        first, last = int(tree.first[node[0]]), int(tree.last[node[0]])
        assert set(tree.order[first:last].tolist()) == tokens, beginning
        exact = [token for token in tokens if own_pieces(found, token) == beginning]
        assert [tree.token[node[0]]] == (exact or [-1])
        longer = slice(*(int(bounds[0]) for bounds in tree.longer(node)))
        assert set(tree.order[longer].tolist()) == tokens - set(exact)
    unknown = tree.children(np.array([0, len(tree.first) - 1]), np.array([299, 299]), len(found.kept))
    assert unknown[1] == -1


def test_it_is_read_as_it_was_saved(tmp_path):
    found = pair(300).re_encoding
    found.save(tmp_path / "tokens.safetensors")
    again = ReEncoding.open(tmp_path / "tokens.safetensors")
    for name in ("kept", "text", "text_offsets", "pieces", "offsets"):
        assert np.array_equal(getattr(found, name), getattr(again, name)), name
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors does not contain re-encodings"):
        ReEncoding.open(tmp_path / "other.safetensors")
    (tmp_path / "none.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"none.safetensors is not a safetensors file"):
        ReEncoding.open(tmp_path / "none.safetensors")


def test_ids_that_are_no_tokens_have_no_pieces():
    content = json.loads(byte_pairs().to_str())
    content["added_tokens"][-1]["id"] = 710  # as where special tokens begin at a round number
    kept = [*range(300), 710]
    found = ReEncoding.of(content, Trimmed(_renumbered(content), kept))
    assert found.tokens == 711
    assert found.real.tolist() == [True] * 700 + [False] * 10 + [True]
    assert own_pieces(found, 705) == ()
    assert len(found.tree.order) == 701


def _renumbered(content: dict) -> dict:
    from edgedistill.vocabulary.trimming import trim

    return trim(content, range(300)).content


def test_other_algorithms_are_refused():
    words = json.loads(Tokenizer(models.WordPiece({"a": 0}, unk_token="a")).to_str())
    with pytest.raises(
        UserError, match="known only for byte-level BPE and BPE with byte fallback; this tokenizer is Word"
    ):
        token_bytes(words)
    content = json.loads(byte_pairs().to_str())
    content["model"]["vocab"]["日"] = 701
    with pytest.raises(UserError, match="token '日' of a byte-level BPE is not a sequence of bytes"):
        token_bytes(content)


def test_a_real_tokenizer_with_byte_fallback():
    if not STORIES.is_file():
        pytest.skip("needs stories260k in the folder shared/models beside the checkout")
    from byte_pairs import cut

    tokenizers = cut(Tokenizer.from_file(str(STORIES)), [])
    assert len(tokenizers.trimmed.kept) < 400
    for text in ("Once upon a time", "naïve 🙂 café"):
        own, trimmed = tokenizers.whole.encode(text).ids, tokenizers.smaller.encode(text).ids
        assert tokenizers.smaller.decode(trimmed) == text
        texts = [
            bytes(tokenizers.re_encoding.bytes_of(np.array(ids))) for ids in (own, tokenizers.re_encoding.kept[trimmed])
        ]
        assert texts[0] == texts[1] == b"<s> " + text.encode()
