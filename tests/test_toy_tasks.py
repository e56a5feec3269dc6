"""Other kinds of tasks run from teacher to chosen file, to bundle, lone file and comparison, without a line of the
library knowing them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from helpers import LABELS, Tree, plugged_in, quickstart_rows, tiny_recipe, write_jsonl, write_recipe

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.contracts.answers import Answers, References
from edgedistill.data.prepared import PreparedData
from edgedistill.errors import StepError, UserError
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult

MAX_LENGTH = 32


@pytest.fixture
def toys(tmp_path):
    """The toy tasks as installed entry points, in this process and in the measuring ones."""
    tasks = {"long-words": "toy_words:TASK", "text-pairs": "toy_pairs:TASK", "streamed-intent": "toy_stream:TASK"}
    own = {"edgedistill.exporters": {"bag": "toy_bag:TARGET"}, "edgedistill.runtimes": {"bag": "toy_bag:RUNTIME"}}
    with plugged_in(tmp_path / "site", {"edgedistill.tasks": tasks, **own}):
        yield


@dataclass(frozen=True)
class Whole:
    """A recipe that was run, and run again with another preference and the primary metric alone."""

    folder: Path
    results: Results
    again: Path
    test_data: Path

    def candidate(self, name: str) -> CandidateResult:
        found = self.results.candidate(name)
        assert isinstance(found, CandidateResult)
        return found

    def answers(self, name: str) -> Answers:
        return Answers.open(self.folder / "predictions" / "test" / f"{name.replace('/', '-')}.safetensors")

    def references(self) -> References:
        return References.open(self.folder / "predictions" / "test" / "references.safetensors")


def ran(tree: Tree, tmp_path: Path) -> Whole:
    recipe, store, folders = write_recipe(tree, tmp_path), tmp_path / "store", (tmp_path / "run", tmp_path / "again")
    results = edgedistill.run(recipe, out=folders[0], store=store)
    primary = results.metric
    edgedistill.run(recipe, ["select.prefer=size", f"task.metrics=[{primary}]"], out=folders[1], store=store)
    return Whole(folders[0], results, folders[1], Path(tree["data"]["test"]["path"]))


def goes_on_to_bundle_lone_file_and_comparison(went: Whole, task: str, metrics: list[str], runtime: str) -> None:
    """What follows a run, of any task: the figures stay what the run said."""
    results = went.results
    chosen = went.candidate(str(results.chosen))
    for judged in (results.teacher, *results.rounds, chosen):
        assert [figure.metric for figure in judged.on("test")] == metrics
        assert [figure.metric for figure in judged.on("validation")] == metrics
    tested = edgedistill.measure(went.folder / "bundle", options=MeasureOptions(min_seconds=0.02))
    assert tested.golden.passed
    assert tested.candidate == chosen.id
    given = MeasureOptions(task=task, metric=metrics[0], runtime=runtime, max_length=MAX_LENGTH, min_seconds=0.02)
    alone = edgedistill.measure(went.folder / chosen.file, went.test_data, given)
    assert [figure.metric for figure in alone.figures] == metrics
    assert [figure.value for figure in alone.figures] == pytest.approx([figure.value for figure in chosen.on("test")])
    assert alone.file_bytes == chosen.file_bytes
    _, second = edgedistill.compare([went.folder, went.again])
    assert [figure.metric for figure in second.results.teacher.on("test")] == metrics[:1]
    other = went.candidate(str(second.results.chosen))
    found = second.difference_from_first
    better = other.test.value - chosen.test.value
    assert found is not None
    assert found.gain == pytest.approx(better if chosen.test.direction == "higher" else -better)
    assert found.interval.low <= found.gain <= found.interval.high


@pytest.fixture
def words(toys, data_folder, tmp_path):
    """A recipe that says of each word whether it is long."""
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = [row["text"].split() for row in quickstart_rows(split)[: 60 if split == "train" else 30]]
        content = [{"words": w, "long": ["long" if len(x) > 3 else "short" for x in w]} for w in rows]
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    unlabelled = [{"words": row["text"].split()} for row in quickstart_rows("train")[60:90]]
    tree["data"]["unlabeled"] = {"path": str(write_jsonl(tmp_path / "unlabeled.jsonl", unlabelled))}
    tree |= {"task": {"type": "long-words", "metrics": ["f1_macro", "accuracy"]}, "control": False}
    tree["teacher"]["fine_tune"] |= {"epochs": 8}
    tree["rounds"] = tree["rounds"][:1]
    return tree


def test_a_task_of_several_decisions_per_item_goes_all_the_way(words, tmp_path):
    words["rounds"][0]["stages"][0] |= {"errors": {"of": "teacher"}, "teacher_errors": 0.5, "epochs": 12}
    went = ran(words, tmp_path)
    tokens = sum(len(row["text"].split()) for row in quickstart_rows("test")[:30])
    assert went.results.teacher.test.value > 0.7
    assert went.candidate("r1/onnx/fp32/onnxruntime").agreement_with_student == 1.0
    assert len(went.references()) == len(went.answers("r1/onnx/fp32/onnxruntime")) == tokens
    goes_on_to_bundle_lone_file_and_comparison(went, "long-words", ["f1_macro", "accuracy"], "onnxruntime")


def test_a_student_whose_tokens_are_cut_elsewhere_is_refused(words, tmp_path):
    """What its teacher says of a word would be taken for another's."""
    words["rounds"][0]["student"] = {"init": "trim_vocabulary", "coverage": 0.5}
    words["rounds"][0]["stages"][0] |= {"losses": [{"kind": "kl"}], "data": ["train"]}
    words["data"]["max_length"] = 8
    words["teacher"]["fine_tune"] |= {"epochs": 1}
    with pytest.raises(
        StepError, match=r"data.max_length: a student .* gets \d+ decisions on train, but its source \d+"
    ):
        edgedistill.evaluate(write_recipe(words, tmp_path), out=tmp_path / "run")


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory):
    """A BERT of two layers with random weights, no head, and a tokenizer of the quickstart's texts."""
    import torch
    from transformers import BertConfig, BertModel

    from edgedistill.models.learned_vocabulary import learn_tokenizer

    folder = tmp_path_factory.mktemp("encoder")
    tokenizer = learn_tokenizer([row["text"] for row in quickstart_rows("train")], 300, MAX_LENGTH)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=MAX_LENGTH, initializer_range=0.2, **sizes)
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def pairs(toys, data_folder, encoder_folder, tmp_path):
    """A recipe of pairs of texts, far apart where they ask for different things; training has no labels."""
    tree = tiny_recipe(data_folder)
    for split in ("train", "validation", "test"):
        rows = quickstart_rows(split)[:80]
        content = []
        for first, second in zip(rows[::2], rows[1::2], strict=True):
            pair = {"first": first["text"], "second": second["text"]}
            content.append(pair if split == "train" else pair | {"gap": 0 if first["label"] == second["label"] else 4})
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    del tree["data"]["unlabeled"]
    stage = {"name": "vectors", "epochs": 6, "learning_rate": 3e-3, "batch_size": 8}
    student = {"init": "keep_layers", "layers": 1}
    losses = [{"kind": "hidden_mse"}, {"kind": "embedding", "distance": "cosine"}]
    return tree | {
        "task": {"type": "text-pairs", "metric": "gap_error"},
        "teacher": {"model": str(encoder_folder), "accept_chance": True},
        "rounds": [{"id": "r1", "student": student, "stages": [stage | {"losses": losses}]}],
        "control": False,
        "select": {"limits": {"drop": 0.5}},
    }


