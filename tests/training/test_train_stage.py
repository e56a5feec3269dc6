from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import text_items
from transformers import BertConfig, BertForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Dense
from edgedistill.contracts.items import Items
from edgedistill.errors import UserError
from edgedistill.losses import hard_label
from edgedistill.recipe.schema import Compute
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.signals.recorded import Shards
from edgedistill.signals.soft_targets import LogitSignal
from edgedistill.store.progress import Progress
from edgedistill.tasks._classification_judge import JUDGE
from edgedistill.training.fake_quantization import fake_quantized
from edgedistill.training.loop import LengthBuckets, StageRequest, learning_rate, make_accelerator, train_stage
from edgedistill.training.training_data import TrainingData, labelled
from edgedistill.training.training_module import TrainingModule

SILENT = Progress()
TASK = registry.task("text-classification")


def student(dropout: float = 0.1) -> BertForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=20, max_position_embeddings=8, hidden_dropout_prob=dropout, **sizes)
    return BertForSequenceClassification(config)


def tokens(count: int = 40, unlabelled: int = 0) -> Items:
    """The label is whether token 7 is there."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 6, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = generator.integers(5, 9, offsets[-1])
    labels = np.array([int(7 in ids[a:b]) for a, b in pairwise(offsets)])
    labels[:unlabelled] = -100
    return text_items(np.split(ids, offsets[1:-1]), labels)


def data(items: Items) -> TrainingData:
    return TrainingData.plain([items], TASK)


def request(epochs: int = 4, judge=None, **change) -> StageRequest:
    schedule = Schedule(epochs=epochs, learning_rate=5e-3, batch_size=8)
    options: dict[str, Any] = {
        "name": "stage",
        "data": data(tokens()),
        "schedule": schedule,
        "losses": (("hard_label", 1.0),),
        "seed": 0,
        "compute": Compute(device="cpu", precision="fp32"),
        "judge": judge or (lambda model: 0.0),
        "metric": JUDGE.metrics["accuracy"],
    }
    return StageRequest(**(options | change))


def train(scratch: Path, asked: StageRequest, model=None, progress=SILENT):
    model = model or student()
    term = hard_label.build(hard_label.HardLabelSpec(kind="hard_label"), None, None)
    return model, train_stage(TrainingModule(model, TASK, [term]), asked, scratch, progress)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def rising():
    """A judge that likes every epoch better than the one before, so that the last weights are kept."""
    calls = iter(range(1000))
    return lambda model: float(next(calls))


def test_it_learns(tmp_path):
    _, history = train(tmp_path, request(epochs=12))
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[0].losses.keys() == {"hard_label"}


def train_in(precision: str | None, scratch: Path, asked: StageRequest):
    """In the arithmetic of a precision's files."""
    model = student()
    with fake_quantized(model, registry.quantizer(precision).arithmetic) if precision else nullcontext():
        return train(scratch, asked, model)


@pytest.mark.parametrize("precision", [None, "int2", "int8-dynamic"])
def test_a_killed_training_goes_on_exactly_where_it_stood(tmp_path, precision):
    whole, history = train_in(precision, tmp_path / "whole", request(judge=rising()))

    class Killed(Exception):
        pass

    calls = iter(range(1000))

    def dies_in_the_third_epoch(model):
        number = next(calls)
        if number == 2:
            raise Killed
        return float(number)

    with pytest.raises(Killed):
        train_in(precision, tmp_path / "cut", request(judge=dies_in_the_third_epoch))
    after = iter(range(2, 1000))
    resumed, again = train_in(precision, tmp_path / "cut", request(judge=lambda model: float(next(after))))
    assert [epoch.loss for epoch in again] == [epoch.loss for epoch in history]
    for name, value in weights(whole).items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_each_epoch_says_where_it_was_trained_and_a_resume_elsewhere_is_said(tmp_path, caplog):
    _, first = train(tmp_path, request(epochs=1))
    assert first[0].compute == "cpu, fp32, sdpa attention"
    elsewhere = request(epochs=2, compute=Compute(device="cpu", precision="bf16"))
    _, both = train(tmp_path, elsewhere)
    assert [epoch.compute for epoch in both] == ["cpu, fp32, sdpa attention", "cpu, bf16 autocast, sdpa attention"]
    assert "earlier epochs were trained on cpu, fp32" in caplog.text


def test_the_weights_of_the_best_epoch_are_kept(tmp_path):
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.9, 0.3, 0.9])

    def judge(model):
        seen.append(weights(model))
        return next(scores)

    model, _ = train(tmp_path, request(judge=judge))
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[3][name])  # of equals the later


def test_of_a_metric_that_is_better_when_lower_the_lowest_is_kept(tmp_path):
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.5, 0.1, 0.1, 0.9])

    def judge(model):
        seen.append(weights(model))
        return next(scores)

    metric = replace(JUDGE.metrics["accuracy"], direction="lower")
    model, _ = train(tmp_path, request(judge=judge, metric=metric))
    for name, value in model.state_dict().items():
        assert torch.equal(value, seen[2][name])


