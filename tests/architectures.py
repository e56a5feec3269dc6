"""Tries every architecture that transformers has a text classifier of, as a teacher of every kind of student.

    python tests/architectures.py [NAME ...] [--write docs/architectures.md]

Each is made tiny with random weights. What passes the trial before training is trained too, for one epoch: it is
wrong to refuse what works, and wrong to let pass what fails later.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from helpers import LABELS, quickstart_rows, write_jsonl
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES

from edgedistill.engine import local
from edgedistill.errors import RecipeError, StepError, UserError
from edgedistill.models.learned_vocabulary import learn_tokenizer
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.store.progress import Progress

NAMES = tuple(MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES)
STUDENTS: Mapping[str, dict[str, object]] = {
    "keep_layers": {"layers": 2},
    "scratch": {"layers": 1, "hidden_size": 16, "heads": 2},
    "narrow": {"hidden_size": 16},
    "factorise": {"embedding_size": 8},
    "prune": {"parameters": 25_000},
    "shrink": {"parameters": 25_000},
}
WORKS, REFUSED, NOT_TINY = "works", "refused", "not tried"
_TOKENS, _LENGTH = 300, 64
_MOST_PARAMETERS = 3_000_000
_TEACHERS = ("teacher.", "the teacher", "data.max_length")
_SIZES: Mapping[str, object] = {
    **dict.fromkeys(
        ["hidden_size", "d_model", "n_embd", "dim", "embedding_size", "emb_dim", "word_embed_proj_dim"], 32
    ),
    **dict.fromkeys(["num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_layers"], 4),
    **dict.fromkeys(["num_attention_heads", "n_head", "n_heads", "num_heads", "num_key_value_heads"], 4),
    **dict.fromkeys(["encoder_attention_heads", "decoder_attention_heads", "rotary_dim"], 4),
    **dict.fromkeys(["num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok"], 4),
    **dict.fromkeys(
        ["intermediate_size", "hidden_dim", "n_inner", "d_ff", "d_inner", "encoder_ffn_dim", "decoder_ffn_dim"], 64
    ),
    **dict.fromkeys(["ffn_dim", "moe_intermediate_size", "shared_expert_intermediate_size"], 64),
    **dict.fromkeys(["q_lora_rank", "kv_lora_rank"], 16),
    **dict.fromkeys(["head_dim", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "qk_head_dim"], 8),
    "vocab_size": _TOKENS,
    "max_position_embeddings": _LENGTH + 4,
    "n_positions": _LENGTH + 4,
    "pad_token_id": 0,
    "num_labels": len(LABELS),
}
"""By whatever name an architecture calls its sizes; it leaves alone the names that are not its own."""


@dataclass(frozen=True)
class Answer:
    """What became of one architecture with one student (or as a teacher alone)."""

    state: str
    words: str = ""


def tried(name: str, folder: Path, *, exported: bool = False) -> Iterator[tuple[str, Answer]]:
    """By kind of student, what becomes of this architecture.

    Args:
        exported: write the ONNX file of each student that works, too.

    Raises:
        Exception: whatever a user would see as a traceback, or a failure after the trial.
    """
    warnings.simplefilter("ignore")
    _write_data(folder)
    try:
        model = _tiny(name)
    except Exception as error:  # noqa: BLE001 - a configuration that asks for sizes of its own
        yield from ((student, Answer(NOT_TINY, f"{type(error).__name__}: {error}"[:150])) for student in STUDENTS)
        return
    model.save_pretrained(folder / "teacher")
    learn_tokenizer((row["text"] for row in quickstart_rows("train")), _TOKENS, _LENGTH).save_pretrained(
        str(folder / "teacher")
    )
    for student in STUDENTS:
        yield student, _answer(folder, student, exported)


def tiny_config(name: str) -> PreTrainedConfig:
    """The smallest sizes that an architecture's configuration takes."""
    usual = AutoConfig.for_model(name)
    sizes: dict[str, object] = {}
    for key, value in _SIZES.items():
        with suppress(Exception):  # a size that is derived from others, or can't be so small
            if hasattr(usual, key) and AutoConfig.for_model(name, **sizes, **{key: value}):
                sizes[key] = value
    return AutoConfig.for_model(name, **sizes)