def test_a_task_of_vectors_without_labels_in_training_goes_all_the_way(pairs, tmp_path):
    from toy_pairs import TASK

    went = ran(pairs, tmp_path)
    metric = TASK.judge(None).metrics["gap_error"]
    found = edgedistill.evaluate(str(tmp_path / "recipe.yaml"), out=tmp_path / "run")
    assert found.models == ("teacher", "r1")
    teacher, student, references = found.said("teacher"), found.said("r1"), found.references()
    assert teacher.values["vector"].shape == (80, 32)
    assert teacher.example.tolist() == np.repeat(np.arange(40), 2).tolist()
    assert len(metric.statistics(student, references)) == 40
    kept = found.training("r1").kept_metric("lower")
    validation = metric.score(found.said("r1", "validation"), found.references("validation"))
    assert validation == pytest.approx(kept, abs=1e-6)
    epochs = found.training("r1").epochs
    assert epochs[-1].loss < 0.8 * epochs[0].loss
    items = PreparedData.of(found.outputs.data["teacher"].reading()).items("train")
    assert items.columns["input_ids"].side == "left"
    assert len(items) == 2 * 40
    row, plain = went.candidate("r1/onnx/int8-dynamic/onnxruntime"), went.results.teacher
    assert row.drop.value == pytest.approx(row.validation.value - plain.validation.value)
    goes_on_to_bundle_lone_file_and_comparison(went, "text-pairs", ["gap_error"], "onnxruntime")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"control": True}, "control: got true, but 'text-pairs' has no labels to train on without a teacher"),
        ({"losses": [{"kind": "hard_label"}]}, "'hard_label' needs labels, and 'text-pairs' has none"),
        ({"losses": [{"kind": "kl"}]}, "'kl' needs logits, and 'text-pairs' has none"),
        ({"errors": {"of": "teacher"}}, "stages.0.errors: the task does not define correct answers"),
        ({"fine_tune": {"epochs": 1}}, "teacher.fine_tune: 'text-pairs' has no labels to fine-tune a teacher on"),
    ],
)
def test_what_a_task_of_vectors_has_not_is_refused(pairs, tmp_path, change, expected):
    stage = pairs["rounds"][0]["stages"][0]
    pairs |= {key: value for key, value in change.items() if key == "control"}
    stage |= {key: value for key, value in change.items() if key in ("losses", "errors")}
    pairs["teacher"] |= {key: value for key, value in change.items() if key == "fine_tune"}
    with pytest.raises(UserError) as caught:
        edgedistill.plan(write_recipe(pairs, tmp_path))
    assert expected in str(caught.value)


