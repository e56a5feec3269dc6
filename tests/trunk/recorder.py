"""A recorder in place of the training loop, and a recipe with one of everything that a stage is given.

It moves every student by random numbers of its step, so that no two models say the same of a text.
"""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from trunk.materials import LABELS, WORDS, recipe, stage, write_all

from edgedistill.data.prepared import PreparedData
from edgedistill.engine.local import execute
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.steps import distil, train_teacher
from edgedistill.store.progress import Progress
from edgedistill.training.checkpoint import EpochRecord

# By trial, the validation metric of each epoch. By their best epoch the second wins, in the other arm the first; by
# their worst or last one, others would.
METRICS = {
    "r2-trial-1": [0.6, 0.6],
    "r2-trial-2": [0.9, 0.1],
    "r2-trial-3": [0.2, 0.7],
    "r2-seed7-trial-1": [0.1, 0.8],
    "r2-seed7-trial-2": [0.5, 0.5],
    "r2-seed7-trial-3": [0.7, 0.6],
}
ANY: dict[str, Any] = {field.name: 1.0 for field in fields(EpochRecord)} | {"compute": "cpu"}


def wiring_recipe(folder):
    tree = recipe(folder)
    for part in ("stop", "evaluate", "export", "quantize"):
        del tree[part]
    tree["rounds"] = [
        {
            "id": "r1",
            "student": {"init": "keep_layers", "layers": 1},
            "stages": [
                stage("layers", {"kind": "hidden_mse"}, {"kind": "embedding"}, data=["train", "unlabeled"]),
                stage(
                    "soft-targets",
                    {"kind": "kl", "weight": 0.7},
                    {"kind": "hard_label", "weight": 0.3},
                    {"kind": "kl", "weight": 0.2, "temperature": 4},
                    data=["train", "unlabeled"],
                    epochs=3,
                    augment={"swap": 0.9, "copies": 1},
                    teacher_errors=0.25,
                    dropout=0.0,
                ),
            ],
        },
        {
            "id": "r2",
            "teacher": {"choose": ["teacher", "r1", ["teacher", "r1"]], "epochs": 2},
            "student": {"init": "narrow", "from": "r1", "hidden_size": 8},
            "stages": [
                stage(
                    "corrections",
                    {"kind": "kl"},
                    {"kind": "hard_label"},
                    epochs=4,
                    errors={"of": "r1", "kind": "focal", "strength": 2},
                )
            ],
        },
        {
            "id": "r3",
            "teacher": ["teacher", "r1"],
            "student": {"init": "scratch", "from": "r2", "layers": 1, "hidden_size": 8},
            "stages": [
                stage(
                    "boosted",
                    {"kind": "kl"},
                    errors={
                        "of": "r2",
                        "against": "teacher",
                        "kind": "boost",
                        "strength": 3,
                        "apply": "oversample",
                    },
                )
            ],
        },
    ]
    return tree


def moved(student, step):
    """Add numbers to every matrix that are this step's own (to biases too, all texts would get one answer)."""
    generator = torch.Generator().manual_seed(zlib.crc32(step.encode()))
    with torch.no_grad():
        for parameter in student.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.5)


class Recorder:
    """In place of `train_stage`: keeps what it was called with, by step and stage, in order."""

    def __init__(self, plan):
        self.calls = {}
        self.steps = {step.key[:32]: step.name for step in plan.steps}

    def __call__(self, module, request, scratch, *_):
        step = self.steps[scratch.name.split("-")[0]]
        before = {name: value.clone() for name, value in module.student.state_dict().items()}
        dropout = {module.p for module in module.student.modules() if isinstance(module, torch.nn.Dropout)}
        self.calls[step, request.name] = SimpleNamespace(
            module=module, request=request, before=before, dropout=max(dropout)
        )
        moved(module.student, step)
        metrics = METRICS.get(step, [0.5] * request.schedule.epochs)
        names = [name for name, _ in request.losses]
        return [
            EpochRecord(
                **ANY | {"stage": request.name, "epoch": number, "metric": metric, "losses": dict.fromkeys(names, 1.0)}
            )
            for number, metric in enumerate(metrics, start=1)
        ]


class Recorded:
    """The calls, the rows, and every model's own word on every text."""

    def __init__(self, run, rows, calls):
        self.run, self.rows, self.calls = run, rows, calls
        self.views = self._views()

    def folder(self, step):
        (found,) = self.run.glob(f"steps/[0-9][0-9]-{step}")
        return found

    @cache  # noqa: B019 - one module's worth
    def model(self, step):
        from transformers import AutoModelForSequenceClassification

        return AutoModelForSequenceClassification.from_pretrained(self.folder(step) / "model").eval()

    @cache  # noqa: B019
    def says(self, step, text):
        """(C,) logits, and (T, H) hidden states by layer, of one model about one text."""
        ids = torch.tensor([[WORDS.index(word) for word in ["[CLS]", *text.split(), "[SEP]"]]])
        with torch.no_grad():
            seen = self.model(step)(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
        return seen.logits[0].numpy(), [layer[0].numpy() for layer in seen.hidden_states]

    def mean(self, steps, text):
        """(C,) logits of several models, averaged."""
        return np.mean([self.says(step, text)[0] for step in steps], axis=0)

    def _views(self):
        data = PreparedData.at(self.folder("views-r1-soft-targets"))
        return {split: list(data.rows(split)["text"]) for split in ("train", "unlabeled")}

    def given(self, step, name):
        """What a stage would see item by item: text, label, and a batch of that item alone."""
        data = self.calls[step, name].request.data
        found = []
        for number in range(len(data.examples)):
            batch = data.fetch([number])
            ids = batch.inputs["input_ids"][0][batch.mask_BT[0].bool()].tolist()
            text = " ".join(WORDS[token] for token in ids[1:-1])
            label = int(batch.targets["labels"][0])
            found.append((text, LABELS[label] if label >= 0 else None, batch))
        return found


def record(folder):
    """What the distil and teacher steps of that recipe give the training loop."""
    rows = write_all(folder)
    planned = reading.validate(wiring_recipe(folder), "wiring")
    plan = make_plan(planned, fingerprints.look_up(planned))
    read = {step.name for step in plan.steps if step.kind.name == "distil"}
    for step in reversed(plan.steps):
        read |= step.sources if step.name in read else set()
    recorder = Recorder(plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distil, "train_stage", recorder)
        patch.setattr(train_teacher, "train_stage", recorder)
        only = replace(plan, steps=tuple(step for step in plan.steps if step.name in read))
        execute(only, folder / "run", Progress())
    return Recorded(folder / "run", rows, recorder.calls)
