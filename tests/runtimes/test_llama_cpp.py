"""GGUF files run by llama.cpp, where it is installed."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from language_models import STORIES, causal_request, greedy_of_torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import DecodesItself, decoder_of
from edgedistill.device.generation import generate
from edgedistill.errors import EdgedistillError

pytest.importorskip("gguf")
pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.skipif(not STORIES.is_dir(), reason="needs ../shared/models/stories260k")

EXPORTER, RUNTIME = registry.target("gguf"), registry.runtime("llama-cpp")
TEXTS = ["Once upon a time", "Lily and Tom", "One day, a girl", " two  spaces", "ünïcödé 漢字 1984\n", "it's"]


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def graph(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "model-F32.gguf"
    EXPORTER.make(causal_request(model, folder=STORIES), file)
    return RUNTIME.open(file, 1, PortNames())


def test_token_ids_are_those_of_the_tokenizer(graph):
    tokenizer, drawn = AutoTokenizer.from_pretrained(STORIES), random.Random(0)
    wild = ["".join(chr(drawn.randint(32, 0x3000)) for _ in range(20)) for _ in range(50)]
    for text in [*TEXTS, *map(chr, range(256)), *wild]:
        assert graph.model.tokenize(text.encode(), add_bos=True, special=False) == tokenizer(text)["input_ids"]


def test_greedy_continuations_are_those_of_torch(graph, model):
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    for text in TEXTS[:3]:
        prompt = tokenizer(text)["input_ids"]
        assert list(generate(decoder_of(graph), prompt, 64)) == greedy_of_torch(model, prompt, 64)


def test_what_is_kept_changes_nothing(graph):
    decoder = decoder_of(graph)
    tokens = np.arange(3, 23)[None]
    at_once = decoder.advance(tokens)
    decoder.rewind(7)
    np.testing.assert_allclose(decoder.advance(tokens[:, 7:]), at_once[:, 7:], atol=0.02)


def test_it_tells_how_long_a_text_may_be(graph):
    assert graph.longest == 512
    assert isinstance(graph, DecodesItself)


def test_a_batch_is_refused(graph):
    with pytest.raises(EdgedistillError, match=r"llama\.cpp takes one text at a time here"):
        decoder_of(graph).advance(np.ones((2, 3), np.int64))