def test_a_task_of_two_components_with_a_state_between_them_goes_all_the_way(toys, data_folder, tmp_path):
    from toy_stream import parts_of

    tree = tiny_recipe(data_folder)
    rows = {
        split: [r for r in quickstart_rows(split) if r["label"] in LABELS] for split in ("train", "validation", "test")
    }
    for split, count in (("train", 90), ("validation", 30), ("test", 45)):
        content = [{"speech": row["text"], "intent": row["label"]} for row in rows[split][:count]]
        tree["data"][split] = {"path": str(write_jsonl(tmp_path / f"{split}.jsonl", content))}
    del tree["data"]["unlabeled"]
    stage = {"name": "soft-targets", "epochs": 20, "learning_rate": 1e-2, "batch_size": 16}
    stage["losses"] = [{"kind": "kl"}, {"kind": "hard_label", "weight": 0.2}]
    tree["teacher"]["fine_tune"] |= {"epochs": 10}
    tree |= {
        "task": {"type": "streamed-intent", "metrics": ["surprise", "understood"]},
        "rounds": [{"id": "r1", "student": {"init": "static", "dimensions": 16}, "stages": [stage]}],
        "export": {"targets": ["bag"], "teacher": False},
        "quantize": [{"precision": "fp32"}, {"precision": "fp16"}],
    }
    went = ran(tree, tmp_path)
    given = [example["text"] for example in rows["test"][:45]]
    asked = np.repeat(np.arange(45), [3 * len(parts_of(text)) for text in given])
    answers = went.answers("r1/bag/fp32/bag")
    assert answers.example.tolist() == went.references().example.tolist() == asked.tolist()
    row = went.candidate("r1/bag/fp32/bag")
    assert [Path(file).name for file in row.files] == ["model-fp32-decode.bag", "model-fp32-prefill.bag"]
    assert (row.agreement_with_student, row.agreement_batched) == (1.0, 1.0)
    assert row.max_abs_diff < 1e-4
    assert row.test.examples == 45
    understood = row.of("understood")
    assert understood is not None
    assert understood.value > 0.45
    goes_on_to_bundle_lone_file_and_comparison(went, "streamed-intent", ["surprise", "understood"], "bag")
    done = subprocess.run([sys.executable, "-P", went.folder / "bundle" / "examples" / "run.py"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
