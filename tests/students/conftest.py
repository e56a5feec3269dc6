from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers import text_items
from transformers import AutoConfig, AutoModelForSequenceClassification

from edgedistill.contracts import registry
from edgedistill.contracts.student import StudentRequest
from edgedistill.training.training_data import TrainingData

SIZES = {
    "bert": {"num_hidden_layers": 4, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64},
    "distilbert": {"n_layers": 4, "dim": 32, "n_heads": 4, "hidden_dim": 64},
}


def make(architecture: str, folder, **more):
    torch.manual_seed(0)
    sizes = SIZES.get(architecture, SIZES["bert"]) | more
    config = AutoConfig.for_model(architecture, vocab_size=50, max_position_embeddings=40, num_labels=3, **sizes)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def make_source(tmp_path):
    """Writes a random source of other sizes; gives its folder."""
    return lambda architecture, **sizes: make(architecture, tmp_path / f"source-{architecture}", **sizes)


@pytest.fixture
def build(tmp_path):
    """Builds a student of a random source; gives the student and the source."""

    def built(architecture: str = "bert", *, tokenizer=None, source=None, **spec):
        from edgedistill.models.loading import load_model

        folder = source or make(architecture, tmp_path / architecture)
        module = registry.student(spec["init"])
        ids = torch.randint(5, 50, (4, 12), generator=torch.Generator().manual_seed(1))
        items, task = text_items(ids.tolist(), [0] * 4), registry.task("text-classification")
        request = StudentRequest(
            spec=module.spec(**spec),
            source=folder,
            auto_class=AutoModelForSequenceClassification,
            config_overrides={"num_labels": 3},
            tokenizer=tokenizer,
            probe=[TrainingData.plain([items], task).fetch(range(4))],
            train=items,
            loss=lambda model, batch: task.model.loss(task.model.forward(model, batch.inputs), batch.columns, 0.0),
        )
        source_model = load_model(AutoModelForSequenceClassification, folder, None)
        return SimpleNamespace(student=module.build(request).eval(), source=source_model, inputs={"input_ids": ids})

    return built
