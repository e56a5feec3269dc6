"""Every ingredient of a step is in its key: another version, byte or row plans again what it went into, and no more.

`test_ingredients_in_keys.py` does so for plug-ins of text, runtimes and the machine; `test_plan.py` for the recipe's
own keys.
"""

from __future__ import annotations

import json
import pkgutil
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
from helpers import change_plugin, raise_version, write_jsonl, write_weights

from edgedistill.contracts import registry
from edgedistill.planning import fingerprints, make_plan
from edgedistill.recipe import reading
from edgedistill.steps import kinds
from edgedistill.steps.kinds import measure
from edgedistill.store.records.files import Emulated
from edgedistill.store.step import StepKind, key_of

KINDS = sorted(module.name for module in pkgutil.iter_modules(kinds.__path__))


@pytest.fixture
def files(tmp_path, data_folder):
    """Data to change, and models as far as a plan looks at them."""
    for name in ("train", "validation", "test", "unlabeled", "mixed"):
        (tmp_path / f"{name}.jsonl").write_bytes((data_folder / f"{name}.jsonl").read_bytes())
    sizes = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    for name in ("teacher", "pretrained"):
        (tmp_path / name).mkdir()
        config = {"model_type": "bert", "vocab_size": 300, "max_position_embeddings": 32, **sizes}
        (tmp_path / name / "config.json").write_text(json.dumps(config))
        (tmp_path / name / "tokenizer.json").write_text("{}")
        write_weights(tmp_path / name, name)
    return tmp_path


@pytest.fixture
def recipe(files, recipe_tree):
    """With a step of every kind."""
    tree = recipe_tree
    for split in ("train", "validation", "test", "unlabeled"):
        tree["data"][split] = {"path": str(files / f"{split}.jsonl")}
    tree["teacher"] = {"model": str(files / "teacher"), "fine_tune": {"epochs": 1}}
    first, second = tree["rounds"]
    first["stages"][0]["augment"] = {"swap": 0.2}
    second["teacher"] = {"choose": ["teacher", "r1"]}
    second["student"] = {"init": "trim_vocabulary", "from": "r1"}
    third = {"id": "r3", "student": {"init": "checkpoint", "model": str(files / "pretrained")}}
    tree["rounds"].append({**third, "stages": [{"name": "one", "losses": [{"kind": "kl"}]}]})
    tree["stop"] = {"when": {"accuracy_drop": 0.5}}
    tree["evaluate"] = {"ood": {"mixed": {"path": str(files / "mixed.jsonl")}}}
    tree["export"] = {"targets": ["onnx", "ort-mobile"], "teacher": True}
    tree["quantize"] = [{"precision": "fp32"}, {"precision": "int8-dynamic"}, {"precision": "int8-static"}]
    tree["quantize"].append({"name": "searched", "search": {"max_drop": 0.01}})
    tree["measure"]["runtimes"] = ["onnxruntime", "onnxruntime-arm64"]
    return reading.validate(tree, "recipe")


def plan(recipe):
    return make_plan(recipe, fingerprints.look_up(recipe))


def keys(recipe) -> dict[str, str]:
    return {step.name: step.key for step in plan(recipe).steps}


def with_readers(recipe, first: set[str]) -> set[str]:
    """These steps and all that read them, whether directly or not."""
    reached = set(first)
    for step in plan(recipe).steps:
        if reached & step.sources:
            reached.add(step.name)
    return reached


def named(recipe, *prefixes: str) -> set[str]:
    found = {name for name in keys(recipe) if name.startswith(prefixes)}
    assert found
    return found


def of_kind(recipe, kind: str) -> set[str]:
    return {step.name for step in plan(recipe).steps if step.kind.name == kind}


def changed(recipe, before: dict[str, str]) -> set[str]:
    now = keys(recipe)
    assert now.keys() == before.keys()
    return {name for name, key in now.items() if key != before[name]}


def test_nothing_changed_plans_nothing_again(recipe):
    assert changed(recipe, keys(recipe)) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_version_of_a_step(recipe, monkeypatch, kind):
    before, own = keys(recipe), of_kind(recipe, kind)
    assert own, f"the recipe above has no step of kind {kind}"
    module = import_module(f"edgedistill.steps.kinds.{kind}")
    monkeypatch.setattr(module, "KIND", replace(module.KIND, version=module.KIND.version + 1))
    assert changed(recipe, before) == with_readers(recipe, own)


@pytest.mark.parametrize("target", ["onnx", "ort-mobile"])
def test_the_version_of_an_exporter(recipe, monkeypatch, target):
    before = keys(recipe)
    raise_version(monkeypatch, "exporters", target)
    own = {name for name in named(recipe, "file-") if f"-{target}-" in name}
    found = changed(recipe, before)
    assert found == with_readers(recipe, own)
    assert not found & named(recipe, "evaluate-", "test-", "data", "teacher")


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic", "int8-static"])
def test_the_version_of_a_precision(recipe, monkeypatch, precision):
    before, known = keys(recipe), registry.target("onnx").precisions
    newer = {precision: replace(known[precision], version=known[precision].version + 1)}
    change_plugin(monkeypatch, "exporters", "onnx", precisions={**known, **newer})
    own = {name for name in named(recipe, "file-") if name.endswith(f"-onnx-{precision}")}
    found = changed(recipe, before)
    assert found == with_readers(recipe, own)
    assert (f"file-r1-ort-mobile-{precision}") in found


