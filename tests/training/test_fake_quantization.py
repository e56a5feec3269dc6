"""Training in a quantized file's arithmetic, against the files that ONNX Runtime runs on real sentences."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from helpers import quickstart_rows
from torch import nn
from transformers import AutoModelForSequenceClassification, GPT2Config, GPT2ForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.precision import Arithmetic, Grid
from edgedistill.errors import UserError
from edgedistill.models.block_rounding import best_steps
from edgedistill.models.loading import load_tokenizer
from edgedistill.training import fake_quantization
from edgedistill.training.fake_quantization import fake_quantized, on_grid, round_weights

EVERY = [name for name in registry.names("quantizers") if registry.quantizer(name).arithmetic is not None]
TOLERANCE = 2e-3
"""Of the logits, on average over the sentences: a number exactly between two levels may be rounded up or down."""
BLOCKS = Grid(8, 32, "symmetric")


def arithmetic_of(precision: str) -> Arithmetic:
    found = registry.quantizer(precision).arithmetic
    assert found is not None
    return found


@pytest.fixture(scope="module")
def folder(finished_run):
    return finished_run.artifact("r1") / "model"


@pytest.fixture(scope="module")
def encoded(folder):
    """Sentences one by one, so without padding."""
    tokenizer = load_tokenizer(folder)
    return [tokenizer([row["text"]], return_tensors="pt") for row in quickstart_rows("test")[:40]]


@pytest.fixture
def model(folder):
    return AutoModelForSequenceClassification.from_pretrained(folder).eval()


def by_torch(model, encoded):
    with torch.inference_mode():
        return np.concatenate([model(**inputs).logits.numpy() for inputs in encoded])


def by_file(file, encoded):
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_inputs()]
    return np.concatenate([session.run(None, {name: inputs[name].numpy() for name in names})[0] for inputs in encoded])


def distance(one, other) -> float:
    return float(np.abs(one - other).mean())


@pytest.fixture(scope="module")
def in_files(finished_run, encoded, tmp_path_factory):
    """The logits of every precision's file."""
    source, made = finished_run.folder / "models" / "r1" / "onnx" / "model.onnx", tmp_path_factory.mktemp("files")
    for precision in EVERY:
        registry.quantizer(precision).quantize(source, made / f"{precision}.onnx", ())
    return {precision: by_file(made / f"{precision}.onnx", encoded) for precision in EVERY}


def test_all_precisions_in_few_bits_without_calibration_can_be_trained_for():
    assert EVERY == ["int2", "int4", "int4-tables", "int8", "int8-dynamic"]


@pytest.mark.parametrize("precision", EVERY)
def test_the_model_computes_as_the_file_does(model, encoded, in_files, precision):
    before = by_torch(model, encoded)
    with fake_quantized(model, arithmetic_of(precision)):
        own = by_torch(model, encoded)
    assert distance(own, in_files[precision]) < TOLERANCE
    assert distance(before, in_files[precision]) > 2 * TOLERANCE
    assert np.array_equal(by_torch(model, encoded), before)  # and afterwards as ever


def wrong(right: Arithmetic) -> dict[str, Arithmetic]:
    """The same with one error each."""
    exact = Grid(16, "tensor", "range")
    coarse = {8: 6, 4: 2}
    return {
        "inputs in fp32": replace(right, inputs=exact),
        "weights in fp32": replace(right, weights=exact),
        "weights in fewer bits": replace(right, weights=replace(right.weights, bits=coarse[right.weights.bits])),
        "one scale for all weights": replace(right, weights=replace(right.weights, shared_by="tensor")),
        "tables in fewer bits": replace(right, tables=replace(right.tables, bits=coarse[right.tables.bits])),
        "vectors": replace(right, vectors=not right.vectors),
    }


@pytest.mark.parametrize("error", wrong(arithmetic_of("int4")))
@pytest.mark.parametrize("precision", ["int4", "int8-dynamic"])
def test_another_arithmetic_is_farther_from_the_file(model, encoded, in_files, precision, error):
    right = arithmetic_of(precision)
    found = []
    for tried in (right, wrong(right)[error]):
        with fake_quantized(model, tried):
            found.append(distance(by_torch(model, encoded), in_files[precision]))
    assert found[1] > 3 * found[0]


@pytest.mark.parametrize("precision", EVERY)
def test_rounded_weights_are_those_of_the_file_and_stay_so(model, encoded, precision):
    right, before = arithmetic_of(precision), copy.deepcopy(model.state_dict())
    with fake_quantized(model, right):
        expected = by_torch(model, encoded)
    round_weights(model, right, lambda given: by_torch(given, encoded[:1]))
    once = copy.deepcopy(model.state_dict())
    with fake_quantized(model, right):
        assert distance(by_torch(model, encoded), expected) < TOLERANCE
    round_weights(model, right, lambda given: by_torch(given, encoded[:1]))
    changed = {name for name, value in once.items() if not torch.equal(value, before[name])}
    assert {name for name in changed if "query" in name or "word_embeddings" in name} != set()
    # The exporter writes a head as `Gemm`, which only int8-dynamic rounds.
    assert ("classifier.weight" in changed) == (precision == "int8-dynamic")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, once[name], rtol=0, atol=1e-6)


