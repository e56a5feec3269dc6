"""Distillation as most people write it: a subclass of `transformers.Trainer` with a live teacher in its loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from bench.peers.job import Epochs, Job, Turns, finish_peer, load_models, padding, read_job, read_split


class DistillationTrainer(Trainer):
    """`compute_loss` with soft and hard targets."""

    def __init__(self, teacher: Any, job: Job, **options: Any) -> None:  # noqa: ANN401
        super().__init__(**options)
        self.teacher, self.job = teacher.to(self.args.device), job

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        outputs = model(**inputs)
        with torch.no_grad():
            teacher = self.teacher(**{name: tensor for name, tensor in inputs.items() if name != "labels"})
        soft = functional.kl_div(
            functional.log_softmax(outputs.logits / self.job.temperature, dim=-1),
            functional.softmax(teacher.logits / self.job.temperature, dim=-1),
            reduction="batchmean",
        )
        soft = soft * self.job.temperature**2
        loss = self.job.soft_weight * soft + self.job.hard_weight * outputs.loss
        return (loss, outputs) if return_outputs else loss


class Clock(TrainerCallback):
    """Validation and saving come after the end of an epoch and are not counted."""

    def __init__(self, epochs: Epochs) -> None:
        self.epochs = epochs

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        self.epochs.begin()

    def on_epoch_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        self.epochs.end()


def main() -> None:
    job, turns = read_job(), Turns()
    teacher, student, tokenizer = load_models(job)
    train, validation, test = (read_split(file, job, tokenizer) for file in (job.train, job.validation, job.test))
    epochs = Epochs(turns)
    settings = TrainingArguments(
        output_dir=str(job.folder() / "checkpoints"),
        num_train_epochs=job.epochs,
        per_device_train_batch_size=job.batch_size,
        per_device_eval_batch_size=job.batch_size,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=job.warmup,  # below 1: a share of the steps
        weight_decay=job.weight_decay,
        max_grad_norm=job.max_grad_norm,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="accuracy",
        seed=job.seed,
        report_to="none",
        disable_tqdm=True,
    )
    trainer = DistillationTrainer(
        teacher,
        job,
        model=student,
        args=settings,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda found: {
            "accuracy": float((np.argmax(found.predictions, axis=1) == found.label_ids).mean())
        },
        callbacks=[Clock(epochs)],
    )
    trainer.train()
    metrics = [entry["eval_accuracy"] for entry in trainer.state.log_history if "eval_accuracy" in entry]
    finish_peer(job, "transformers", student, (train, test), padding(tokenizer), epochs, metrics)


if __name__ == "__main__":
    main()
