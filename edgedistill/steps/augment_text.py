"""Augmented views of a stage's texts, in one model's tokens; the views are the same for every model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgedistill.contracts import registry
from edgedistill.contracts.task import Task
from edgedistill.data.prepared import ITEMS, PreparedData, encode, save_table
from edgedistill.data.views import joined, masked, partners, view
from edgedistill.models.loading import load_model, load_tokenizer
from edgedistill.models.tokenizer_files import save_tokenizer
from edgedistill.recipe.augment import AugmentSpec
from edgedistill.steps.kinds.augment_text import Inputs, Settings
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.step import Context
from edgedistill.training.seeds import derive

_TOP, _BATCH = 20, 64


def run(settings: Settings, inputs: Inputs, folder: Path, context: Context) -> TokenisedData:
    """Publish the same as the data step, for the views of these splits only."""
    # All views use the first tokenizer's words and mask token, so that all models get the same views.
    first, own = PreparedData.of(inputs.data), PreparedData.of(DataInputs(inputs.tokens))
    task: Task = registry.task(settings.task.type)
    tokenizer = load_tokenizer(own.tokenizer)
    mask_token = str(load_tokenizer(first.tokenizer).mask_token)
    encoder = own.encoder(settings.task)
    replace = Replacer(settings.augment) if settings.augment.replace else None
    for split in settings.splits:
        rows = first.rows(split)
        generator = np.random.default_rng(derive(settings.seed, "views", split))
        content = {name: list(rows[name]) * settings.augment.copies for name in rows.column_names}
        others = partners(len(rows) * settings.augment.copies, settings.augment.join, generator)
        for key in task.data.columns.texts:
            if key not in own.columns:
                continue
            whole = content[own.columns[key]]
            texts = [
                text if other is None else joined(text, whole[other]) for text, other in zip(whole, others, strict=True)
            ]
            if replace is not None:
                texts = replace(texts, generator)
            content[own.columns[key]] = [view(text, settings.augment, mask_token, generator) for text in texts]
        label = own.columns.get(task.data.columns.labels or "", "")
        if not settings.augment.labels:
            content.pop(label, None)
        if label in content:
            content[label] = [
                name if other is None else None for name, other in zip(content[label], others, strict=True)
            ]
        views = type(rows).from_dict(content)
        save_table(views, folder / split / "rows")
        encode(views, task, encoder).save(folder / split / ITEMS)
        context.progress.say(
            f"      {len(views)} augmented views of {split}, for example {task.data.show(views[0], own.columns)[:70]!r}"
        )
    save_tokenizer(tokenizer, own.max_length, folder / "tokenizer")
    return own.facts.model_copy(update={"splits": {}})


class Replacer:
    """Replaces words: masks them and samples from a masked language model."""

    def __init__(self, augment: AugmentSpec) -> None:
        from transformers import AutoModelForMaskedLM

        assert augment.masked_lm is not None
        self.share = augment.replace
        self.tokenizer = load_tokenizer(augment.masked_lm)
        self.model = load_model(AutoModelForMaskedLM, augment.masked_lm, None, head_required=True)

    def __call__(self, texts: Sequence[str], generator: np.random.Generator) -> list[str]:
        """The texts with some words replaced."""
        import torch

        mask = self.tokenizer.mask_token
        hidden = [" ".join(masked(text.split(), self.share, mask, generator)) for text in texts]
        found: list[str] = []
        for start in range(0, len(hidden), _BATCH):
            batch = self.tokenizer(hidden[start : start + _BATCH], return_tensors="pt", padding=True, truncation=True)
            with torch.inference_mode():
                logits = self.model(**batch).logits
            for text, ids, row in zip(hidden[start : start + _BATCH], batch["input_ids"], logits, strict=True):
                found.append(self._filled(text, row[ids == self.tokenizer.mask_token_id], generator))
        return found

    def _filled(self, text: str, expected: object, generator: np.random.Generator) -> str:
        import torch

        assert isinstance(expected, torch.Tensor)
        for logits in expected:
            best = logits.topk(_TOP)
            drawn = int(best.indices[int(generator.choice(_TOP, p=_softmax(best.values.numpy())))])
            text = text.replace(self.tokenizer.mask_token, self.tokenizer.decode([drawn]).strip() or "the", 1)
        return text


def _softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values.astype(np.float64) - values.max())
    return np.asarray(shifted / shifted.sum())
