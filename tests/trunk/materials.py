"""What the tests of a whole run's wiring are made of: sentences, a vocabulary, a teacher's folder, and a recipe.

All of it comes from numpy's generator with a fixed seed, so that it is the same everywhere; nothing is downloaded or
learned, and nothing is read but what stands here.
"""

from __future__ import annotations

import copy
import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np

LABELS = ("cold", "mild", "warm")
"""In the order of their ids."""
_COUNTS = {"train": 64, "validation": 40, "test": 90}
_OWN = [[f"{label[0]}{number}" for number in range(8)] for label in LABELS]
"""Words that hint at each label."""
_SHARED = [f"x{number}" for number in range(24)]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*_SPECIAL, *(word for words in _OWN for word in words), *_SHARED]


def sentences(generator, count, seen, label=None):
    """`count` rows of text and label, no text twice; with `label` None of all labels in turn."""
    found: list[dict[str, str]] = []
    while len(found) < count:
        own = len(found) % len(LABELS) if label is None else label
        length = int(generator.integers(3, 8))
        pool = [_OWN[own] if generator.random() < 0.6 else _SHARED for _ in range(length)]
        text = " ".join(words[generator.integers(len(words))] for words in pool)
        if text not in seen:
            seen.add(text)
            found.append({"text": text, "label": LABELS[own]})
    return found


def write_data(folder):
    """`train`, `validation`, `test`, `unlabeled`, `far` (no labels) and `mixed` (some of another label), jsonl each."""
    generator = np.random.default_rng(5)
    seen: set[str] = set()
    sets = {name: sentences(generator, count, seen) for name, count in _COUNTS.items()}
    sets["unlabeled"] = [{"text": row["text"]} for row in sentences(generator, 21, seen)]
    shuffled = [{"text": " ".join(generator.choice(_SHARED, 6))} for _ in range(40)]
    sets["far"] = shuffled[:20]
    sets["mixed"] = [*sentences(generator, 24, seen), *({**row, "label": "elsewhere"} for row in shuffled[20:])]
    for name, rows in sets.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return sets


def write_teacher(folder):
    """A BERT of 2 layers and 16 dimensions with weights drawn by numpy, and a vocabulary of whole words."""
    import torch
    from tokenizers.implementations import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = BertWordPieceTokenizer(vocab={word: number for number, word in enumerate(WORDS)}, lowercase=True)
    names = ("pad", "unk", "cls", "sep", "mask")
    special = {f"{name}_token": word for name, word in zip(names, _SPECIAL, strict=True)}
    BertTokenizerFast(tokenizer_object=words._tokenizer, model_max_length=12, **special).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=12,
        hidden_act="relu",
        hidden_dropout_prob=0.1,
        attention_probs_dropout_prob=0.0,
        num_labels=len(LABELS),
    )
    model = BertForSequenceClassification(config)
    generator = np.random.default_rng(11)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                drawn = generator.normal(0, 0.25, tuple(parameter.shape)).astype(np.float32)
                parameter.copy_(torch.from_numpy(drawn))
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def stage(name, *losses, **change):
    """One stage of two epochs."""
    usual = {"epochs": 2, "learning_rate": 3e-3, "batch_size": 8, "losses": list(losses)}
    return {"name": name, **usual, **change}


def recipe(folder):
    """The recipe over what `write_data` and `write_teacher` put into a folder; tests change a copy of it."""
    return copy.deepcopy(
        {
            "schema": "edgedistill/1",
            "name": "trunk",
            "seed": 2,
            "seeds": [7],
            "task": {"type": "text-classification", "metrics": ["accuracy", "f1_macro"]},
            "data": {
                **{name: {"path": str(folder / f"{name}.jsonl")} for name in (*_COUNTS, "unlabeled")},
                "max_length": 12,
            },
            "teacher": {
                "model": str(folder / "teacher"),
                "fine_tune": {"epochs": 8, "learning_rate": 6e-3, "batch_size": 8},
            },
            "rounds": [
                {
                    "id": "r1",
                    "student": {"init": "keep_layers", "layers": 1},
                    "stages": [
                        stage(
                            "soft-targets",
                            {"kind": "kl", "weight": 0.7},
                            {"kind": "hard_label", "weight": 0.3},
                            {"kind": "hidden_mse", "weight": 0.2},
                            data=["train", "unlabeled"],
                            epochs=3,
                        )
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
                            {"kind": "hard_label", "weight": 0.5},
                            epochs=4,
                            learning_rate=1.2e-2,
                            errors={"of": "r1", "kind": "focal"},
                            teacher_errors=0.5,
                        )
                    ],
                },
            ],
            "stop": {"when": {"accuracy_drop": 0.2}},
            "compute": {"device": "cpu", "precision": "fp32"},
            "export": {"targets": ["plain"], "teacher": False},
            "quantize": [{"precision": "fp32"}, {"precision": "int8"}],
            "verify": {"min_agreement": 0.98},
            "measure": {"min_seconds": 0.1},
            "select": {"limits": {"accuracy_drop": 0.16, "file_mb": 0.05}, "prefer": "size"},
            "evaluate": {"ood": {name: {"path": str(folder / f"{name}.jsonl")} for name in ("far", "mixed")}},
        }
    )


@contextmanager
def plain_target(site):
    """The plain target and its runtime, installed."""
    from helpers import plugged_in

    points = {
        "exporters": {"plain": "trunk.plain_target:TARGET"},
        "runtimes": {"plain-runtime": "trunk.plain_runtime:RUNTIME"},
    }
    with plugged_in(site, {f"edgedistill.{group}": named for group, named in points.items()}):
        yield


def write_all(folder: Path):
    """Data and teacher; the rows of every set."""
    folder.mkdir(parents=True, exist_ok=True)
    write_teacher(folder / "teacher")
    return write_data(folder)
