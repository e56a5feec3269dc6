"""Two models of the same 512 tokens, one with 520 rows: what pads them is part of no loss, in whatever form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from byte_pairs import TEXTS, byte_pairs
from language_models import tiny
from transformers import PreTrainedTokenizerFast

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense, HiddenAndHead, top_k
from edgedistill.contracts.task import Encoder
from edgedistill.data.prepared import PreparedData
from edgedistill.errors import UserError
from edgedistill.signals.packed_top_k import PackedTopK
from edgedistill.signals.recorded import Shards, open_mapped
from edgedistill.signals.recording import DistributionRecorder, save_head
from edgedistill.signals.soft_targets import StateSignal
from edgedistill.store.progress import Progress
from edgedistill.training.round_models import refuse_other_tokens, with_losses
from edgedistill.training.training_data import TrainingData

TASK = registry.task("text-generation")
TOKENS, PADDED = 512, 520


def saved(folder: Path, tokenizer) -> Path:
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|start|>", eos_token="<|end|>")
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    saved(folder / "tokenizer", byte_pairs(TOKENS - 1))
    return PreparedData(folder, facts=None)


@pytest.fixture(scope="module")
def items(data):
    encoder = Encoder(
        {"text": "text"}, data.load_tokenizer(), {}, 16, registry.task_as("text-generation", "bits_per_byte", {})
    )
    return TASK.data.encode({"text": TEXTS[:4]}, encoder)


def model(rows: int):
    return tiny(vocab_size=rows, bos_token_id=None, eos_token_id=None)


def padded(loud: float = 0.0):
    """A model of 512 rows with 8 more, of which it makes large logits where they are `loud`."""
    one, wide = model(TOKENS), model(PADDED)
    weights = one.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], torch.full((PADDED - TOKENS, 48), loud)])
    wide.load_state_dict(weights)
    return wide


def forms(teacher, batch):
    """What a teacher without padding says of a batch, in every form."""
    states, head = TASK.model.states(teacher, batch.columns), TASK.model.head(teacher)
    whole = HiddenAndHead(states.detach(), head.weight_VH.detach())
    return {"dense": whole.dense(), "top-k": top_k(whole.dense().logits_RC, 20, (1.0,)), "hidden": whole}


@pytest.mark.parametrize("form", ["dense", "top-k", "hidden"])
@pytest.mark.parametrize("kind", ["kl", "reverse_kl", "skew_kl", "jsd", "mse_logits", "dist"])
def test_a_students_padding_is_part_of_no_loss(data, items, form, kind):
    loss = registry.loss(kind)
    if form not in loss.forms:
        pytest.skip(f"'{kind}' takes no {form}")
    batch = TrainingData.plain([items], TASK).fetch([0, 1, 2])
    spec = (
        loss.spec(kind=kind)
        if loss.temperature is None
        else loss.spec.model_validate({"kind": kind, "temperature": 1.0})
    )
    found = []
    for student in (model(TOKENS), padded(), padded(loud=3.0)):
        teacher = forms(tiny(vocab_size=TOKENS, initializer_range=0.2, bos_token_id=None, eos_token_id=None), batch)
        module = with_losses([spec], TASK, student, [], frozenset(), data)
        value = module(type(batch)(**{**batch.__dict__, "teacher": teacher[form]}))
        value.sum().backward()
        gradient = student.get_input_embeddings().weight.grad
        assert torch.count_nonzero(gradient[TOKENS:]) == 0
        found.append((value.item(), gradient[:TOKENS]))
    for value, gradient in found[1:]:
        assert value == pytest.approx(found[0][0], rel=1e-5)
        torch.testing.assert_close(gradient, found[0][1], rtol=1e-3, atol=1e-6)


def test_a_teachers_padding_is_recorded_in_no_form(items, tmp_path):
    wide, narrow = padded(loud=3.0), model(TOKENS)

    def record(name, said, **form):
        file = tmp_path / name
        DistributionRecorder(said, TASK, Progress(), "", tokens=TOKENS, **form).write(items, file, "")
        return file

    dense, expected = (Shards.of([record(name, said)]).every() for name, said in (("a", wide), ("b", narrow)))
    assert dense.shape[1] == TOKENS
    np.testing.assert_allclose(dense, expected, atol=1e-4)
    layout = PackedTopK(TOKENS, 20, 8, 1)
    top = [
        Shards.of([record(name, said, layout=layout, temperatures=(1.0,))]).every()
        for name, said in (("c", wide), ("d", narrow))
    ]
    assert (layout.unpack(top[0])[0] == layout.unpack(top[1])[0]).mean() > 0.99
    save_head(wide, TASK, tmp_path / "head", TOKENS)
    assert open_mapped(tmp_path / "head")["weight"].shape == (TOKENS, 48)
    states = StateSignal.of([record("e", wide, bits=16)], tmp_path / "head").distribution(np.arange(5))
    assert isinstance(states, HiddenAndHead)
    np.testing.assert_allclose(states.dense().logits_RC.numpy(), expected[:5], atol=0.1)


def test_another_vocabulary_is_refused_with_both_names(data, tmp_path):
    student, teacher = model(TOKENS), padded()
    teacher.save_pretrained(tmp_path / "big")
    refuse_other_tokens(student, "r1", data, {"big": (tmp_path / "big", data.tokenizer)})
    other = saved(tmp_path / "other", byte_pairs(TOKENS - 1, regular=False))
    with pytest.raises(UserError, match=r"teacher 'big' and student 'r1' have different vocabularies \("):
        refuse_other_tokens(student, "r1", data, {"big": (tmp_path / "big", other)})
    small = tiny(vocab_size=500, bos_token_id=None, eos_token_id=None)
    with pytest.raises(UserError, match="'r1' has 500 logits, expected at least 512"):
        refuse_other_tokens(small, "r1", data, {"big": (tmp_path / "big", data.tokenizer)})


def test_a_distribution_of_the_first_classes(items):
    batch = TrainingData.plain([items], TASK).fetch([0])
    whole = forms(model(TOKENS), batch)
    for said in (whole["dense"], whole["hidden"]):
        assert said.first(TOKENS) is said
        first = said.first(7)
        assert isinstance(first, Dense | HiddenAndHead)
        torch.testing.assert_close(first.dense().logits_RC, said.dense().logits_RC[:, :7])
