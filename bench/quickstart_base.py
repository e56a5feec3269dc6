"""Make the encoder that the quickstart starts from, from all-MiniLM-L6-v2 and short texts.

    python -m bench.quickstart_base --teacher FOLDER --data FOLDER --out DIR

DATA holds clinc150 and banking77 (`text`, `label`), snips (`tokens`) as jsonl and books (`text`) as parquet. Writes the
texts, runs the recipe `quickstart-base` on them in DIR, and saves the student's body in 16-bit floats to DIR/base:
what lies in recipes/quickstart/base. A text that is also a validation or test sentence of the quickstart is left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from edgedistill.recipe.reading import shipped

LONGEST = 16
"""Words of a text."""
CHANGED, SENTENCES, WORDS = 70_000, 30_000, 20_000
"""Changed commands, sentences of books, and rows of random words, beside the commands and single words."""
SPLITS = ("train", "validation", "test")


def write_texts(data: Path, vocabulary: Sequence[str], folder: Path) -> None:
    """The labelled splits (CLINC150) and the unlabelled texts, the same for the same data.

    Args:
        vocabulary: the teacher's whole words, most frequent first.
    """
    random, held_out = np.random.default_rng(0), _held_out()
    for split in SPLITS:
        rows = _rows(data / "clinc150" / f"{split}.jsonl")
        _write(folder / f"{split}.jsonl", (row for row in rows if str(row["text"]).lower() not in held_out))
    commands = sorted({text for text in _commands(data) if len(text.split()) <= LONGEST} - held_out)
    likely = _falling(len(vocabulary), 200, 0.5)
    made = [_change(commands, vocabulary, likely, random) for _ in range(CHANGED)]
    often = _falling(len(vocabulary), 50, 0.7)
    loose = [" ".join(random.choice(vocabulary, random.integers(2, 9), p=often)) for _ in range(WORDS)]
    texts = [*commands, *made, *_sentences(data / "books" / "train.parquet", random), *loose, *vocabulary]
    _write(folder / "unlabeled.jsonl", ({"text": text} for text in dict.fromkeys(texts) if text not in held_out))


def _held_out() -> set[str]:
    """The quickstart's validation and test sentences."""
    folder = shipped()["quickstart"].parent / "quickstart"
    return {str(row["text"]).lower() for split in SPLITS[1:] for row in _rows(folder / f"{split}.jsonl")}


def _commands(data: Path) -> Iterator[str]:
    for name in ("clinc150", "banking77"):
        yield from (str(row["text"]).lower() for row in _rows(data / name / "train.jsonl"))
    for row in _rows(data / "snips" / "train.jsonl"):
        tokens = row["tokens"]
        assert isinstance(tokens, list)
        yield " ".join(tokens)


def _change(commands: Sequence[str], vocabulary: Sequence[str], likely: np.ndarray, random: np.random.Generator) -> str:
    """A command with other words in it, without some of its words, or joined with half of another."""
    words, kind = commands[int(random.integers(len(commands)))].split(), random.random()
    if kind < 0.35:
        other = commands[int(random.integers(len(commands)))].split()
        return " ".join(words[: max(1, len(words) // 2)] + other[len(other) // 2 :])
    if kind < 0.85:
        others = random.choice(vocabulary, len(words), p=likely)
        return " ".join(str(new) if random.random() < 0.35 else word for word, new in zip(words, others, strict=True))
    return " ".join(word for word in words if random.random() > 0.25) or " ".join(words)


def _falling(count: int, start: int, power: float) -> np.ndarray:
    """(count,) probabilities that fall with the rank (Zipf-Mandelbrot)."""
    weights = (np.arange(count) + start) ** -power
    return weights / weights.sum()


def _sentences(file: Path, random: np.random.Generator) -> list[str]:
    """Short sentences of books."""
    import pyarrow.parquet as pq

    pages = pq.read_table(file, columns=["text"]).column("text")
    found: list[str] = []
    for page in random.permutation(len(pages)):
        for sentence in re.split(r'(?<=[.!?])["”’]?\s+', pages[int(page)].as_py().replace("\n", " ")):
            text = sentence.strip(' "“”‘’_*#').lower()
            if 3 <= len(text.split()) <= LONGEST:
                found.append(text)
        if len(found) >= SENTENCES:
            break
    return found[:SENTENCES]


def _rows(file: Path) -> Iterator[dict[str, object]]:
    for line in file.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)


def _write(file: Path, rows: Iterable[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def whole_words(teacher: Path) -> list[str]:
    """Those of the teacher's tokens that are words, in the order of its vocabulary."""
    vocabulary = json.loads((teacher / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return [token for token in sorted(vocabulary, key=vocabulary.__getitem__) if re.fullmatch("[a-z]{2,}", token)]


def save_body(model: Path, folder: Path) -> None:
    """The student without its head, in 16-bit floats, with its tokenizer."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    body = AutoModel.from_pretrained(model, dtype=torch.float16)
    body.config.num_labels = 2  # transformers' default: without the head's labels
    body.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    texts = asked.out / "texts"
    write_texts(asked.data, whole_words(asked.teacher), texts)
    tree = yaml.safe_load(shipped()["quickstart-base"].read_text(encoding="utf-8"))
    tree["teacher"] = {"model": str(asked.teacher.resolve()), "fine_tune": tree["teacher"]["fine_tune"]}
    for split in (*SPLITS, "unlabeled"):
        tree["data"][split] = {"path": str((texts / f"{split}.jsonl").resolve())}
    recipe = asked.out / "quickstart-base.yaml"
    recipe.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    found = edgedistill.evaluate(str(recipe), out=asked.out / "run")
    save_body(found.model_folder("base"), asked.out / "base")


if __name__ == "__main__":
    main()
