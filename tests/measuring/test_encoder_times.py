"""From the times of one and two layers to that of any depth, and their cache."""

from __future__ import annotations

import pytest
from helpers import raise_version
from hypothesis import given
from hypothesis import strategies as st

from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.model_shape import ModelShape
from edgedistill.contracts.weights import Weights
from edgedistill.measuring import encoder_times
from edgedistill.measuring.encoder_times import LayerShape, LayerTimes, Setup, Times, setups
from edgedistill.system.memory import place_of, recall, remember

LAYER = LayerShape("bert", 64, 256, 2, 64)
FAST = Setup(FileKind("onnx-fused", "int8-dynamic"), 1, 1, 24)
MIXED = FileKind("onnx", None, (("embeddings", "int4"), ("attention", "int8-dynamic")), 64)
TIMES = LayerTimes(Times(1.0, 1.5), Times(1.4, 2.1))
times = st.floats(0.01, 1e4)


@pytest.fixture(autouse=True)
def own_memory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_layer_is_the_difference_and_the_rest_is_what_one_layer_leaves():
    assert TIMES.layer_ms == pytest.approx(0.4)
    assert TIMES.median_ms(6) == pytest.approx(0.6 + 6 * 0.4)
    assert TIMES.spread == pytest.approx(1.5)


@given(times, times, st.integers(1, 48))
def test_what_was_timed_comes_out_again_and_more_layers_take_no_less(one, two, layers):
    found = LayerTimes(Times(one, one), Times(two, two))
    assert found.median_ms(1) == pytest.approx(one)
    assert found.median_ms(2) == pytest.approx(max(one, two))
    assert found.median_ms(layers) <= found.median_ms(layers + 1)


def test_the_cache_gives_what_was_stored_and_adds_to_it():
    assert encoder_times.table() == {}
    encoder_times.store({(LAYER, FAST): TIMES})
    others = {(LAYER, Setup(kind, 2, 1, 24)): TIMES for kind in (FileKind("onnx", "fp32"), MIXED)}
    encoder_times.store(others)
    assert encoder_times.table() == {(LAYER, FAST): TIMES, **others}
    assert place_of("x").parent == place_of(encoder_times.place()).parent
    assert recall(encoder_times.place().rsplit("/", 1)[1])


@pytest.mark.parametrize("target", encoder_times.TARGETS)
def test_another_exporter_measures_again(target, monkeypatch):
    encoder_times.store({(LAYER, FAST): TIMES})
    before = encoder_times.place()
    raise_version(monkeypatch, "exporters", target)
    assert encoder_times.place() != before
    assert encoder_times.table() == {}


def test_another_runtime_or_machine_measures_again(monkeypatch):
    before = encoder_times.place()
    with monkeypatch.context() as patch:
        patch.setattr(encoder_times, "runtime_versions", lambda runtime: {"onnxruntime": "99"})
        assert encoder_times.place() != before
    real = encoder_times.describe()
    monkeypatch.setattr(encoder_times, "describe", lambda: {**real, "cpu": "another"})
    assert encoder_times.place() != before


@pytest.mark.parametrize(("key", "content"), [("not json", {}), ("[1, 2]", {}), ('[{"a": 1}, {}]', {})])
def test_entries_that_cannot_be_read_are_measured_again(key, content):
    encoder_times.store({(LAYER, FAST): TIMES})
    name = encoder_times.place().rsplit("/", 1)[1]
    remember(name, {**recall(name), key: content})
    assert encoder_times.table() == {(LAYER, FAST): TIMES}


def test_only_encoders_of_known_equal_layers_have_a_layer_shape():
    weights = Weights(2, ((100, 32),), ((32, 32),), ((32, 64),), ((32, 2),), 10)
    shape = ModelShape(2, 32, 4, 100, 16, architecture="electra", intermediate_size=64, weights=weights)
    assert LayerShape.of(shape) == LayerShape("electra", 32, 64, 4, 16)
    assert LayerShape.of(ModelShape(2, 32, intermediate_size=64)) is None
    assert LayerShape.of(ModelShape(2, 32, weights=weights)) is None


def test_setups_are_every_combination_once():
    kinds = [FileKind("onnx", precision) for precision in ("fp32", "fp32", "fp16")]
    found = setups(kinds, [(1, 1), (2, 1), (1, 1)], [8, 16])
    assert len(found) == len(set(found)) == 2 * 2 * 2
