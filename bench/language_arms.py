"""Runs for the parts of `bench.language_models`: the shipped recipes on some of the rows, and variants of them."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

import edgedistill
from bench.record import Goal
from bench.trees import Tree, mappings, whole
from edgedistill import EvaluatedRun, Results
from edgedistill.arrays import Floats
from edgedistill.contracts import registry
from edgedistill.contracts.metric import Metric
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.results_figures import Estimate
from edgedistill.evaluation.statistics import Paired, metric_interval
from edgedistill.evaluation.statistics import compare as compare_paired
from edgedistill.recipe.reading import shipped

SPLITS = ("train", "validation", "test")
METRIC, CI = "bits_per_byte", "bits per byte [95% CI]"


@dataclass(frozen=True)
class Given:
    """Paths of models and books, and the number of rows to read per split."""

    out: Path
    data: Path
    teacher: Path
    rows: Mapping[str, int]
    epochs: tuple[tuple[int, int], ...]
    """Of the first and the second stage, per round; 0: without it."""
    parameters: tuple[float, ...] = ()
    """Per round, for another teacher; none: the recipe's."""
    vocabulary: int | None = None
    """Vocabulary size of the students; 0: all of the teacher's; None: the recipe's."""
    batch_sizes: tuple[int, ...] = ()
    """Per round; none: the recipe's."""
    learning_rates: tuple[float, ...] = ()
    """Per round; none: the recipe's."""
    signals_teacher: Path | None = None
    """A model's folder; None: the first round of `books`."""
    teacher_note: str = ""
    """Which SmolLM2 the teacher is."""

    @property
    def store(self) -> Path:
        """Shared by all arms, so that common steps run once."""
        return self.out / "store"


@dataclass(frozen=True)
class Part:
    """Results of one part."""

    rows: list[Tree]
    goals: list[Goal]


def row(part: str, model: str, **known: object) -> Tree:
    """One row of the table; unknown cells stay empty."""
    columns = (
        "parameters",
        "MB",
        CI,
        "gain over control [95% CI]",
        "tokens",
        "seconds",
        "trained on",
        "note",
    )
    assert set(known) <= set(columns), f"a table has the same columns in all lines, got {sorted(known)}"
    return {"part": part, "model": model, **{column: known.get(column) for column in columns}}


def with_interval(value: float, low: float | None, high: float | None, sign: str = "") -> str:
    """A figure as the tables show it."""
    return f"{value:{sign}.4f}" + ("" if low is None or high is None else f" [{low:{sign}.4f}, {high:{sign}.4f}]")


def candidate_row(candidate: CandidateResult, size: float, part: str, note: str = "") -> Tree:
    """A measured file's row."""
    agreed = f"agrees with torch {candidate.agreement_with_student:.4f}"
    return row(part, candidate.id, MB=size, **{CI: cell(candidate.test)}, note=f"{note}; {agreed}" if note else agreed)


def cell(figure: Estimate) -> str:
    """A figure with its interval."""
    return with_interval(figure.value, figure.low, figure.high)


def bits_per_byte(found: EvaluatedRun, model: str) -> str:
    """A model's on test, with its interval."""
    return cell(judged(found, model, METRIC))


def books(given: Given) -> Tree:
    """The recipe `books-smollm2` with its teacher and evenly spread rows of the books."""
    tree = yaml.safe_load(shipped()["books-smollm2"].read_text(encoding="utf-8"))
    tree["teacher"] = {"model": str(given.teacher)}
    paths = {split: {"path": str(subset(given, split, given.rows[split]))} for split in SPLITS}
    tree["data"] = {**tree["data"], **paths}
    for round_, both in zip(tree["rounds"], given.epochs, strict=True):
        stages = zip(round_["stages"], both, strict=True)
        round_["stages"] = [{**stage, "epochs": epochs} for stage, epochs in stages if epochs]
    for name, values in (("batch_size", given.batch_sizes), ("learning_rate", given.learning_rates)):
        for round_, value in zip(tree["rounds"], values, strict=False):
            round_["stages"] = [{**stage, name: value} for stage in round_["stages"]]
    for round_, parameters in zip(tree["rounds"], given.parameters, strict=False):
        round_["student"]["parameters"] = parameters
    if given.vocabulary is not None:
        first = tree["rounds"][0]["student"]
        del first["vocabulary"]
        first |= {"vocabulary": given.vocabulary} if given.vocabulary else {}
    return dict(tree)


