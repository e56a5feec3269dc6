from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from language_models import STORIES, VOCABULARY, causal_request, family, greedy_of_torch, tiny
from transformers import AutoModelForCausalLM, AutoTokenizer

from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device.decoding import CachedDecoder
from edgedistill.device.generation import ENDED, generate, generate_batch
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.runtimes import onnxruntime as runtime
from edgedistill_exporters import causal

EXPORTER = registry.target("onnx")
PROMPTS = [[1, 5, 9, 30], [1, 40], [1, 8, 8, 21, 60, 3, 17]]


def opened(file):
    return runtime.open(file, 1, PortNames())


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture(scope="module")
def file(model, made_once):
    made = {}

    def fill(folder):
        made["checks"] = EXPORTER.make(causal_request(model), folder / "model.onnx").checks

    return made_once("causal-onnx", fill) / "model.onnx"


@pytest.fixture(scope="module")
def precisions(file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("precisions")
    files = {"fp32": file}
    for name in ("fp16", "int8-dynamic", "int8", "int4", "int4-tables"):
        quantizer = registry.quantizer(name)
        files[name] = folder / quantizer.file
        quantizer.quantize(file, files[name], ())
    return files


def test_names_and_sizes_are_those_that_clients_read(file):
    graph = onnx.load(file).graph

    def shapes(values):
        return {value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim] for value in values}

    past = ["batch_size", 2, "past_sequence_length", 8]
    grown = ["batch_size", 2, "past_sequence_length + sequence_length", 8]
    assert shapes(graph.input) == {
        "input_ids": ["batch_size", "sequence_length"],
        "attention_mask": ["batch_size", "total_sequence_length"],
        "position_ids": ["batch_size", "sequence_length"],
    } | {f"past_key_values.{layer}.{what}": past for layer in (0, 1) for what in ("key", "value")}
    assert shapes(graph.output) == {"logits": ["batch_size", "sequence_length", VOCABULARY]} | {
        f"present.{layer}.{what}": grown for layer in (0, 1) for what in ("key", "value")
    }


def test_attention_is_fused_and_no_note_is_left(file):
    graph = onnx.load(file).graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("GroupQueryAttention") == 2
    assert not any(node.metadata_props or node.doc_string for node in graph.node)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_greedy_continuations_are_those_of_torch(file, model, prompt):
    assert list(generate(CachedDecoder(opened(file)), prompt, 40)) == greedy_of_torch(model, prompt, 40)


def test_padding_on_the_left_changes_no_continuation(file, model):
    together = np.array(list(generate_batch(CachedDecoder(opened(file)), PROMPTS, 40))).T
    assert together.tolist() == [greedy_of_torch(model, prompt, 40) for prompt in PROMPTS]


def test_the_cache_changes_nothing(file):
    graph = opened(file)
    prompt, said = PROMPTS[0], list(generate(CachedDecoder(graph), PROMPTS[0], 20))
    at_once = CachedDecoder(graph).advance(np.array([[*prompt, *said]]))[0]
    assert at_once[len(prompt) - 1 : -1].argmax(axis=1).tolist() == said


def test_several_tokens_after_a_past_for_several_texts_are_an_error_and_no_wrong_answer(file):
    decoder = CachedDecoder(opened(file))
    decoder.advance(np.full((2, 3), 5))
    with pytest.raises(Exception, match="batch_size must be 1"):
        decoder.advance(np.full((2, 3), 5))


def tables_in(file):
    """Initializers with as many numbers, packed or not, as the table."""
    return [
        initializer.name
        for initializer in onnx.load(file).graph.initializer
        if VOCABULARY in initializer.dims and len(initializer.dims) > 1
    ]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int8", "int4", "int4-tables"])
def test_a_table_that_is_the_head_is_stored_once_in_every_precision(precisions, precision):
    blocks = [name for name in tables_in(precisions[precision]) if not name.endswith(("_scales", "_zeros"))]
    assert len(blocks) == 1


