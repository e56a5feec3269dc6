"""The pristine inputs that every case damages a copy of: data, a teacher with a trained head, a finished run."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml

LABELS = ("weather", "set_alarm", "play_music")
"""In the teacher's order, which isn't the alphabet's."""
SPLITS = {"train": 40, "validation": 12, "test": 15}
"""Sentences of each label."""
Row = dict[str, str]


@dataclass(frozen=True)
class World:
    """Where the pristine inputs lie."""

    folder: Path

    @property
    def data(self) -> Path:
        """`train`, `validation`, `test`, `unlabeled`, each `.jsonl`."""
        return self.folder / "data"

    @property
    def teacher(self) -> Path:
        """A transformers folder whose head knows the labels."""
        return self.folder / "teacher"

    @property
    def recipe(self) -> Path:
        """The recipe of the finished run."""
        return self.folder / "recipe.yaml"

    @property
    def finished(self) -> Path:
        """A finished run of that recipe."""
        return self.folder / "finished"

    @property
    def as_is(self) -> Path:
        """A run whose teacher is used as it is, ended after its logits were recorded."""
        return self.folder / "as-is"

    @property
    def halfway(self) -> Path:
        """A run that was killed while the student trained: a checkpoint lies in its scratch folder."""
        return self.folder / "halfway"

    def rows(self, split: str) -> list[Row]:
        """The rows of a split."""
        return [json.loads(line) for line in (self.data / f"{split}.jsonl").read_text().splitlines()]


def recipe_tree(world: World, *, tuned: bool) -> dict[str, object]:
    """The smallest recipe that goes through every step.

    Args:
        tuned: fine-tune the teacher; else it is used as it is.
    """
    fine_tune = {"fine_tune": {"epochs": 2, "learning_rate": 1.0e-3, "batch_size": 16}} if tuned else {}
    losses = [{"kind": "kl", "weight": 0.9}, {"kind": "hard_label", "weight": 0.1}]
    stage = {"name": "soft", "epochs": 12, "learning_rate": 2.0e-3, "batch_size": 16, "losses": losses}
    return {
        "schema": "edgedistill/1",
        "name": "faults",
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {
            **{name: {"path": str(world.data / f"{name}.jsonl")} for name in SPLITS},
            "max_length": 32,
        },
        "teacher": {"model": str(world.teacher), **fine_tune},
        "rounds": [{"id": "r1", "student": {"init": "keep_layers", "layers": 1}, "stages": [stage]}],
        "control": False,
        "compute": {"device": "cpu", "precision": "fp32"},
        "export": {"targets": ["onnx"], "teacher": False},
        "quantize": [{"precision": "fp32"}],
        "verify": {"min_agreement": 0.8},
        "measure": {"min_seconds": 0.1},
        "select": {"limits": {"file_mb": 5}},
    }


def write_recipe(tree: dict[str, object], file: Path) -> Path:
    """Write a recipe as YAML."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return file


def write_rows(rows: list[Row], file: Path) -> Path:
    """Write rows as jsonl."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def make_inputs(world: World) -> None:
    """Write data, teacher and recipe. Runs in a process of its own: it trains."""
    from edgedistill.recipe.reading import shipped

    source = shipped()["quickstart"].parent / "quickstart"
    for split, count in SPLITS.items():
        every = [json.loads(line) for line in (source / f"{split}.jsonl").read_text().splitlines()]
        chosen = [
            row for label in LABELS for row in [example for example in every if example["label"] == label][:count]
        ]
        write_rows(chosen, world.data / f"{split}.jsonl")
    every = [json.loads(line) for line in (source / "train.jsonl").read_text().splitlines()]
    others = [{"text": row["text"]} for row in every if row["label"] not in LABELS]
    write_rows(others[:40], world.data / "unlabeled.jsonl")
    _make_teacher(world)
    write_recipe(recipe_tree(world, tuned=True), world.recipe)


def _make_teacher(world: World) -> None:
    """A BERT of two layers, trained for a moment. Its vocabulary is every word of the training texts, and letters."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = world.rows("train")
    normalizer, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = {w for row in rows for w, _ in split.pre_tokenize_str(normalizer.normalize_str(row["text"]))}
    letters = "abcdefghijklmnopqrstuvwxyz0123456789-.:,'"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({*words, *letters})]
    pieces += [f"##{letter}" for letter in letters]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    own = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    own.normalizer, own.pre_tokenizer = normalizer, split
    own.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}
    tokenizer = BertTokenizerFast(tokenizer_object=own, model_max_length=64, **special)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: number for number, label in enumerate(LABELS)},
    )
    model = BertForSequenceClassification(config).train()
    batch = tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
    goal, optimizer = torch.tensor([LABELS.index(row["label"]) for row in rows]), torch.optim.AdamW(model.parameters())
    optimizer.param_groups[0]["lr"] = 3e-3
    for _ in range(40):
        model(**batch, labels=goal).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(world.teacher)
    tokenizer.save_pretrained(world.teacher)


def clean_environment(home: Path) -> None:
    """Before anything is imported: nothing of this user's settings or caches is read or written, one thread a case."""
    home.mkdir(parents=True, exist_ok=True)
    os.environ.update(
        HOME=str(home),
        XDG_CACHE_HOME=str(home / ".cache"),
        HF_HOME=str(home / "hf"),
        HF_HUB_OFFLINE="1",
        HF_DATASETS_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="false",
        OMP_NUM_THREADS="1",
        COLUMNS="200",
        TERM="dumb",
        NO_COLOR="1",
    )
    for name in ("HF_HUB_CACHE", "HF_DATASETS_CACHE", "PYTHONPATH", "EDGEDISTILL_DEBUG"):
        os.environ.pop(name, None)


def forget(folder: Path) -> None:
    """Remove a case's folder, whatever lies in it."""
    shutil.rmtree(folder, ignore_errors=True)