def test_the_model_has_the_same_weights_by_the_same_names(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with fake_quantized(model, arithmetic_of("int2")):
        within = model.state_dict()
        assert list(within) == list(before)
        assert all(torch.equal(within[name], value) for name, value in before.items())


def test_gradients_go_through_the_rounding_to_the_weights_in_fp32(model, encoded):
    with fake_quantized(model, arithmetic_of("int2")):
        model(**encoded[0]).logits.sum().backward()
    layer = model.bert.encoder.layer[0]
    for weight in (layer.attention.self.query.weight, layer.output.dense.weight, model.classifier.weight):
        assert weight.grad.abs().max() > 0
    table = model.bert.embeddings.word_embeddings.weight.grad
    used = set(encoded[0]["input_ids"][0].tolist())
    assert set(table.abs().sum(dim=1).nonzero()[:, 0].tolist()) <= used


def test_the_gradient_of_rounding_is_that_of_the_values():
    values = torch.randn(3, 40, generator=torch.Generator().manual_seed(0)).requires_grad_()
    slopes = torch.arange(120.0).reshape(3, 40)
    (on_grid(values, Grid(2, 32, "range")) * slopes).sum().backward()
    assert torch.equal(values.grad, slopes)


def test_items_of_a_batch_do_not_share_a_scale():
    """A device runs one at a time."""
    small, large = torch.linspace(-1, 1, 64).reshape(2, 32), 1000 * torch.ones(2, 32)
    together = on_grid(torch.stack([small, large]), Grid(8, "item", "range"))
    assert torch.equal(together[0], on_grid(small[None], Grid(8, "item", "range"))[0])


@pytest.mark.parametrize("grid", [Grid(8, "channel", "symmetric"), Grid(2, 32, "range"), Grid(8, 32, "lowest"), BLOCKS])
def test_zeros_stay_zeros(grid):
    values = torch.zeros(4, 40)
    values[0, :5] = torch.tensor([1.0, 0, -0.3, 0, 0.2])
    found = on_grid(values, grid)
    assert torch.equal(found[1:], values[1:])
    assert torch.equal(found[0][values[0] == 0], torch.zeros(37))


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_weights_in_blocks_are_rounded_as_in_files(bits):
    """A width of 80 is no whole number of blocks."""
    from edgedistill.quantizers._blocks import Blocks, rounded

    weights = np.random.default_rng(0).normal(size=(24, 80)).astype(np.float32)
    packed, scales, zeros = rounded(weights.T, Blocks(bits))
    zero = np.full(scales.shape, 128) if bits == 8 else unpacked(zeros, bits)[:, : scales.shape[1]]
    levels = unpacked(packed, bits).astype(np.float32) - zero[..., None].astype(np.float32)
    expected = (levels * scales[..., None]).reshape(24, -1)[:, :80]
    grid = arithmetic_of({2: "int2", 4: "int4", 8: "int8"}[bits]).weights
    np.testing.assert_array_equal(on_grid(torch.from_numpy(weights), grid).numpy(), expected)


def unpacked(packed, bits: int):
    """One number each instead of several in a byte, the first in the lowest bits."""
    parts = [(packed >> (bits * i)) & (2**bits - 1) for i in range(8 // bits)]
    return np.stack(parts, axis=-1).reshape(*packed.shape[:-1], -1)


def test_layers_of_unknown_arithmetic_are_refused():
    model = GPT2ForSequenceClassification(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=20, n_positions=8))
    with (
        pytest.raises(UserError, match="supports linear layers and tables, but the student has a Conv1D layer"),
        fake_quantized(model, arithmetic_of("int4")),
    ):
        pass
    assert not any("forward" in vars(module) for module in model.modules() if isinstance(module, nn.Linear))


def searches(monkeypatch) -> list[int]:
    """The number of values of every search for scales from now on."""
    found: list[int] = []

    def counted(groups, bits):
        found.append(groups.numel())
        return best_steps(groups, bits)

    monkeypatch.setattr(fake_quantization, "best_steps", counted)
    return found


def test_scales_are_searched_every_few_steps_and_whenever_the_mode_changes(monkeypatch):
    torch.manual_seed(0)
    layer = nn.Linear(64, 8)
    model = nn.Sequential(layer)
    found, counts = searches(monkeypatch), []
    with fake_quantized(model, arithmetic_of("int2")):
        for _ in range(40):
            model(torch.ones(1, 1, 64))
            with torch.no_grad():
                layer.weight += 0.01 * torch.randn(8, 64)
            counts.append(len(found))
        assert [counts[step] for step in (0, 15, 16, 31, 32)] == [1, 1, 2, 2, 3]
        for change in (model.eval, model.train):
            change()
            before = len(found)
            for _ in range(3):  # of a model that does not change
                expected = nn.functional.linear(torch.ones(64), on_grid(layer.weight, Grid(2, 32, "range")))
                torch.testing.assert_close(model(torch.ones(1, 1, 64))[0, 0], expected + layer.bias, atol=1e-3, rtol=0)
            assert len(found) == before + 1
    assert "train" not in vars(layer)


def test_between_searches_the_nearest_numbers_are_those_of_the_weights_now():
    torch.manual_seed(0)
    layer, grid = nn.Linear(64, 8), Grid(2, 32, "range")
    weights = fake_quantization._Weights(layer, grid)
    weights()
    with torch.no_grad():
        layer.weight *= 2
    torch.testing.assert_close(weights(), on_grid(layer.weight, grid))
    weights().sum().backward()
    assert torch.equal(layer.weight.grad, torch.ones(8, 64))
