"""How much room a context of llama.cpp has, with a stand-in for the library that has as little as it was told."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import Decoder, decoder_of
from edgedistill.errors import EdgedistillError
from edgedistill.runtimes import llama_cpp

VOCABULARY, TRAINED_FOR = 11, 3000


class Llama:
    """The library's class: `eval` follows the first `n_tokens` of its cache and fills the rows of `scores` that belong
    to the new tokens. Its logits depend on all tokens before."""

    opened: list[Llama]

    def __init__(self, path, *, n_ctx, n_threads, n_threads_batch, logits_all, verbose):
        assert n_ctx > 0
        assert logits_all
        self.metadata = {"general.architecture": "llama", "llama.context_length": str(TRAINED_FOR)}
        self.n_tokens, self.closed = 0, False
        self.cache = np.zeros(n_ctx, np.int64)
        self.scores = np.full((n_ctx, VOCABULARY), np.nan, np.float32)
        self.opened.append(self)

    def n_ctx(self) -> int:
        return len(self.cache)

    def n_vocab(self) -> int:
        return VOCABULARY

    def reset(self) -> None:
        assert not self.closed
        self.n_tokens = 0

    def eval(self, tokens) -> None:
        assert not self.closed
        end = self.n_tokens + len(tokens)
        if end > self.n_ctx():
            raise RuntimeError("llama_decode returned 1")
        self.cache[self.n_tokens : end] = tokens
        self.scores[self.n_tokens : end] = logits_of(self.cache[:end])[self.n_tokens :]
        self.n_tokens = end

    def close(self) -> None:
        self.closed = True


def logits_of(tokens) -> np.ndarray:
    """(T, V) from (T,)."""
    sums = np.cumsum(tokens * np.arange(1, len(tokens) + 1))
    return np.sin(sums[:, None] + np.arange(VOCABULARY)).astype(np.float32)


@pytest.fixture
def graph(monkeypatch, tmp_path) -> llama_cpp.LlamaCppGraph:
    monkeypatch.setattr(Llama, "opened", [], raising=False)
    monkeypatch.setitem(sys.modules, "llama_cpp", SimpleNamespace(Llama=Llama))
    return llama_cpp.open(tmp_path / "model.gguf", 1, PortNames())


def advanced(decoder: Decoder, *counts: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a text in pieces of so many tokens, and as they should be."""
    tokens = np.random.default_rng(0).integers(0, 9, (1, sum(counts)))
    pieces = np.split(tokens, np.cumsum(counts)[:-1], axis=1)
    return np.concatenate([decoder.advance(piece)[0] for piece in pieces]), logits_of(tokens[0])


def rooms() -> list[int]:
    assert all(model.closed for model in Llama.opened[:-1])
    return [model.n_ctx() for model in Llama.opened]


def test_short_texts_take_little_room_whatever_the_model_was_trained_for(graph):
    np.testing.assert_array_equal(*advanced(decoder_of(graph), 500, 1, 11))
    assert rooms() == [512]
    assert graph.longest == TRAINED_FOR


def test_a_longer_text_gets_room_and_keeps_what_it_has_read(graph):
    np.testing.assert_array_equal(*advanced(decoder_of(graph), 400, 112, 1, 600, 1))
    assert rooms() == [512, 1024, 2048]


def test_room_once_made_serves_the_next_text(graph):
    np.testing.assert_array_equal(*advanced(decoder_of(graph), 700))
    np.testing.assert_array_equal(*advanced(decoder_of(graph), 600, 200))
    assert rooms() == [512, 1024]


def test_a_text_rewound_goes_on_in_more_room(graph):
    decoder = decoder_of(graph)
    decoder.advance(np.full((1, 500), 3))
    decoder.rewind(2)
    found = decoder.advance(np.full((1, 600), 4))[0]
    np.testing.assert_array_equal(found, logits_of(np.array([3] * 2 + [4] * 600))[2:])


def test_no_room_is_made_beyond_the_models_context(graph):
    decoder = decoder_of(graph)
    np.testing.assert_array_equal(*advanced(decoder, TRAINED_FOR))
    assert rooms() == [512, TRAINED_FOR]
    with pytest.raises(EdgedistillError, match="a text of 3001 tokens exceeds the model's context: 3000"):
        decoder.advance(np.ones((1, 1), np.int64))