def test_more_bits_are_closer_and_larger(precisions):
    tokens = np.random.default_rng(1).integers(3, VOCABULARY, (1, 30))
    right = CachedDecoder(opened(precisions["fp32"])).advance(tokens)
    order = ["int4-tables", "int4", "int8", "fp16", "fp32"]  # int8-dynamic stands between, by its activations
    errors = [np.square(CachedDecoder(opened(precisions[name])).advance(tokens) - right).mean() for name in order]
    assert errors == sorted(errors, reverse=True)
    weights = [
        sum(initializer.ByteSize() for initializer in onnx.load(precisions[name]).graph.initializer) for name in order
    ]
    assert weights == sorted(weights)


def test_products_in_blocks_quantize_their_activations_too(precisions):
    for name in ("int8", "int4", "int4-tables"):
        products = [node for node in onnx.load(precisions[name]).graph.node if node.op_type == "MatMulNBits"]
        levels = {
            attribute.i for node in products for attribute in node.attribute if attribute.name == "accuracy_level"
        }
        assert levels == {4}, name


@pytest.mark.parametrize("equal", [True, False])
def test_a_head_is_the_table_where_their_numbers_are_equal_whatever_the_configuration_says(equal):
    model = tiny(tie_word_embeddings=False, num_hidden_layers=1)
    if equal:
        model.lm_head.weight.data = model.model.embed_tokens.weight.data.clone()
    causal.tie(model)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == equal


SIZES = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA_LIKE = SIZES | {"intermediate_size": 40, "num_key_value_heads": 2, "head_dim": 8}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("gpt2", {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4}),
        ("qwen2", LLAMA_LIKE),
        ("qwen3", LLAMA_LIKE),
        ("gemma", LLAMA_LIKE),
        ("gemma3_text", LLAMA_LIKE | {"sliding_window": 16}),
    ],
)
def test_families_export_and_agree_with_torch(tmp_path, kind, sizes):
    model = family(kind, **sizes)
    checks = EXPORTER.make(causal_request(model), tmp_path / "model.onnx").checks
    assert [(check.batch, check.length) for check in checks] == [(1, 1), (1, 16), (3, 37), (1, 40)]
    decoder = CachedDecoder(opened(tmp_path / "model.onnx"))
    assert list(generate(decoder, PROMPTS[0], 30)) == greedy_of_torch(model, PROMPTS[0], 30)


def test_a_model_that_keeps_more_than_keys_and_values_is_refused(tmp_path):
    model = family("mamba", vocab_size=VOCABULARY, hidden_size=16, num_hidden_layers=1, state_size=4)
    with pytest.raises(RefusedError, match="the cache of a 'mamba' model holds more than keys and values"):
        EXPORTER.make(causal_request(model), tmp_path / "model.onnx")


def test_a_file_that_differs_from_torch_is_refused(file):
    model = tiny()
    model.model.norm.weight.data += 0.01
    with pytest.raises(EdgedistillError, match="target onnx: at batch 1, length 1 the file differs from PyTorch by"):
        causal.compare(causal_request(model), "onnx", opened(file))


@pytest.mark.slow
@pytest.mark.skipif(not STORIES.is_dir(), reason="needs ../shared/models/stories260k")
def test_stories_are_told_as_torch_tells_them(tmp_path):
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    EXPORTER.make(causal_request(model, max_length=64), tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").stat().st_size < 1.09e6  # 260,032 numbers in fp32, and the graph
    prompts = [tokenizer(text)["input_ids"] for text in ("Once upon a time", "Lily and Tom", "One day, a girl")]
    decoder = CachedDecoder(opened(tmp_path / "model.onnx"))
    expected = [greedy_of_torch(model, prompt, 64) for prompt in prompts]
    assert [list(generate(decoder, prompt, 64)) for prompt in prompts] == expected
    together = np.array(list(generate_batch(decoder, prompts, 64))).T
    assert ENDED not in together
    assert together.tolist() == expected


def test_heads_that_onnxruntime_could_rotate_itself_are_rotated_apart(tmp_path):
    """In a padded batch it would continue the shorter texts as if they were as long as the longest."""
    model = tiny(hidden_size=96, head_dim=16)
    made = EXPORTER.make(causal_request(model), tmp_path / "model.onnx")
    assert {(check.batch, check.length) for check in made.checks} >= {(3, 37)}
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert not any(a.name == "do_rotary" for node in nodes for a in node.attribute)
    assert sum(node.op_type == "RotaryEmbedding" for node in nodes) == 2 * model.config.num_hidden_layers
