"""What the loop itself does with what it is given: every optimizer step is watched, by a hook of torch's."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from training.test_train_stage import SILENT, TASK, data, request, student, tokens

from edgedistill.contracts.distribution import Dense
from edgedistill.recipe.schema import Compute
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.training.loop import train_stage
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import TrainingModule


class Term(torch.nn.Module):
    """A loss of a given steepness, with a weight of its own; keeps what it was shown."""

    def __init__(self, steepness=1.0):
        super().__init__()
        self.own = torch.nn.Linear(2, 1)
        self.steepness, self.seen = steepness, []

    def forward(self, inputs):
        self.seen.append(inputs)
        return self.steepness * self.own(inputs.student_logits_RC.float()).mean()


@contextmanager
def watched_steps():
    """Every optimizer step from here on: its learning rates, groups and the norm of the whole gradient."""
    seen = []

    def look(optimizer, *_):
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        norm = math.sqrt(sum(float(gradient.pow(2).sum()) for gradient in gradients))
        rates = {group["lr"] for group in optimizer.param_groups}
        groups = [(group["weight_decay"], list(group["params"])) for group in optimizer.param_groups]
        seen.append(SimpleNamespace(norm=norm, rates=rates, groups=groups))

    hook = register_optimizer_step_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()


def trained(tmp_path, asked, *terms, needs=frozenset({"labels"})):
    module = TrainingModule(student(), TASK, list(terms) or [Term()], needs)
    with watched_steps() as steps:
        history = train_stage(module, asked, tmp_path, SILENT)
    return SimpleNamespace(module=module, steps=steps, history=history)


def watched(items=None, **change):
    """Training data that keeps the numbers of every batch that is fetched."""
    plain = data(items or tokens())
    batches = []

    class Watched(TrainingData):
        def fetch(self, numbers):
            batches.append(list(numbers))
            return super().fetch(numbers)

    return Watched(**{field.name: getattr(plain, field.name) for field in fields(plain)} | change), batches


@pytest.mark.parametrize(("steepness", "clipped"), [(1e4, True), (1e-4, False)])
def test_a_steep_gradient_is_clipped_and_a_flat_one_is_not(tmp_path, steepness, clipped):
    asked = request(epochs=1, schedule=Schedule(epochs=1, learning_rate=1e-6, batch_size=8, max_grad_norm=0.5))
    norms = [step.norm for step in trained(tmp_path, asked, Term(steepness)).steps]
    if clipped:
        assert norms == pytest.approx([0.5] * 5, rel=1e-3)
    else:
        assert 0 < max(norms) < 0.01


def test_the_learning_rate_of_every_step_is_that_of_the_schedule(tmp_path):
    schedule = Schedule(epochs=3, learning_rate=2e-3, batch_size=8, warmup=0.2)
    steps = trained(tmp_path, request(schedule=schedule)).steps
    expected = [2e-3 * (step + 1) / 3 for step in range(3)]
    expected += [1e-3 * (1 + math.cos(math.pi * (step - 3) / 12)) for step in range(3, 15)]
    assert [rate for step in steps for rate in step.rates] == pytest.approx(expected)


def test_matrices_decay_and_biases_and_norms_do_not(tmp_path):
    schedule = Schedule(epochs=1, learning_rate=1e-3, batch_size=8, weight_decay=0.3)
    done = trained(tmp_path, request(schedule=schedule))
    decay = {id(parameter): share for share, parameters in done.steps[0].groups for parameter in parameters}
    for name, parameter in done.module.named_parameters():
        plain = name.endswith("bias") or "LayerNorm" in name
        assert decay[id(parameter)] == (0.0 if plain else 0.3), name
    assert len(decay) == len(list(done.module.parameters()))


def test_every_epoch_has_all_items_once_in_an_order_of_its_own(tmp_path):
    orders: dict[int, list[object]] = {}
    for place, seed in enumerate((0, 0, 1)):
        seen, batches = watched()
        trained(tmp_path / str(place), request(epochs=2, data=seen, seed=seed))
        first, second = batches[:5], batches[5:]
        assert len(second) == 5
        for epoch in (first, second):
            assert sorted(number for batch in epoch for number in batch) == list(range(40))
        assert first != second
        orders.setdefault(seed, []).append(batches)
    assert orders[0][0] == orders[0][1] != orders[1][0]


def test_the_same_seed_gives_the_same_order_and_the_same_weights(tmp_path):
    ends = []
    for place in ("a", "b"):
        seen, batches = watched()
        done = trained(tmp_path / place, request(epochs=2, data=seen, seed=3))
        ends.append((batches, done.module.state_dict()["student.classifier.weight"].tolist(), done.history[-1].loss))
    assert ends[0] == ends[1]


def test_items_are_drawn_as_often_as_they_weigh(tmp_path):
    weights = np.where(np.arange(40) < 20, 2.0, 0.0)
    seen, batches = watched(weights=(weights,), oversampled=True)
    trained(tmp_path, request(epochs=6, data=seen))
    drawn = np.bincount([number for batch in batches for number in batch], minlength=40)
    assert drawn.sum() == 6 * 40
    assert drawn[20:].sum() == 0
    assert drawn[:20].min() > 0


def test_weights_that_are_no_draws_leave_the_order_alone(tmp_path):
    weights = np.where(np.arange(40) < 20, 2.0, 0.0)
    seen, batches = watched(weights=(weights,))
    term = Term()
    trained(tmp_path, request(epochs=1, data=seen), term)
    assert sorted(number for batch in batches for number in batch) == list(range(40))
    shown = {float(weight) for inputs in term.seen[:5] for weight in inputs.weights_R}
    assert shown == {0.0, 2.0}


@pytest.mark.parametrize(("precision", "expected"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_the_student_computes_in_the_precision_that_is_asked_for(tmp_path, precision, expected):
    term = Term()
    trained(tmp_path, request(epochs=1, compute=Compute(device="cpu", precision=precision)), term)
    assert {inputs.student_logits_RC.dtype for inputs in term.seen} == {expected}


@pytest.mark.parametrize(("wide", "expected"), [(8, torch.bfloat16), (4096, torch.float32)])
def test_on_its_own_it_computes_in_what_is_faster_for_a_student_of_its_width(tmp_path, monkeypatch, wide, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    monkeypatch.setattr("edgedistill.training.precision._WIDE", wide)
    term = Term()
    trained(tmp_path, request(epochs=1, compute=Compute(device="cpu")), term)
    assert {inputs.student_logits_RC.dtype for inputs in term.seen} == {expected}


def test_an_epoch_is_as_long_as_it_is_told(tmp_path):
    done = trained(tmp_path, request(epochs=3, steps_per_epoch=7))
    assert len(done.steps) == 3 * 7


def test_what_is_recorded_of_an_epoch_is_the_mean_of_its_steps(tmp_path):
    class Counts(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, inputs):
            self.calls += 1
            return inputs.student_logits_RC.sum() * 0 + float(self.calls)

    asked = request(epochs=2, losses=(("a", 2.0), ("b", 0.5)))
    history = trained(tmp_path, asked, Counts(), Counts()).history
    assert [epoch.losses for epoch in history] == [{"a": 3.0, "b": 3.0}, {"a": 8.0, "b": 8.0}]
    assert [epoch.loss for epoch in history] == [7.5, 20.0]
    assert [epoch.epoch for epoch in history] == [1, 2]


def test_gradients_are_of_one_step_only(tmp_path):
    """A gradient that went on adding up would grow from step to step."""

    class Fixed(torch.nn.Module):
        def forward(self, inputs):
            return inputs.student_logits_RC[:, 0].mean()

    schedule = Schedule(epochs=2, learning_rate=1e-9, batch_size=8, max_grad_norm=1e6)
    model = student(dropout=0.0)
    with watched_steps() as steps:
        train_stage(TrainingModule(model, TASK, [Fixed()]), request(schedule=schedule), tmp_path, SILENT)
    norms = [step.norm for step in steps]
    assert max(norms) < 1.5 * min(norms)


def test_the_last_weights_are_kept_where_no_loss_trains_the_head(tmp_path):
    scores = iter([0.9, 0.1, 0.2])
    ends = []

    def judge(model):
        ends.append(model.classifier.weight.detach().clone())
        return next(scores)

    done = trained(tmp_path, request(epochs=3, judge=judge, keep="last"))
    assert torch.equal(done.module.student.classifier.weight, ends[-1])
    assert not torch.equal(ends[0], ends[-1])


def test_recorded_states_reach_the_losses_by_their_layer(tmp_path):
    recorded = {0: torch.full((1, 3, 16), 0.25), 5: torch.full((1, 3, 16), 5.0)}
    batch = replace(
        data(tokens(1)).fetch([0]),
        teacher_hidden=recorded,
        teacher=Dense(torch.tensor([[1.0, 2.0]])),
        teacher_embedding_BE=torch.full((1, 16), 7.0),
    )
    term = Term()
    TrainingModule(student(), TASK, [term], frozenset({"hidden", "logits"}))(batch)
    (inputs,) = term.seen
    assert {layer: states.tolist() for layer, states in inputs.teacher_hidden.items()} == {
        layer: states.tolist() for layer, states in recorded.items()
    }
    assert inputs.teacher_logits().tolist() == [[1.0, 2.0]]
    assert inputs.teacher_embedding_BE.tolist() == [[7.0] * 16]


def test_a_worse_epoch_does_not_replace_a_better_one_but_an_equal_one_does(tmp_path):
    """The later of equals has learned for longer."""
    seen = []
    scores = iter([0.5, 0.5, 0.4])

    def judge(model):
        seen.append(model.classifier.weight.detach().clone())
        return next(scores)

    done = trained(tmp_path, replace(request(epochs=3), judge=judge))
    assert torch.equal(done.module.student.classifier.weight, seen[1])


@pytest.mark.parametrize(("device", "expected"), [("cpu", False), ("auto", True), ("cuda", True)])
def test_batches_are_copied_ahead_to_a_gpu_only(device, expected, monkeypatch):
    from edgedistill.training import loop

    made = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("accelerate.Accelerator", lambda **options: made.append(options["dataloader_config"]))
    loop.make_accelerator(Compute(device=device, precision="fp32"))
    assert [config.non_blocking for config in made] == [expected]