def _tiny(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = tiny_config(name)
    with torch.device("meta"):
        count = sum(
            parameter.numel() for parameter in AutoModelForSequenceClassification.from_config(config).parameters()
        )
    if count > _MOST_PARAMETERS:
        raise ValueError(f"has {count} parameters at these sizes")
    return AutoModelForSequenceClassification.from_config(config)


def _write_data(folder: Path) -> None:
    for split, count in (("train", 8), ("validation", 4), ("test", 4)):
        rows = [row for label in LABELS for row in [r for r in quickstart_rows(split) if r["label"] == label][:count]]
        write_jsonl(folder / f"{split}.jsonl", rows)


def _answer(folder: Path, student: str, exported: bool) -> Answer:
    schedule: dict[str, object] = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8}
    tree: dict[str, object] = {
        "schema": "edgedistill/1",
        "name": "architecture",
        "task": {"type": "text-classification", "metric": "accuracy"},
        "data": {split: {"path": str(folder / f"{split}.jsonl")} for split in ("train", "validation", "test")}
        | {"max_length": _LENGTH},
        "teacher": {"model": str(folder / "teacher"), "fine_tune": schedule},
        "rounds": [
            {
                "id": "r1",
                "student": STUDENTS[student] | {"init": student},
                "stages": [schedule | {"name": "one", "losses": [{"kind": "kl"}, {"kind": "hard_label"}]}],
            }
        ],
        "compute": {"device": "cpu", "precision": "fp32"},
        "export": {"targets": ["onnx"], "teacher": False},
    }
    recipe = reading.validate(tree, "architecture")
    try:
        plan = make_plan(recipe, fingerprints.look_up(recipe))
    except (RecipeError, UserError) as error:
        return Answer(REFUSED, str(error))
    out = folder / "run"  # what does not depend on the student is made once
    try:
        local.execute(plan.until("probe-r1"), out, Progress())
    except UserError as error:
        return Answer(REFUSED, str(error))
    except StepError as error:
        if not isinstance(error.__cause__, UserError):
            raise
        return Answer(REFUSED, str(error.__cause__))
    local.execute(plan.until("r1"), out, Progress())
    if not exported:
        return Answer(WORKS)
    made = local.execute(plan.until("file-r1-onnx-fp32"), out, Progress())["file-r1-onnx-fp32"]
    return Answer(WORKS, "" if made.failure is None else f"but as ONNX: {made.failure.reason}")


Table = dict[str, dict[str, Answer]]


def document(found: Table) -> str:
    """What works with what, for `docs/`."""
    lines = [
        "# Which architectures can be distilled",
        "",
        "`python tests/architectures.py` builds a tiny model with random weights for each text classifier in",
        f"transformers {transformers.__version__}, and tries every kind of student of it.",
        "Whatever passes the trial before training was also trained for an epoch. *Refused* means one message and "
        "exit code",
        "2 before anything is trained: from `plan` if `config.json` shows it, otherwise from the trial (`probe-...`).",
        "`static`, `trim_vocabulary` and `checkpoint` do not depend on the architecture.",
        "",
        f"| architecture | {' | '.join(f'`{student}`' for student in STUDENTS)} | why the teacher is refused |",
        "|---" * (len(STUDENTS) + 2) + "|",
    ]
    for name, row in found.items():
        if any(cell.state == NOT_TINY for cell in row.values()):
            continue
        words = {cell.words for cell in row.values() if cell.words.startswith(_TEACHERS)}
        lines.append(
            f"| {name} | {' | '.join(row[student].state for student in STUDENTS)} | {' '.join(map(_reason, words))} |"
        )
    rest = [name for name, row in found.items() if any(cell.state == NOT_TINY for cell in row.values())]
    lines += ["", f"Not tried, since they cannot be made tiny here: {', '.join(rest)}."]
    return "\n".join(lines) + "\n"


def _reason(words: str) -> str:
    """A refusal without its place, what to do, and the numbers of this model."""
    place, _, said = words.partition(": ")
    said = said if place in ("teacher.model", "data.max_length") else words
    said = re.split(r"; expected | \[", said)[0]
    return re.sub(r"'[^']*/teacher': ?|\(a '[\w-]+'\) | \(its logits [^)]*\)", "", said).replace("|", "/")


def main(words: Sequence[str]) -> int:
    """Try them and tell; 1 when one of them fails with anything but a sentence before training."""
    parser = argparse.ArgumentParser(prog="python tests/architectures.py", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--export", action="store_true", help="write ONNX files too")
    parser.add_argument("--write", type=Path, help="write the table as Markdown")
    chosen = parser.parse_args(words)
    logging.disable(logging.WARNING)
    found: Table = {}
    faults = 0
    for name in chosen.names:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found[name] = dict(tried(name, Path(folder), exported=chosen.export))
                said = "; ".join(f"{init} {cell.state} {cell.words}".strip() for init, cell in found[name].items())
            except Exception as error:  # noqa: BLE001 - told as what it is
                faults += 1
                said = f"FAULT: {type(error).__name__}: {error}"
        sys.stdout.write(f"{name} ({time.monotonic() - begun:.1f} s): {said}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(chosen.names)} architectures, {faults} faults\n")
    if chosen.write:
        chosen.write.write_text(document(found), encoding="utf-8")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
