"""torchdistill's `DistillationBox` (Matsubara 2021) with its `KDLoss`, driven as its text classification example does.

torchdistill imports torchvision whatever the task. A torchvision built for CUDA cannot load its operators beside a CPU
torch and then fails at import, because it describes operators that aren't there; their names are declared here. No text
model calls them.
"""

from __future__ import annotations

from typing import Any

import torch

try:
    import torchvision
except RuntimeError as error:
    if "operator torchvision::nms does not exist" not in str(error):
        raise
    _OPERATORS = torch.library.Library("torchvision", "DEF")  # kept: they are gone with the object
    for _name in ("nms", "qnms"):
        _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401

from torch.utils.data import RandomSampler
from torchdistill.core.distillation import DistillationBox
from torchdistill.core.interfaces.registry import register_forward_proc_func
from torchdistill.datasets.registry import register_collate_func
from torchdistill.optim.registry import register_scheduler
from transformers import get_cosine_schedule_with_warmup

from bench.peers.job import Best, Epochs, Job, Turns, finish_peer, load_models, padding, read_job, read_split


@register_forward_proc_func
def logits_only(model: Any, sample_batch: dict[str, Any], targets: Any, supp_dict: Any) -> torch.Tensor:  # noqa: ANN401
    """`KDLoss` reads logits, not a transformers output."""
    logits: torch.Tensor = model(**sample_batch).logits
    return logits


register_scheduler(get_cosine_schedule_with_warmup)


def config(job: Job, steps: int) -> dict[str, Any]:
    """The training configuration, the yaml of torchdistill's examples."""
    return {
        "num_epochs": job.epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "requires_supp": False,
            "sampler": {"class_or_func": RandomSampler},
            "collate_fn": "pad_batch",
            "kwargs": {"batch_size": job.batch_size},
        },
        "teacher": {"forward_proc": "logits_only", "requires_grad": False},
        "student": {"forward_proc": "logits_only", "requires_grad": True},
        "optimizer": {
            "key": "AdamW",
            "kwargs": {"lr": job.learning_rate, "weight_decay": job.weight_decay},
            "max_grad_norm": job.max_grad_norm,
        },
        "scheduler": {
            "key": "get_cosine_schedule_with_warmup",
            "kwargs": {"num_warmup_steps": int(steps * job.warmup), "num_training_steps": steps},
            "scheduling_step": 1,
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {
                "sub_terms": {
                    "kd": {
                        "criterion": {
                            "key": "KDLoss",
                            "kwargs": {
                                "student_module_path": ".",
                                "student_module_io": "output",
                                "teacher_module_path": ".",
                                "teacher_module_io": "output",
                                "temperature": job.temperature,
                                "alpha": job.hard_weight,
                                "beta": job.soft_weight,
                            },
                        },
                        "weight": 1.0,
                    }
                }
            },
        },
    }


def main() -> None:
    job, turns = read_job(), Turns()
    teacher, student, tokenizer = load_models(job)
    train, validation, test = (read_split(file, job, tokenizer) for file in (job.train, job.validation, job.test))
    pad, epochs = padding(tokenizer), Epochs(turns)
    best = Best(validation, pad)

    @register_collate_func
    def pad_batch(items: list[dict[str, Any]]) -> tuple[dict[str, Any], torch.Tensor]:
        batch = pad(items)
        return batch, batch.pop("labels")

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    steps = -(-len(train) // job.batch_size) * job.epochs
    box = DistillationBox(teacher, student, {"train": train}, config(job, steps), device, None, False, 1)
    for epoch in range(job.epochs):
        epochs.begin()
        box.pre_epoch_process(epoch=epoch)
        for batch, targets in box.train_data_loader:
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            loss = box.forward_process(moved, targets.to(device), {})
            box.post_forward_process(loss=loss)
        box.post_epoch_process()
        epochs.end()
        best.see(student)
    best.restore(student)
    finish_peer(job, "torchdistill", student, (train, test), pad, epochs, best.metrics)


if __name__ == "__main__":
    main()
