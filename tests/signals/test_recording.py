"""Distributions are recorded in three forms, shard by shard, and read back as what the model said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import text_items
from hypothesis import given
from hypothesis import strategies as st
from tiny_decoders import VOCABULARY, tiny
from transformers import BertConfig, BertForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, HiddenAndHead, TopK
from edgedistill.contracts.items import Items
from edgedistill.contracts.task import Head
from edgedistill.errors import UserError
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.recorded import Shards
from edgedistill.signals.recording import (
    DistributionRecorder,
    classes_of,
    publish,
    record_shards,
    save_head,
    shard_ranges,
)
from edgedistill.signals.soft_targets import LogitSignal, SoftTargets, StateSignal, TopKSignal
from edgedistill.store.progress import Progress
from edgedistill.tasks._language_items import columns

CLASSES = 30
TASK = registry.task("text-classification")


def states(model, batch):
    return model.bert(batch["input_ids"], batch["attention_mask"]).pooler_output


def head(model):
    return Head(model.classifier.weight, model.classifier.bias)


STATES = replace(TASK, model=replace(TASK.model, states=states, head=head, right=lambda batch: batch["labels"]))
"""The same task, said by its last states."""


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    made = BertForSequenceClassification(BertConfig(vocab_size=40, num_labels=CLASSES, **sizes)).eval()
    with torch.no_grad():
        made.classifier.weight.mul_(50)
        made.classifier.bias.normal_()
    return made


@pytest.fixture(scope="module")
def items():
    random = np.random.default_rng(0)
    return text_items([random.integers(5, 40, length).tolist() for length in random.integers(1, 12, 90)])


@pytest.fixture(scope="module")
def said(model, items):
    with torch.inference_mode():
        batch = {name: torch.from_numpy(value) for name, value in items.inputs(np.arange(len(items))).items()}
        return model(**batch).logits


def recorded(recorder: DistributionRecorder, items, folder, shard: int = 40, name: str = "signal"):
    counts = np.ones(len(items), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgedistill.signals.recording.SHARD_DECISIONS", shard)
        patch.setattr("edgedistill.signals.recording._TILE", 7 * CLASSES)
        patch.setattr("edgedistill.signals.recording._IN_CACHE", 3 * CLASSES)
        return record_shards(items, counts, name, folder / "scratch", recorder.write)


def recorder(model, task, **form) -> DistributionRecorder:
    return DistributionRecorder(model, task, Progress(), "", **form)


@pytest.mark.parametrize("task", [TASK, STATES])
def test_logits_are_those_of_every_decision(model, items, said, tmp_path, task):
    files = recorded(recorder(model, task), items, tmp_path)
    assert [file.name for file in files] == [f"signal-0000{number}.safetensors" for number in range(3)]
    signal = LogitSignal((Shards.of(files),))
    np.testing.assert_allclose(signal.all_rows(), said.numpy(), atol=1e-4)
    chosen = np.array([85, 3, 41])
    distribution = signal.distribution(chosen)
    assert isinstance(distribution, Dense)
    np.testing.assert_allclose(distribution.logits_RC, said[chosen].numpy(), atol=1e-4)


def test_sampled_classes_are_drawn_for_each_decision_and_again_the_same(model, tmp_path):
    """Of one text many times over: together they are its whole distribution."""
    count, layout = 400, PackedTopK(CLASSES, 4, 8, 1)
    same = text_items([[5, 6, 7, 8]] * count)
    sampling = recorder(model, TASK, layout=layout, temperatures=(4.0,), sampled=True)
    found = []
    for name in ("once", "again"):
        files = recorded(sampling, same, tmp_path / name, shard=150)
        signal = TopKSignal(Shards.of(files), layout, (4.0,)).distribution(np.arange(count))
        assert isinstance(signal, TopK)
        weights = signal.beside(torch.zeros(count, CLASSES), 4.0).teacher[:, :4].exp()
        found.append(torch.zeros(CLASSES).index_add_(0, signal.ids_RK.flatten(), weights.flatten()) / count)
    assert torch.equal(*found)
    with torch.inference_mode():
        batch = {name: torch.from_numpy(value) for name, value in same.inputs(np.arange(1)).items()}
        whole = torch.softmax(model(**batch).logits[0] / 4.0, -1)
    torch.testing.assert_close(found[0], whole, rtol=0, atol=0.02)
    assert (found[0] > 0).sum() > 4


@pytest.mark.parametrize("task", [TASK, STATES])
def test_top_k_keeps_the_likeliest_and_the_mass_of_the_rest_at_every_temperature(model, items, said, tmp_path, task):
    layout, temperatures = PackedTopK(CLASSES, 5, 8, 2), (1.0, 3.0)
    form = {"layout": layout, "temperatures": temperatures}
    signal = TopKSignal(Shards.of(recorded(recorder(model, task, **form), items, tmp_path)), layout, temperatures)
    chosen = np.array([85, 3, 41])
    found = signal.distribution(chosen)
    assert isinstance(found, TopK)
    for temperature in temperatures:
        whole = torch.softmax(said[chosen] / temperature, -1)
        kept = whole.gather(-1, found.ids_RK)
        pair = found.beside(torch.zeros(3, CLASSES), temperature).teacher.exp()
        assert torch.allclose(pair[:, :5], kept, atol=5e-3)
        assert torch.allclose(pair[:, 5], 1 - kept.sum(-1), atol=5e-3)
        assert torch.allclose(kept.sum(-1), whole.topk(5).values.sum(-1), atol=1e-6)


@pytest.mark.parametrize(("bits", "error"), [(16, 2e-2), (8, 0.5)])
def test_states_and_the_head_give_the_logits_within_their_precision(model, items, said, tmp_path, bits, error):
    files = recorded(recorder(model, STATES, bits=bits), items, tmp_path)
    save_head(model, STATES, tmp_path / "head.safetensors")
    signal = StateSignal.of(files, tmp_path / "head.safetensors")
    chosen = np.array([85, 3, 41])
    found = signal.distribution(chosen)
    assert isinstance(found, HiddenAndHead)
    assert torch.allclose(found.dense().logits_RC, said[chosen], atol=error)
    stored = sum(array.nbytes for array in (*signal.hidden.parts, *(signal.scale.parts if signal.scale else ())))
    assert stored == len(items) * {16: 32, 8: 20}[bits]


def test_states_are_computed_in_bf16_where_asked_and_the_head_is_not(model, items, said, tmp_path):
    found = []
    for bf16 in (True, False):
        folder = tmp_path / str(bf16)
        folder.mkdir()
        found.append(LogitSignal((Shards.of(recorded(recorder(model, STATES, bf16=bf16), items, folder)),)).all_rows())
    batch = {name: torch.from_numpy(value) for name, value in items.inputs(np.arange(90)).items()}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        hidden = states(model, batch).float()
    expected = (hidden @ model.classifier.weight.T + model.classifier.bias).detach().numpy()
    assert np.abs(expected - said.numpy()).max() > 2e-3
    np.testing.assert_allclose(found[0], expected, atol=1e-3)
    np.testing.assert_allclose(found[1], said, atol=1e-4)


LANGUAGE = registry.task("text-generation")
FORMS: dict[str, dict[str, Any]] = {
    "logits": {},
    "top-k": {"layout": PackedTopK(VOCABULARY, 12, 16, 1), "temperatures": (1.0,)},
    "states": {"bits": 16},
}


@pytest.mark.parametrize("form", FORMS)
def test_the_cap_of_a_teachers_logits_is_recorded_in_every_form(tmp_path, form):
    """Logits far beyond it, which it therefore changes."""
    teacher = tiny("gemma2", final_logit_softcapping=2.0)
    tokens = [np.random.default_rng(n).integers(3, VOCABULARY, 9).tolist() for n in range(5)]
    given = {"input_ids": tokens, "attention_mask": [[1] * 9] * 5, "next_token": tokens, "next_bytes": tokens}
    items = Items.of(columns(0), given, range(5), "input_ids")
    with torch.no_grad():
        said = teacher(input_ids=torch.tensor(tokens)).logits.flatten(0, 1)
    assert 1.5 < said.abs().max() < 2
    files = recorded(recorder(teacher, LANGUAGE, **FORMS[form]), items, tmp_path)
    save_head(teacher, LANGUAGE, tmp_path / "head.safetensors", VOCABULARY)
    signals: dict[str, Callable[[], SoftTargets]] = {
        "logits": lambda: LogitSignal((Shards.of(files),)),
        "top-k": lambda: TopKSignal(Shards.of(files), FORMS["top-k"]["layout"], (1.0,)),
        "states": lambda: StateSignal.of(files, tmp_path / "head.safetensors"),
    }
    found = signals[form]().distribution(np.arange(45))
    compared, wanted = found.beside(said, 1.0), said.log_softmax(-1)
    if isinstance(found, TopK):
        wanted = torch.cat([wanted.gather(-1, found.ids_RK), compared.student[:, -1:]], -1)
    assert (compared.teacher - wanted).abs().max() < 5e-3


def test_states_that_16_bits_do_not_hold_are_refused(model, items, tmp_path):
    def large(model, batch):
        return states(model, batch) * 1e6

    task = replace(STATES, model=replace(STATES.model, states=large))
    with pytest.raises(UserError, match=r"got 16, but a hidden state of the teacher has an entry of \d+, beyond"):
        recorded(recorder(model, task, bits=16), items, tmp_path)
    assert recorded(recorder(model, task, bits=8), items, tmp_path)


def test_what_an_earlier_process_finished_is_taken_as_it_is(model, items, said, tmp_path):
    class Ended(Exception):
        pass

    asked: list[str] = []
    own = recorder(model, TASK)

    def write(part, file, which):
        if len(asked) == 2:
            file.write_bytes(b"half of it")
            raise Ended
        asked.append(which)
        own.write(part, file, which)

    again: list[str] = []

    def write_again(part, file, which):
        again.append(which)
        own.write(part, file, which)

    counts = np.ones(len(items), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgedistill.signals.recording.SHARD_DECISIONS", 40)
        with pytest.raises(Ended):
            record_shards(items, counts, "signal", tmp_path / "scratch", write)
        assert asked == [", part 1 of 3", ", part 2 of 3"]
        files = record_shards(items, counts, "signal", tmp_path / "scratch", write_again)
    assert again == [", part 3 of 3"]
    (tmp_path / "made").mkdir()
    names = publish(files, tmp_path / "made")
    np.testing.assert_allclose(Shards.of([tmp_path / "made" / name for name in names]).every(), said, atol=1e-4)


def test_what_is_left_of_an_interrupted_recording_is_a_checkpoint(model, items, tmp_path):
    from edgedistill.store.scratch import keep_checkpoints

    recorded(recorder(model, TASK), items, tmp_path)
    keep_checkpoints(tmp_path)
    assert len(list((tmp_path / "scratch").glob("*.safetensors"))) == 3


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 20))
def test_shards_hold_all_items_in_order_and_no_more_decisions_than_asked(counts, limit):
    ranges = list(shard_ranges(np.array(counts), limit))
    assert [first for first, _ in ranges] == [0, *(last for _, last in ranges[:-1])]
    assert ranges[-1][1] == len(counts)
    for first, last in ranges:
        assert last > first
        assert sum(counts[first:last]) <= limit or sum(map(bool, counts[first:last])) == 1


@pytest.mark.parametrize("task", [TASK, STATES])
def test_the_number_of_classes_is_asked_of_the_model(model, items, task):
    assert classes_of(model, task, items) == CLASSES
