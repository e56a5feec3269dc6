"""A language model's run ends in a bundle that tests itself, and in files that continue texts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from helpers import write_jsonl, write_recipe
from language_models import TEACHER

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.bundling.continuations import CONTINUATIONS
from edgedistill.bundling.layout import write_hashes
from edgedistill.errors import EdgedistillError, UserError

pytestmark = pytest.mark.slow
PROMPT = "Once upon a time"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One round of one layer less, on the beginnings of a few stories."""
    folder = tmp_path_factory.mktemp("language")
    for split, count in (("train", 8), ("validation", 8), ("test", 4)):
        lines = (TEACHER.parent / f"{split}.jsonl").read_text().splitlines()[:count]
        write_jsonl(folder / f"{split}.jsonl", [{"text": json.loads(line)["text"][:300]} for line in lines])
    stage = {"name": "soft-targets", "epochs": 1, "learning_rate": 1e-3, "batch_size": 8}
    recipe = {
        "schema": "edgedistill/1",
        "name": "few-stories",
        "task": {"type": "text-generation", "metrics": ["bits_per_byte"]},
        "data": {split: {"path": str(folder / f"{split}.jsonl")} for split in ("train", "validation", "test")}
        | {"max_length": 96},
        "teacher": {"model": str(TEACHER)},
        "rounds": [
            {
                "id": "r1",
                "student": {"init": "keep_layers", "layers": 4},
                "stages": [stage | {"losses": [{"kind": "kl", "temperature": 1.0}]}],
            }
        ],
        "control": False,
        "export": {"targets": ["onnx"], "teacher": False},
        "quantize": [{"precision": "fp32"}, {"precision": "int8-dynamic"}],
        "measure": {"min_seconds": 0.1},
        "select": {"limits": {"drop": 0.9}, "prefer": "metric"},
    }
    edgedistill.run(write_recipe(recipe, folder), out=folder / "run")
    return folder / "run"


@pytest.fixture
def bundle(run, tmp_path):
    return shutil.copytree(run / "bundle", tmp_path / "bundle")


def change(bundle, edit):
    file = bundle / CONTINUATIONS
    content = json.loads(file.read_text())
    edit(content["items"][1])
    file.unlink()
    file.write_text(json.dumps(content))
    write_hashes(bundle)


def test_run_model_bundle_and_script_say_the_same(run, bundle):
    said = "".join(edgedistill.generate(run, PROMPT, max_tokens=20))
    assert said.startswith(", there was a ")
    assert "".join(edgedistill.generate(run, PROMPT, model="r1", max_tokens=20)) == said
    assert "".join(edgedistill.generate(run, PROMPT, candidate="r1/onnx/fp32/onnxruntime", max_tokens=20)) == said
    assert "".join(edgedistill.generate(bundle, PROMPT, max_tokens=20)) == said
    assert "".join(edgedistill.generate(bundle, PROMPT, runtime="onnxruntime", max_tokens=20)) == said
    command = [sys.executable, "-P", str(bundle / "examples" / "run.py"), PROMPT, "--max-tokens", "20"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout == said + "\n"


def test_the_bundle_tests_itself_by_its_continuations(bundle):
    found = edgedistill.measure(bundle, options=MeasureOptions(min_seconds=0.05))
    assert (found.golden.passed, found.golden.tokens) == (True, "same")
    assert found.golden.continued == found.golden.continued_of
    assert [prompt.tokens for prompt in found.prompts] == [16, 128, 512]
    assert all(min(speed.p50 for speed in prompt.speeds.values()) > 0 for prompt in found.prompts)
    content = json.loads((bundle / CONTINUATIONS).read_text())
    assert len(content["items"]) == 8
    assert sum(len(item["said"]) - len(item["unsure"]) for item in content["items"]) > 100
    done = subprocess.run([sys.executable, str(bundle / "examples" / "run.py")], capture_output=True, text=True)
    assert done.stdout.startswith("all 8 golden continuations agree: "), done.stderr


def test_a_quantized_file_is_tested_by_its_continuations_too(run, tmp_path):
    quantized = edgedistill.bundle(run, candidate="r1/onnx/int8-dynamic/onnxruntime", out=tmp_path / "bundle")
    content = json.loads((quantized / CONTINUATIONS).read_text())
    total = sum(len(item["said"]) for item in content["items"])
    assert total > 100
    assert content["least"] > total / 2
    found = edgedistill.measure(quantized, options=MeasureOptions(min_seconds=0.05))
    assert (found.golden.continued, found.golden.continued_of) == (total, total)
    for item in content["items"]:  # what a file says that ignores its cache
        item |= {"said": [7] * len(item["said"]), "unsure": list(range(len(item["said"])))}
    (quantized / CONTINUATIONS).unlink()
    (quantized / CONTINUATIONS).write_text(json.dumps(content))
    write_hashes(quantized)
    with pytest.raises(EdgedistillError, match=f"of {total} golden tokens are the most likely in their places here"):
        edgedistill.measure(quantized)


def test_what_goes_on_otherwise_or_is_read_otherwise_is_noticed(bundle):
    change(bundle, lambda item: item["said"].__setitem__(3, 7))
    with pytest.raises(EdgedistillError, match="continues differently: token 3 is [0-9]+, expected 7"):
        edgedistill.measure(bundle)
    change(bundle, lambda item: item.update(prompt=item["prompt"] + "x"))
    with pytest.raises(EdgedistillError, match="has different token ids here"):
        edgedistill.measure(bundle)


def test_a_bundle_without_continuations_is_refused(bundle):
    (bundle / CONTINUATIONS).unlink()
    write_hashes(bundle)
    with pytest.raises(UserError, match=f"sha256.txt does not list {CONTINUATIONS}"):
        edgedistill.measure(bundle)