@pytest.mark.parametrize("precision", registry.names("quantizers"))
def test_the_version_of_a_quantizer_is_that_of_its_precision(precision):
    """The exporter that quantizes takes it over, so that it reaches the key as above."""
    quantizer = registry.quantizer(precision)
    assert registry.target("onnx").precisions[precision].version == quantizer.version


def test_a_raised_quantizer_is_taken_over(monkeypatch):
    import importlib

    from edgedistill_exporters import onnx as exporter

    try:
        with monkeypatch.context() as patch:
            change_plugin(patch, "quantizers", "int8-dynamic", version=41)
            assert importlib.reload(exporter).TARGET.precisions["int8-dynamic"].version == 41
    finally:
        importlib.reload(exporter)


@pytest.mark.parametrize("student", ["keep_layers", "trim_vocabulary", "checkpoint"])
def test_the_version_of_a_student(recipe, monkeypatch, student):
    before = keys(recipe)
    raise_version(monkeypatch, "students", student)
    number = ["keep_layers", "trim_vocabulary", "checkpoint"].index(student) + 1
    found = changed(recipe, before)
    own = {name for name in of_kind(recipe, "distil") if name.startswith(f"r{number}")}
    own |= of_kind(recipe, "retokenise") if registry.student(student).make_tokenizer is not None else set()
    probes = [step for step in plan(recipe).steps if step.kind.name == "probe_model"]
    made_of = {step.name: {model.student.init for model in step.settings.models if model.student} for step in probes}
    own |= {name for name, inits in made_of.items() if student in inits}
    assert found == with_readers(recipe, own) | {"report", "bundle"}


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_byte_of_the_teacher(recipe, files, file):
    before = keys(recipe)
    place = files / "teacher" / file
    if file.endswith(".safetensors"):
        write_weights(files / "teacher", "others")
    else:
        place.write_bytes(place.read_bytes().replace(b"}", b" }") + b" ")
    assert changed(recipe, before) == with_readers(recipe, {"data", "teacher"})


def test_a_byte_of_a_pretrained_student(recipe, files):
    before = keys(recipe)
    write_weights(files / "pretrained", "another")
    found = changed(recipe, before)
    assert found == with_readers(recipe, {"r3", "r3-control", "probe-r3"})
    assert not any(name.startswith(("r1", "r2", "teacher", "data")) for name in found)


ROWS = {
    "train": {"data", "teacher"},
    "validation": {"data-validation"},
    "test": {"data-test"},
    "unlabeled": {"data-unlabeled"},
    "mixed": {"ood", "ood-r2"},
}


@pytest.mark.parametrize("split", ROWS)
def test_a_row(recipe, files, split):
    before, place = keys(recipe), files / f"{split}.jsonl"
    rows = [json.loads(line) for line in place.read_text().splitlines()]
    rows[3]["text"] += " please"
    write_jsonl(place, rows)
    found = changed(recipe, before)
    assert found == with_readers(recipe, ROWS[split])
    if split in ("test", "mixed"):
        trained = of_kind(recipe, "distil") | of_kind(recipe, "train_teacher") | of_kind(recipe, "record_signals")
        assert not found & trained
        assert not found & named(recipe, "file-", "verify-", "judge-")


@pytest.mark.parametrize("runtime", ["onnxruntime", "onnxruntime-arm64"])
def test_the_version_of_a_runtime(recipe, runtime):
    known = fingerprints.look_up(recipe)
    before = {step.name: step.key for step in make_plan(recipe, known).steps}
    newer = replace(known, runtimes={**known.runtimes, runtime: {"onnxruntime": "99"}})
    found = {step.name for step in make_plan(recipe, newer).steps if step.key != before[step.name]}
    own = {name for name in named(recipe, "verify-", "emulate-") if name.endswith(f"-{runtime}")}
    if runtime == "onnxruntime":  # It times candidates, and answers for the files that a search tries.
        own |= {"measure"} | {name for name in before if name.endswith("-onnx-searched")}
    assert found == with_readers(recipe, own)


def test_the_machine(recipe):
    known = fingerprints.look_up(recipe)
    before = {step.name: step.key for step in make_plan(recipe, known).steps}
    other = replace(known, host={**known.host, "cpu": "another"})
    found = {step.name for step in make_plan(recipe, other).steps if step.key != before[step.name]}
    assert found == with_readers(recipe, {"measure"})


def test_each_part_of_a_key_counts():
    kind: StepKind[Any, Any, Any] = measure.KIND
    usual: dict[str, Any] = {"kind": kind, "settings": {"a": 1}, "input_keys": {"file": "x"}, "host": {"cpu": "1"}}
    others: list[dict[str, Any]] = [
        {"kind": replace(kind, function="edgedistill.steps.emulate:run")},
        {"kind": replace(kind, version=kind.version + 1)},
        {"kind": replace(kind, record=Emulated)},
        {"settings": {"a": 2}},
        {"input_keys": {"file": "y"}},
        {"input_keys": {"reference": "x"}},
        {"host": {"cpu": "2"}},
    ]
    found = {key_of(**usual), *(key_of(**usual | other) for other in others)}
    assert len(found) == 1 + len(others)
    assert key_of(**usual) == key_of(**usual)
    elsewhere = usual | {"kind": replace(kind, host=False)}
    assert key_of(**elsewhere) == key_of(**elsewhere | {"host": {"cpu": "2"}})


def test_two_steps_of_equal_settings_and_inputs_but_another_kind_are_two(recipe):
    """Verification and emulation of one file by one runtime would differ in nothing else."""
    by_key = {step.key: step.name for step in plan(recipe).steps}
    assert len(by_key) == len(plan(recipe).steps)
