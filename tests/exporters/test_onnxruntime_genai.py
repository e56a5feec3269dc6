"""Folders for ONNX Runtime GenAI, made by its builder and run by it."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pytest
from language_models import causal_request, greedy_of_torch, tiny
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import CachedDecoder, decoder_of
from edgedistill.device.generation import generate
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.models.loading import load_model

pytest.importorskip("onnxruntime_genai")

EXPORTER, RUNTIME = registry.target("onnxruntime-genai"), registry.runtime("onnxruntime-genai")
PROMPTS = [[1, 5, 9, 30], [1, 40]]


@pytest.fixture(scope="module")
def model():
    return tiny(hidden_size=64, num_attention_heads=4)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    from tokenizers import Tokenizer, models

    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    words = {f"w{number}": number for number in range(model.config.vocab_size)}
    plain = Tokenizer(models.WordLevel(words, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="w1", eos_token="w2").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(model, folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("made") / EXPORTER.precisions["fp32"].file
    told = EXPORTER.make(causal_request(model, folder=folder), file)
    assert [(check.batch, check.length) for check in told.checks] == [(1, 1), (1, 16), (1, 40)]
    return file


@pytest.fixture
def graph(made):
    return RUNTIME.open(made, 1, PortNames())


def test_greedy_continuations_are_those_of_torch(graph, model):
    for prompt in PROMPTS:
        assert list(generate(decoder_of(graph), prompt, 30)) == greedy_of_torch(model, prompt, 30)


def test_a_text_that_begins_alike_goes_on_from_what_is_kept(graph, model):
    decoder = decoder_of(graph)
    list(generate(decoder, PROMPTS[0], 10))
    other = [*PROMPTS[0][:3], 50, 51]
    assert list(generate(decoder, other, 10)) == greedy_of_torch(model, other, 10)


def test_whole_texts_have_logits_at_their_real_tokens(graph, model):
    import torch

    tokens = np.random.default_rng(0).integers(3, 500, (2, 8))
    mask = np.array([[0, 0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0, 0]])
    found = graph.run({"input_ids": tokens, "attention_mask": mask})["logits"]
    for row, real in enumerate(mask.astype(bool)):
        with torch.no_grad():
            alone = model(torch.from_numpy(tokens[row, real])[None]).logits[0].numpy()
        np.testing.assert_allclose(found[row, real], alone, atol=1e-4)
    assert not found[mask == 0].any()


def test_it_runs_on_the_cpu_and_has_its_tokenizer(graph, made):
    assert graph.backend() == {"device": "CPU"}
    assert AutoTokenizer.from_pretrained(made).convert_tokens_to_ids("w7") == 7


def test_a_batch_padding_or_too_long_a_text_is_refused(graph):
    decoder = decoder_of(graph)
    with pytest.raises(EdgedistillError, match="takes one text at a time here, without padding"):
        decoder.advance(np.ones((2, 3), np.int64))
    with pytest.raises(EdgedistillError, match="takes one text at a time here, without padding"):
        decoder.advance(np.ones((1, 3), np.int64), np.array([[False, True, True]]))
    with pytest.raises(EdgedistillError, match="a text of 65 tokens exceeds the model's context: 64"):
        decoder.advance(np.ones((1, 65), np.int64))


def test_heads_that_its_builder_cannot_turn_have_the_graph_of_target_onnx(tmp_path, folder):
    model = tiny()
    told = EXPORTER.make(causal_request(model, folder=folder), tmp_path / "made")
    assert told.facts == {"graph": "of target onnx"}
    assert [(check.batch, check.length) for check in told.checks] == [(1, 1), (1, 16), (1, 40)]
    graph: Any = RUNTIME.open(tmp_path / "made", 1, PortNames())
    assert graph.longest == 64
    decoder = decoder_of(graph)
    for prompt in PROMPTS:
        assert list(generate(decoder, prompt, 30)) == greedy_of_torch(model, prompt, 30)
    assert AutoTokenizer.from_pretrained(tmp_path / "made").convert_tokens_to_ids("w7") == 7


def test_heads_that_its_builder_cannot_turn_are_refused_in_blocks(tmp_path, folder):
    with pytest.raises(RefusedError, match="a head size that is a multiple of 16, the model's is 8; expected fp32"):
        EXPORTER.make(causal_request(tiny(), "int4", folder=folder), tmp_path / "made")


def test_it_is_no_file_with_a_cache_of_ours(graph):
    with pytest.raises(EdgedistillError, match="the file has no cache to continue from"):
        CachedDecoder(graph)


@pytest.mark.parametrize("tied", [True, False])
def test_what_is_tied_is_what_the_weights_are(tmp_path, folder, tied):
    """In int4, where the builder would look tokens up in the head of a model whose configuration calls it tied."""
    model = tiny(hidden_size=64, num_attention_heads=4, tie_word_embeddings=tied)
    wrong, right = tmp_path / "wrong", tmp_path / "right"
    for place, told in ((right, tied), (wrong, not tied)):
        shutil.copytree(folder, place)
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((place / "config.json").read_text())
        (place / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": told}))
    made = {}
    for place in (right, wrong):
        read = load_model(AutoModelForCausalLM, str(place), None, head_required=True)
        made[place] = tmp_path / f"{place.name}-made"
        EXPORTER.make(causal_request(read, "int4", folder=place), made[place])
    tokens = np.array([PROMPTS[0]])
    expected, found = (
        decoder_of(RUNTIME.open(made[place], 1, PortNames())).advance(tokens) for place in (right, wrong)
    )
    np.testing.assert_array_equal(found, expected)
    sizes = [(file / "model.onnx.data").stat().st_size for file in made.values()]
    assert sizes[0] == sizes[1]


@pytest.mark.slow
def test_int4_stores_the_table_once_and_int8_twice(tmp_path, model, folder):
    sizes = {}
    for precision in ("int8", "int4"):
        file = tmp_path / EXPORTER.precisions[precision].file
        EXPORTER.make(causal_request(model, precision, folder=folder), file)
        sizes[precision] = (file / "model.onnx.data").stat().st_size
    table = model.model.embed_tokens.weight.numel()
    assert sizes["int4"] < sum(parameter.numel() for parameter in model.parameters()) * 0.8
    assert sizes["int8"] > 5 * table
