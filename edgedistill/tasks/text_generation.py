"""Text generation: next-token prediction on plain text, completions of prompts, or the assistant's part of chats."""

from __future__ import annotations

from edgedistill.contracts.task import Task, TaskData, TaskModel
from edgedistill.tasks import _language_data as data
from edgedistill.tasks import _language_model as model
from edgedistill.tasks import _language_prompt as prompt
from edgedistill.tasks._language_device import LOGITS
from edgedistill.tasks._language_items import references
from edgedistill.tasks._language_judge import JUDGE
from edgedistill.tasks._language_samples import SAMPLES
from edgedistill.tasks._language_speed import PROMPTS

TASK = Task(
    api=1,
    name="text-generation",
    version=2,
    data=TaskData(
        columns=data.COLUMNS,
        tokens=True,
        problem=data.problem,
        label_names=lambda rows, columns: [],
        encode=data.encode,
        references=references,
        show=data.show,
        apart=True,
        sequences=data.sequences,
        prompt=prompt.tokens,
    ),
    model=TaskModel(
        auto_class=model.auto_class,
        scratch_config=model.scratch_config,
        configuration=lambda labels: {},
        unsuitable=model.unsuitable,
        outputs=(LOGITS,),
        forward=model.forward,
        packed=model.forward_packed,
        answers=model.answers,
        loss=model.loss,
        logits=model.logits,
        states=model.states,
        packed_states=model.states_packed,
        head=model.head,
        right=model.right,
        probe=model.probe,
        ask=model.ask,
        read=model.read,
        decoder=prompt.decoder,
    ),
    judge=lambda spec: JUDGE,
    prompts=PROMPTS,
    samples=SAMPLES,
    device="edgedistill.tasks._language_driver",
)