def test_an_example_is_drawn_with_all_its_items():
    items = text_items([[5, 6], [7], [8, 5, 6], [6], [7, 7]], [0, 1, 0, 1, 1], example=[0, 0, 1, 3, 3])
    plain = TrainingData.plain([items], TASK)
    assert plain.examples.tolist() == [[0, 0], [0, 1], [0, 3]]
    assert plain.lengths.tolist() == [2, 3, 2]
    weighted = replace(plain, weights=(np.array([2.0, 1.0, 1.0, 0.5], np.float32),))
    batch = weighted.fetch([2, 0])
    assert batch.inputs["input_ids"].tolist() == [[6, 0], [7, 7], [5, 6], [7, 0]]
    assert batch.weight_R.tolist() == [0.5, 0.5, 2.0, 2.0]
    assert batch.item_R.tolist() == [0, 1, 2, 3]


def test_windows_of_a_text_are_drawn_apart():
    apart = replace(TASK, data=replace(TASK.data, apart=True))
    items = text_items([[5, 6], [7], [8, 5, 6], [6], [7, 7]], [0, 1, -100, 1, 1], example=[0, 0, 1, 3, 3])
    plain = TrainingData.plain([items], apart)
    assert plain.examples.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3], [0, 4]]
    assert plain.lengths.tolist() == [2, 1, 3, 1, 2]
    assert labelled(plain).examples.tolist() == [[0, 0], [0, 1], [0, 3], [0, 4]]
    weighted = replace(plain, weights=(np.array([2.0, 1.0, 1.0, 0.5], np.float32),))
    batch = weighted.fetch([4, 1])
    assert batch.inputs["input_ids"].tolist() == [[7, 7], [7, 0]]
    assert batch.weight_R.tolist() == [0.5, 2.0]
    assert replace(weighted, oversampled=True).draws.tolist() == [2.0, 2.0, 1.0, 0.5, 0.5]


def test_examples_of_several_splits_are_padded_together():
    first, second = text_items([[5, 6, 7]], [1]), text_items([[8], [7, 8]])
    said = np.ones((1, 2), np.float32), np.arange(4.0).reshape(2, 2)
    signals = tuple(LogitSignal((Shards((logits,)),)) for logits in said)
    batch = replace(TrainingData.plain([first, second], TASK), soft_targets=signals).fetch([2, 0])
    assert batch.inputs["input_ids"].tolist() == [[5, 6, 7], [7, 8, 0]]
    assert batch.mask_BT.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.known_R.tolist() == [True, False]
    assert isinstance(batch.teacher, Dense)
    assert batch.teacher.logits_RC.tolist() == [[1, 1], [2, 3]]


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path):
    broken = student()
    with torch.no_grad():
        broken.classifier.weight.fill_(float("nan"))
    with pytest.raises(UserError, match="the loss is NaN or infinite; lower the stage's learning_rate"):
        train(tmp_path, request(), broken)


def test_weights_of_losses_decide_what_is_minimised(tmp_path):
    class Push(torch.nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def forward(self, inputs):
            return (self.sign * inputs.student_logits_RC[:, 0]).mean()

    ends = []
    for strong in (1.0, 100.0):
        model = student()
        module = TrainingModule(model, TASK, [Push(1.0), Push(-1.0)])
        asked = request(epochs=3, losses=(("up", 10.0), ("down", strong)), judge=rising())
        train_stage(module, asked, tmp_path / str(strong), SILENT)
        ends.append(model.classifier.bias[0].item())
    assert ends[0] < 0 < ends[1]


def test_nothing_but_the_student_is_in_the_student(tmp_path):
    class Projection(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)

        def forward(self, inputs):
            return self.linear(inputs.student_logits_RC).pow(2).mean()

    model, term = student(), Projection()
    before = term.linear.weight.clone()
    names = set(model.state_dict())
    train_stage(TrainingModule(model, TASK, [term]), request(epochs=1), tmp_path, SILENT)
    assert set(model.state_dict()) == names
    assert not torch.equal(term.linear.weight, before)


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = Schedule(learning_rate=1.0, warmup=0.2)
    rates = [learning_rate(step, 100, schedule) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 20)
    assert max(rates) == rates[19] == rates[20] == 1.0
    assert rates[60] == pytest.approx(0.5)
    assert rates[99] < 0.001


def test_the_control_takes_as_many_steps_from_the_labelled_items_alone():
    mixed = data(tokens(40, unlabelled=25))
    assert len(labelled(mixed).examples) == 15
    batches = list(LengthBuckets(labelled(mixed).lengths, 8, seed=0, steps=5))
    assert len(batches) == 5
    assert {len(batch) for batch in batches} <= {7, 8}


def test_an_epoch_is_the_same_again_and_another_differs():
    sampler = LengthBuckets(np.arange(1, 50), 8, seed=3, steps=7)
    first = list(sampler)
    assert list(sampler) == first
    sampler.epoch = 1
    assert list(sampler) != first


def test_a_device_that_is_not_there_is_refused():
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that the test wants missing")
    with pytest.raises(UserError, match="compute.device: got 'cuda', which this machine does not have"):
        make_accelerator(Compute(device="cuda"))