def small_student(teacher: Path) -> Tree:
    """A third of a teacher's layers, as wide as one group of its heads, in all of its tokens."""
    config = json.loads((teacher / "config.json").read_text(encoding="utf-8"))
    heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
    width = config["hidden_size"] // heads * (heads // shared)
    return {
        "init": "narrow",
        "from": "teacher",
        "hidden_size": width,
        "layers": max(1, config["num_hidden_layers"] // 3),
    }


def subset(given: Given, split: str, count: int) -> Path:
    """A parquet file with that many evenly spaced rows of a split, written once."""
    import pyarrow.parquet as pq

    file = given.out / "data" / f"{split}-{count}.parquet"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(given.data / f"{split}.parquet")
        chosen = np.linspace(0, len(table) - 1, min(count, len(table))).astype(int)
        pq.write_table(table.take(np.unique(chosen)), file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
    return file


def changed(tree: Tree, **parts: object) -> Tree:
    """A copy with these keys replaced."""
    return {**copy.deepcopy(tree), **parts}


def run(tree: Tree, given: Given, name: str) -> Results:
    """Run a recipe in a run folder of that name."""
    return edgedistill.run(_written(tree, given, name), out=given.out / name, store=given.store)


def evaluate(tree: Tree, given: Given, name: str) -> EvaluatedRun:
    """Only training and evaluation."""
    return edgedistill.evaluate(_written(tree, given, name), out=given.out / name, store=given.store)


def _written(tree: Tree, given: Given, name: str) -> str:
    file = given.out / f"{name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    return str(file)


def trained(found: EvaluatedRun, model: str) -> Tree:
    """A model's size, and how long and on what it was trained."""
    made = found.training(model)
    return {"parameters": made.parameters, "seconds": made.train_seconds, "trained on": made.epochs[-1].compute}


def statistics(found: EvaluatedRun, model: str, metric: Metric) -> Floats:
    """(E, K) a metric's statistics per test row for a model of the run."""
    return metric.statistics(found.said(model), found.references("test", model.removesuffix("-control")))


def judged(found: EvaluatedRun, model: str, name: str) -> Estimate:
    """A metric of a model of the run on test, with its interval."""
    metric = registry.task("text-generation").judge(found.recipe.task).metrics[name]
    rows = statistics(found, model, metric)
    interval = metric_interval(metric, rows)
    return Estimate(value=metric.figure(rows), low=interval.low, high=interval.high)


def gain(found: EvaluatedRun, model: str, other_run: EvaluatedRun, other: str) -> Paired:
    """How much better one model's bits per byte are than another's, paired by test row."""
    metric = registry.task("text-generation").judge(found.recipe.task).metrics[METRIC]
    return compare_paired(metric, statistics(found, model, metric), statistics(other_run, other, metric))


def tokens(found: EvaluatedRun, model: str) -> int:
    """Number of training tokens in a model's tokenization."""
    return len(found.references("train", model))


def round_of(tree: Tree, model: str) -> Tree:
    """The round of a recipe with that id."""
    return next(round_ for round_ in mappings(tree, "rounds") if round_["id"] == model)


def passes(tree: Tree, model: str) -> int:
    """Epochs of a round over all of its stages."""
    return sum(whole(stage, "epochs") for stage in mappings(round_of(tree, model), "stages"))


def bytes_per_token(tree: Tree, given: Given, name: str) -> int:
    """The plan's size of its only recorded signal."""
    planned = edgedistill.plan(_written(tree, given, name), out=given.out / name, store=given.store).plan
    (found,) = {told for step in planned.steps for told in re.findall(r"(\d+) bytes per decision", step.summary)}
    return int(found)


def step_seconds(given: Given, names: Sequence[str], kind: str) -> float:
    """Total seconds of these runs' steps with that name prefix, counting each step once."""
    found: dict[str, float] = {}
    for name in names:
        for line in (given.out / name / "events.jsonl").read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "finished" and event["step"].startswith(kind):
                found[event["step"]] = event["seconds"]
    return sum(found.values())


def megabytes(results: Results, given: Given, name: str, candidate: str) -> float:
    """MB of a candidate's files, including the tokenizer."""
    found = results.candidate(candidate)
    tokenizer = given.out / name / "models" / found.model / "tokenizer.json"
    apart = not any("tokenizer" in file for file in found.files) and found.target != "gguf"
    return (found.file_bytes + (tokenizer.stat().st_size if apart else 0)) / 1e6


def plain_copy(source: Path, gguf_file: Path, folder: Path) -> Path:
    """A transformers folder from a GGUF file, with dequantized weights and the source's tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM

    if not (folder / "model.safetensors").is_file():
        model = AutoModelForCausalLM.from_pretrained(
            str(gguf_file.parent), gguf_file=gguf_file.name, dtype=torch.float32
        )
        del model.config.quantization_config  # the saved model is no longer quantized
        plain = AutoModelForCausalLM.from_config(model.config)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(folder)
        for file in source.glob("*token*"):
            shutil.copy(file, folder / file.name)
    return folder
