"""The device half of language models, on a graph that is a torch model with a cache, or without one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tasks.test_language_model import TASK, items_of, tiny_of
from transformers import DynamicCache

from edgedistill.contracts.driver import Port
from edgedistill.device.answering import answer
from edgedistill.device.decoding import CachedDecoder, scored_alone
from edgedistill.errors import EdgedistillError
from edgedistill.signals.inference import predict
from edgedistill.tasks import _language_device as device
from edgedistill.tasks import _language_probe as probing
from edgedistill.tasks._language_driver import DRIVER
from edgedistill.tasks._language_judge import JUDGE


class Graph:
    """A llama under the names of a file's inputs and outputs.

    Args:
        cached: whether it has a cache.
        wrong: what its logits are off by once there is something in the cache.
    """

    def __init__(self, cached=True, wrong=0.0):
        self.model, self.cached, self.wrong = tiny_of("llama"), cached, wrong
        config = self.model.config
        self.layers = config.num_hidden_layers if cached else 0
        rows = Port("int64", (None, None))
        kept = Port("float32", (None, config.num_key_value_heads, None, config.head_dim))
        names = [f"{n}.{what}" for n in range(self.layers) for what in ("key", "value")]
        self.inputs = dict.fromkeys(("input_ids", "attention_mask", "position_ids"), rows)
        self.inputs |= {f"past_key_values.{name}": kept for name in names}
        self.outputs = {"logits": rows} | {f"present.{name}": kept for name in names}
        self.passes = []

    def run(self, feeds):
        given = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in feeds.items()}
        self.passes.append(given["input_ids"].shape)
        cache = DynamicCache()
        for n in range(self.layers):
            cache.update(given[f"past_key_values.{n}.key"], given[f"past_key_values.{n}.value"], n)
        before = cache.get_seq_length()
        with torch.no_grad():
            found = self.model(
                input_ids=given["input_ids"],
                attention_mask=given["attention_mask"],
                position_ids=given["position_ids"],
                past_key_values=cache if self.cached else None,
                use_cache=self.cached,
            )
        logits = found.logits.numpy()
        if before and self.wrong:
            logits = logits + self.wrong * np.eye(logits.shape[-1])[7]
        out = {"logits": logits}
        for n in range(self.layers):
            layer = found.past_key_values.layers[n]
            out |= {f"present.{n}.key": layer.keys.numpy(), f"present.{n}.value": layer.values.numpy()}
        return out

    def backend(self):
        return {}


class Alone:
    """A graph whose runtime keeps the cache, of one text."""

    longest = 64

    def __init__(self):
        self.graph = Graph()
        self.inputs = {name: self.graph.inputs[name] for name in ("input_ids", "attention_mask")}
        self.outputs = {"logits": self.graph.outputs["logits"]}

    def run(self, feeds):
        return scored_alone(self.decoder(), feeds)

    def decoder(self):
        decoder = CachedDecoder(self.graph)
        advance = decoder.advance

        def alone(tokens, real=None):
            assert len(tokens) == 1
            assert real is None
            return advance(tokens)

        vars(decoder)["advance"] = alone
        return decoder

    def backend(self):
        return {}


@pytest.mark.parametrize("batch", [1, 4])
def test_a_runtime_of_one_text_at_a_time_answers_batches_and_passes_all_checks(batch):
    items = items_of([30, 28, 22, 30, 5])
    expected = predict(tiny_of("llama"), TASK, items)
    found = answer(DRIVER, {"model": Alone()}, items, np.arange(len(items)), batch)
    assert found.item.tolist() == expected.item.tolist()
    assert JUDGE.fidelity(expected, found).difference.max() < 1e-4
    probed = DRIVER.probe({"model": Alone()}, items)
    shares = JUDGE.checks(TASK.model.probe(tiny_of("llama"), items), probed)
    assert set(shares.values()) == {1.0}
    assert len(list(DRIVER.phases({"model": Alone()}, items.batch(np.arange(1))))) == 1 + device.DECODED


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_file_answers_as_its_torch_model(cached, batch):
    items = items_of([9, 3, 14, 1, 6])
    expected = predict(tiny_of("llama"), TASK, items)
    found = answer(DRIVER, {"model": Graph(cached)}, items, np.arange(len(items)), batch)
    assert found.item.tolist() == expected.item.tolist()
    fidelity = JUDGE.fidelity(expected, found)
    assert fidelity.agree.all()
    assert fidelity.difference.max() < 1e-4
    assert fidelity.divergence.max() < 1e-6


def test_a_graph_of_other_outputs_is_an_error():
    graph = Graph(False)
    vars(graph)["run"] = lambda feeds: {"logits": np.zeros((1, 4, 3), np.float32)}
    items = items_of([4])
    with pytest.raises(EdgedistillError, match="the file returns 1 x 4 x 3 numbers, expected logits for every token"):
        DRIVER.answer({"model": graph}, items, np.arange(1))


def test_phases_read_the_batch_then_go_on_token_by_token():
    graph, items = Graph(), items_of([30, 22])
    names = list(DRIVER.phases({"model": graph}, items.batch(np.arange(2))))
    assert names == ["prefill"] + ["decode"] * device.DECODED
    assert graph.passes == [(2, 30)] + [(2, 1)] * device.DECODED
    assert graph.model.config.max_position_embeddings >= 30  # none goes beyond what was read


def test_a_right_file_passes_all_checks():
    items = items_of([30, 28, 22, 30, 5])
    expected = TASK.model.probe(tiny_of("llama"), items)
    for cached in (True, False):
        found = DRIVER.probe({"model": Graph(cached)}, items)
        assert found["alone"].shape == expected["alone"].shape == (4, 15)
        assert JUDGE.checks(expected, found) == {
            "greedy_tokens": 1.0,
            "greedy_texts": 1.0,
            "padded_tokens": 1.0,
            "uncached_tokens": 1.0,
        }


def test_a_wrong_cache_shows_in_the_checks():
    items = items_of([30, 28, 22, 30])
    expected = TASK.model.probe(tiny_of("llama"), items)
    found = JUDGE.checks(expected, DRIVER.probe({"model": Graph(wrong=1e3)}, items))
    assert found["greedy_tokens"] < 0.2
    assert found["greedy_texts"] == 0
    assert found["uncached_tokens"] < 0.5


def test_behind_the_first_difference_nothing_counts_as_repeated():
    same = np.zeros((1, 4), int)
    other = np.array([[0, 1, 0, 0]])
    found = probing.checks({"alone": same}, {"alone": other, "together": other, "at_once": other})
    assert found == {"greedy_tokens": 0.25, "greedy_texts": 0.0, "padded_tokens": 1.0, "uncached_tokens": 1.0}


def test_beginnings_leave_room_for_what_follows():
    starts, count = probing.beginnings(items_of([30] * 40))
    assert len(starts) == 16
    assert {len(start) for start in starts} == {12, 13, 14, 15}
    assert max(map(len, starts)) + count == 30


def test_scores_of_many_rows_are_those_of_each(monkeypatch):
    generator = np.random.default_rng(0)
    logits, right = generator.normal(size=(20, 33)), generator.integers(0, 33, 20)
    whole = device.scored(logits, right)
    monkeypatch.setattr(device, "_ROWS", 3)
    parts = device.scored(logits, right)
    exact = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)
    assert np.allclose(whole["log_p"], exact[np.arange(20), right], atol=1e-6)
    assert (whole["ids"] == np.argsort(-logits, axis=1)[:, :16]).all()
