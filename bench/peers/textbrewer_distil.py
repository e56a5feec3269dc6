"""TextBrewer's `GeneralDistiller` (Yang et al. 2020), set up as in its README, with the losses of the others.

Its soft loss is the cross-entropy with the teacher's distribution without the factor T², so T² goes into its weight:
the gradients are those of the other programs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
from torch.utils.data import DataLoader
from transformers import get_cosine_schedule_with_warmup

from bench.peers.job import (
    Best,
    Epochs,
    Turns,
    finish_peer,
    load_models,
    padding,
    parameter_groups,
    read_job,
    read_split,
)


class TimedLoader:
    """A data loader that starts the clock of each epoch."""

    def __init__(self, loader: DataLoader[Any], epochs: Epochs) -> None:
        self.loader, self.epochs = loader, epochs

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self.epochs.begin()
        return iter(self.loader)


class TimedDistiller(GeneralDistiller):
    """Stops the clock where an epoch's last step goes over to saving and validation."""

    epochs: Epochs

    def save_and_callback(self, *given: Any) -> None:  # noqa: ANN401
        self.epochs.end()
        super().save_and_callback(*given)


def adaptor(batch: dict[str, torch.Tensor], outputs: Any) -> dict[str, Any]:  # noqa: ANN401
    """Adapts a model's output for TextBrewer."""
    return {"logits": outputs.logits, "losses": outputs.loss}


def main() -> None:
    job, turns = read_job(), Turns()
    teacher, student, tokenizer = load_models(job)
    train, validation, test = (read_split(file, job, tokenizer) for file in (job.train, job.validation, job.test))
    pad, epochs = padding(tokenizer), Epochs(turns)
    best = Best(validation, pad)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shuffled: DataLoader[Any] = DataLoader(
        train,  # type: ignore[arg-type]
        batch_size=job.batch_size,
        shuffle=True,
        collate_fn=pad,
    )
    loader = TimedLoader(shuffled, epochs)
    optimizer = torch.optim.AdamW(parameter_groups(student, job.weight_decay), lr=job.learning_rate)
    steps = len(loader) * job.epochs
    distiller = TimedDistiller(
        train_config=TrainingConfig(output_dir=str(job.folder() / "checkpoints"), device=device),
        distill_config=DistillationConfig(
            temperature=job.temperature,
            kd_loss_type="ce",
            kd_loss_weight=job.soft_weight * job.temperature**2,
            hard_label_weight=job.hard_weight,
        ),
        model_T=teacher.to(device),
        model_S=student.to(device),
        adaptor_T=adaptor,
        adaptor_S=adaptor,
    )
    distiller.epochs = epochs
    with distiller:
        distiller.train(
            optimizer,
            loader,
            num_epochs=job.epochs,
            scheduler_class=get_cosine_schedule_with_warmup,
            scheduler_args={"num_warmup_steps": int(steps * job.warmup), "num_training_steps": steps},
            max_grad_norm=job.max_grad_norm,
            callback=lambda model, step: best.see(model),
        )
    best.restore(student)
    finish_peer(job, "textbrewer", student, (train, test), pad, epochs, best.metrics)


if __name__ == "__main__":
    main()
