from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from edgedistill.device.sampling import Chooser, Sampling, probabilities
from edgedistill.errors import UserError


@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
    top_k=st.integers(0, 40),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
)
def test_what_is_drawn_from_is_that_of_transformers(seed, temperature, top_k, top_p):
    logits = np.random.default_rng(seed).normal(0, 3, (3, 30)).astype(np.float32)
    scores = TemperatureLogitsWarper(temperature)(None, torch.from_numpy(logits).double())
    if top_k:
        scores = TopKLogitsWarper(top_k)(None, scores)
    if top_p < 1:
        scores = TopPLogitsWarper(top_p)(None, scores)
    found = probabilities(logits, Sampling(temperature, top_k, top_p))
    np.testing.assert_allclose(found, scores.softmax(-1).numpy(), atol=1e-9)


def test_no_temperature_takes_the_likeliest_and_of_equals_the_first():
    logits = np.array([[0.0, 2.0, 2.0], [5.0, 1.0, 0.0]])
    assert Chooser(Sampling(), 2).choose(logits).tolist() == [1, 0]


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = np.log(np.array([[0.6, 0.3, 0.1]]))
    chooser = Chooser(Sampling(temperature=1.0, seed=3), 1)
    counts = np.bincount([int(chooser.choose(logits)[0]) for _ in range(3000)], minlength=3)
    np.testing.assert_allclose(counts / 3000, [0.6, 0.3, 0.1], atol=0.03)


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"temperature": -0.1}, "the temperature is -0.1, expected 0 or more"),
        ({"temperature": float("nan")}, "the temperature is nan"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0, expected more than 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"seed": -1}, "the seed is -1"),
    ],
)
def test_figures_that_cannot_be_are_refused(given_, message):
    with pytest.raises(UserError, match=message):
        Sampling(**given_)
