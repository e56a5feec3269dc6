"""A teacher whose byte-level vocabulary lacks bytes, and students that have them."""

from __future__ import annotations

import pytest
from byte_pairs import LACKING, TEXTS, byte_pairs
from helpers import write_jsonl, write_recipe
from language_models import tiny
from transformers import AutoTokenizer, PreTrainedTokenizerFast

import edgedistill
from edgedistill.evaluation.results import load_results

STRANGE = ("\x04", "да", "\U0004f000")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("bytes")
    model = tiny(vocab_size=701, bos_token_id=0, eos_token_id=700, initializer_range=0.1)
    model.save_pretrained(place / "teacher")
    names = {"bos_token": "<|start|>", "eos_token": "<|end|>"}
    PreTrainedTokenizerFast(tokenizer_object=byte_pairs(lacking=LACKING), **names).save_pretrained(place / "teacher")
    sources = {}
    for number, split in enumerate(("train", "validation", "test")):
        texts = [f"{text} {STRANGE[i % 3]}{text}" for i, text in enumerate(TEXTS[12 * number :][:12])]
        sources[split] = {"path": str(write_jsonl(place / f"{split}.jsonl", [{"text": text} for text in texts]))}
    stage = {"name": "soft", "losses": [{"kind": "kl", "temperature": 1}, {"kind": "hard_label"}]}
    students = [
        {"init": "shrink", "from": "teacher", "parameters": 40_000, "vocabulary": 400},
        {"init": "shrink", "from": "r1", "parameters": 30_000},
    ]
    recipe = {
        "schema": "edgedistill/1",
        "name": "bytes",
        "task": {"type": "text-generation", "metrics": ["bits_per_byte"]},
        "data": sources | {"max_length": 32},
        "teacher": {"model": str(place / "teacher"), "accept_chance": True},
        "rounds": [
            {"id": f"r{number}", "teacher": student["from"], "student": student, "stages": [stage]}
            for number, student in enumerate(students, 1)
        ],
        "control": False,
        "signals": {"form": "sampled"},
        "export": {"teacher": False},
        "measure": {"min_seconds": 0.05, "prompts": [8]},
    }
    edgedistill.run(write_recipe(recipe, place), out=place / "run", store=place / "store")
    return place / "run"


def test_no_text_loses_a_byte_in_a_students_tokens(run):
    teacher, *students = (AutoTokenizer.from_pretrained(run / "models" / name) for name in ("teacher", "r1", "r2"))
    for text in STRANGE:
        assert teacher.decode(teacher(text).input_ids) != text
        for student in students:
            assert student.decode(student(text, add_special_tokens=False).input_ids) == text
    assert len(students[0]) == 400


def test_files_read_all_texts_as_the_students_do(run):
    for candidate in load_results(run).measured:
        assert candidate.texts_read.otherwise == 0
        assert candidate.texts_read.texts > 10_200
