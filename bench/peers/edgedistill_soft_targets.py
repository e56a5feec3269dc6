"""edgedistill's training loop on the same tokens. Arms: `live`, with the teacher in the loop; `recorded`, from its
hidden states in 16 bits, recorded before."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from bench.peers.step_job import StepClock, StepJob, read_job
from edgedistill.arrays import Integers
from edgedistill.contracts import registry
from edgedistill.contracts.items import Items
from edgedistill.contracts.metric import Metric
from edgedistill.models.loading import load_model
from edgedistill.models.sizes import described
from edgedistill.recipe.schema import Compute
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.signals.batching import length_buckets
from edgedistill.signals.recording import DistributionRecorder, record_shards, save_head
from edgedistill.signals.soft_targets import StateSignal
from edgedistill.store.progress import Progress, ProgressState
from edgedistill.tasks._language_items import BYTES, MASK, NEXT, NONE, TOKENS, columns
from edgedistill.training.loop import StageRequest, train_stage
from edgedistill.training.seeds import derive
from edgedistill.training.training_data import TrainingData
from edgedistill.training.training_module import LiveTeacher, TrainingModule

TASK = "text-generation"
NEEDS = frozenset({"logits"})


class Steps(Progress):
    """Counts them."""

    def __init__(self, clock: StepClock) -> None:
        super().__init__()
        self.clock = clock

    def advance(self, state: ProgressState) -> None:
        super().advance(state)
        self.clock.step()


def order(count: int, batch: int, seed: int) -> Integers:
    """The order in which the loop takes `count` sequences of equal length in its first epoch."""
    generator = np.random.default_rng([derive(seed, "order"), 0, 0])
    return np.concatenate(length_buckets(np.ones(count, np.int64), batch, generator))


def items_of(tokens: Integers) -> Items:
    """(N, T) tokens as items, whose every token but the first is to be predicted."""
    following = np.full(tokens.shape, NONE, np.int32)
    following[:, :-1] = tokens[:, 1:]
    flat: dict[str, Integers] = {
        TOKENS: tokens.astype(np.int64),
        MASK: np.ones(tokens.shape, np.int64),
        NEXT: following,
        BYTES: np.ones(tokens.shape, np.int32),
    }
    offsets = np.arange(0, tokens.size + 1, tokens.shape[1])
    named = columns(0)
    values = {name: array.reshape(-1) for name, array in flat.items()}
    return Items(named, values, dict.fromkeys(named, offsets), np.arange(len(tokens)), TOKENS).checked()


def recorded(job: StepJob, model: PreTrainedModel, items: Items) -> StateSignal:
    """The teacher's last hidden states for all items, in 16 bits."""
    task, folder = registry.task(TASK), job.folder()
    counts = task.data.references(items).counts(len(items))
    recorder = DistributionRecorder(model, task, Progress(), "states", bits=16, tokens=described(model).vocabulary)
    files = record_shards(items, counts, "states", folder / "shards", recorder.write)
    save_head(model, task, folder / "head.safetensors", described(model).vocabulary)
    return StateSignal.of(files, folder / "head.safetensors")


def main() -> None:
    job = read_job()
    clock = StepClock(job)
    task = registry.task(TASK)
    tokens = np.load(job.tokens)
    # The file has the sequences in the order in which they are shown: put them where the loop will look for them.
    places = order(len(tokens), job.batch, job.seed)
    items = items_of(tokens[np.argsort(places)])
    data = TrainingData.plain([items], task)
    student, teacher = (
        load_model(task.model.auto_class(), Path(path), None, head_required=True) for path in (job.student, job.teacher)
    )
    recording, live = 0.0, None
    if job.arm == "recorded":
        found: list[StateSignal] = []
        teacher.to(job.device)
        recording = clock.timed(lambda: found.append(recorded(job, teacher, items)))
        data = replace(data, soft_targets=(found[0],))
        teacher.cpu()
    else:
        live = LiveTeacher(teacher, task, NEEDS)
    kl = registry.loss("kl")
    own = described(student)
    term = kl.build(kl.spec.model_validate({"kind": "kl", "temperature": 1.0}), own, own)
    module = TrainingModule(student, task, [term], NEEDS, live, None, own.vocabulary)
    module.register_forward_hook(lambda _module, _inputs, losses: clock.losses.append(losses[0].detach()))
    request = StageRequest(
        name="soft-targets",
        data=data,
        schedule=Schedule(
            epochs=1,
            learning_rate=job.learning_rate,
            batch_size=job.batch,
            warmup=0.0,
            weight_decay=job.weight_decay,
            max_grad_norm=job.max_grad_norm,
        ),
        losses=(("kl", 1.0),),
        seed=job.seed,
        compute=Compute(device=job.device, precision="bf16"),
        judge=lambda _student: 0.0,
        metric=Metric("none", "lower", lambda _answers, _references: np.zeros((0, 1)), lambda _rows: 0.0),
    )
    clock.turns.wait()
    train_stage(module, request, job.folder() / "scratch", Steps(clock))
    clock.finish(recording, {name: version(name) for name in ("edgedistill", "transformers", "torch")})


if __name__ == "__main__":
    main()
