"""Packed top-k: exact class numbers, log-probabilities within half a step, and as many bytes as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgedistill.contracts.distribution import Dense, TopK, top_k
from edgedistill.signals.packed_top_k import PackedTopK


@st.composite
def layouts(draw) -> PackedTopK:
    classes = draw(st.one_of(st.integers(1, 40), st.sampled_from([1000, 8192, 49_152, 128_256])))
    k = draw(st.integers(1, min(classes, 64)))
    return PackedTopK(classes, k, draw(st.integers(1, 8)), draw(st.integers(0, 3)))


@given(layout=layouts(), rows=st.integers(0, 4), seed=st.integers(0, 2**31))
@settings(max_examples=200, deadline=None)
def test_what_is_packed_comes_back(layout, rows, seed):
    random = np.random.default_rng(seed)
    ids = np.stack([random.permutation(layout.classes)[: layout.k] for _ in range(rows)] or [np.zeros(layout.k, int)])
    ids = ids[:rows]
    log_p = -random.exponential(3, (rows, layout.k)).astype(np.float32)
    rest = -random.exponential(3, (rows, layout.temperatures))
    packed = layout.pack(ids, log_p, rest)
    assert packed.shape == (rows, layout.bytes)
    again, given_p, given_rest = layout.unpack(packed)
    order = np.argsort(ids, axis=1)
    np.testing.assert_array_equal(again, np.take_along_axis(ids, order, 1))
    below = np.take_along_axis(log_p, order, 1) - log_p.max(1, keepdims=True, initial=-np.inf)
    step = -below.min(1, keepdims=True, initial=0) / (2**layout.bits - 1)
    assert (np.abs(given_p - below) <= step * 0.51 + 5e-3).all()
    np.testing.assert_allclose(given_rest, rest, rtol=1e-3, atol=1e-3)


def test_a_token_of_the_usual_vocabularies_takes_a_hundred_bytes_at_most():
    sizes = {8192: 50, 49_152: 42, 128_256: 39}
    assert {PackedTopK(classes, k, 6, 1).bytes for classes, k in sizes.items()} <= {98, 99, 100}


def test_impossible_classes_and_certain_ones_stay_finite():
    layout = PackedTopK(50, 3, 8, 1)
    kept = top_k(torch.tensor([[0.0, -2000.0] + [-4000.0] * 48]), 3, (1.0,))
    ids, log_p, rest = layout.unpack(layout.pack(kept.ids_RK.numpy(), kept.log_p_RK.numpy(), kept.log_rest_RS.numpy()))
    assert (np.isfinite(log_p).all(), np.isfinite(rest).all()) == (True, True)
    assert log_p.max() == 0
    assert ids[0, log_p.argmax()] == 0


@pytest.mark.parametrize(("bits", "nats"), [(8, 2e-4), (6, 3e-3), (4, 5e-2)])
def test_fewer_bits_cost_little_divergence(bits, nats):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5000, generator=generator) * 3
    layout = PackedTopK(5000, 40, bits, 1)
    exact = top_k(logits, 40, (1.0,))
    packed = layout.pack(exact.ids_RK.numpy(), exact.log_p_RK.numpy(), exact.log_rest_RS.numpy())
    kept = TopK(*(torch.from_numpy(array) for array in layout.unpack(packed)), (1.0,))
    teacher = kept.beside(logits, 1.0)
    lost = (teacher.teacher.exp() * (teacher.teacher - teacher.student)).sum(-1)
    assert 0 <= lost.mean() < nats
    assert torch.allclose(Dense(logits).beside(logits, 1.0).teacher.logsumexp(-1), torch.zeros(200), atol=1e-5)
