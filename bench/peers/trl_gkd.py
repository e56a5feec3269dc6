"""TRL's `GKDTrainer` off-policy: the teacher's distribution on the data's own tokens.

Arms: `trl`, as it comes; `trl-liger`, with Liger's kernels in the student (what `use_liger_kernel` means there);
`trl-chunked`: with the chunked divergence (Triton on a GPU) that TRL has for its on-policy `DistillationTrainer`, which
it does not offer for given tokens.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, TrainerCallback
from trl.experimental.gkd import GKDConfig, GKDTrainer
from trl.trainer.distillation_trainer import _chunked_divergence_loss

from bench.peers.step_job import StepClock, StepJob, read_job


class WatchedTrainer(GKDTrainer):
    """Keeps each step's loss on the device."""

    clock: StepClock

    def compute_loss(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        loss = self.loss_of(model, inputs, num_items_in_batch)
        self.clock.losses.append(loss.detach())
        return loss

    def loss_of(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor], num_items_in_batch: torch.Tensor | None
    ) -> torch.Tensor:
        """TRL's own."""
        loss: torch.Tensor = super().compute_loss(model, inputs, False, num_items_in_batch)
        return loss


class ChunkedTrainer(WatchedTrainer):
    """The same loss by TRL's chunked divergence."""

    def loss_of(
        self, model: PreTrainedModel, inputs: dict[str, torch.Tensor], num_items_in_batch: torch.Tensor | None
    ) -> torch.Tensor:
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        self.teacher_model.eval()
        with self.accelerator.autocast():  # as the models' own forward passes do
            own = model.base_model(**given, use_cache=False).last_hidden_state[:, :-1]
            with torch.no_grad():
                said = self.teacher_model.base_model(**given, use_cache=False).last_hidden_state[:, :-1]
            loss: torch.Tensor
            loss, _, _ = _chunked_divergence_loss(
                own,
                said,
                model.lm_head.weight,
                self.teacher_model.lm_head.weight,
                inputs["labels"][:, 1:] != -100,
                self.beta,
                num_items_in_batch=num_items_in_batch,
            )
        return loss


class Steps(TrainerCallback):
    """Counts them."""

    def __init__(self, clock: StepClock) -> None:
        self.clock = clock

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        self.clock.turns.wait()

    def on_step_end(self, *_: Any, **__: Any) -> None:  # noqa: ANN401
        self.clock.step()


def config(job: StepJob) -> GKDConfig:
    """Forward KL at temperature 1 on the data's tokens; AdamW and a cosine as in the other programs."""
    return GKDConfig(
        output_dir=str(job.folder() / "checkpoints"),
        lmbda=0.0,
        beta=0.0,
        temperature=1.0,
        seq_kd=False,
        max_steps=job.steps,
        per_device_train_batch_size=job.batch,
        learning_rate=job.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=0,
        weight_decay=job.weight_decay,
        max_grad_norm=job.max_grad_norm,
        train_sampling_strategy="sequential",
        gradient_checkpointing=False,  # TRL's default costs a second forward pass, which this memory does not need
        bf16=True,
        use_cpu=job.device == "cpu",
        use_liger_kernel=job.arm == "trl-liger",
        logging_steps=job.steps_per_turn,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=job.seed,
    )


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Sequences of one length, whose every token but the first is to be predicted."""
    ids = torch.tensor(np.stack([row["input_ids"] for row in rows]), dtype=torch.int64)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}


def main() -> None:
    job = read_job()
    clock = StepClock(job)
    tokens = np.load(job.tokens)
    data = Dataset.from_dict({"input_ids": list(tokens)}).with_format("numpy")
    student, teacher = (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32) for path in (job.student, job.teacher)
    )
    kind = ChunkedTrainer if job.arm == "trl-chunked" else WatchedTrainer
    trainer = kind(
        model=student,
        teacher_model=teacher,
        args=config(job),
        data_collator=collate,
        train_dataset=data,
        processing_class=AutoTokenizer.from_pretrained(job.teacher),
        callbacks=[Steps(clock)],
    )
    trainer.clock = clock
    trainer.train()
    clock.finish(0.0, {name: version(name) for name in ("trl", "transformers", "torch")})


if __name__ == "__main__":
    main()
