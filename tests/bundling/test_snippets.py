from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import move_smallest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from edgedistill.bundling.facts import ComponentFacts, PortFacts
from edgedistill.bundling.layout import open_bundle, write_hashes
from edgedistill.bundling.snippets import Snippet, read_wordpiece, write_snippets
from edgedistill.contracts import registry
from edgedistill.contracts.items import Items

TEMPLATES = registry.task("text-classification").snippets


def test_the_example_of_any_task_asks_through_edgedistill(bundle, change_answers):
    """Those who bring no templates of their own."""
    facts = open_bundle(bundle)
    write_snippets(snippet(facts, opened=facts.facts.components["model"].opened), bundle, None)
    write_hashes(bundle)
    done = run([sys.executable, "examples/run.py"], bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all 32 golden inputs agree"
    change_answers(lambda logits: move_smallest(logits[4], -1))
    done = run([sys.executable, "examples/run.py"], bundle)
    assert done.returncode == 1
    assert "golden input 4" in done.stderr


def test_the_python_example_runs_and_agrees(bundle):
    done = run([sys.executable, "examples/run.py"], bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all 32 golden inputs agree"
    item = open_bundle(bundle).golden.texts[0]
    told = run([sys.executable, "examples/run.py", item.text], bundle).stdout.split()
    assert told[0] == item.answers[0]
    assert 1 / 3 <= float(told[1]) <= 1


def test_the_python_example_notices_a_wrong_answer(bundle, change_answers):
    change_answers(lambda logits: move_smallest(logits[4], -1))
    done = run([sys.executable, "examples/run.py"], bundle)
    assert done.returncode == 1
    assert "golden input 4" in done.stderr


def test_the_python_example_opens_nothing_that_is_not_what_it_was(bundle):
    hashes = bundle / "sha256.txt"
    before = hashes.read_text()

    def refused(code: int, sentence: str) -> None:
        done = run([sys.executable, "examples/run.py"], bundle)
        assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
        assert sentence in done.stderr

    labels = bundle / "labels.json"
    names = labels.read_bytes()
    labels.unlink()
    labels.write_bytes(names.replace(b"weather", b"whether"))
    refused(1, "'labels.json' is missing or has changed")
    labels.unlink()
    labels.symlink_to("/etc/hostname")
    refused(2, "sha256.txt names 'labels.json', which is not a file inside the bundle")
    labels.unlink()
    labels.write_bytes(names)
    hashes.unlink()
    for more in ("../labels.json", "/etc/hostname", "a\\b"):
        hashes.write_text(before + "0" * 64 + f"  {more}\n")
        refused(2, "which is not a file inside the bundle")
    hashes.write_text("".join(line for line in before.splitlines(True) if "onnx/" not in line))
    refused(2, "sha256.txt does not list 'onnx/")
    hashes.write_text(before + "more\n")
    refused(2, "sha256.txt has a line that is not")
    hashes.unlink()
    refused(2, "sha256.txt cannot be read")


@pytest.mark.parametrize("tolerance", [1e9, float("nan"), -1.0])
def test_the_python_example_refuses_a_tolerance_that_tests_nothing(change, tolerance):
    done = run([sys.executable, "examples/run.py"], change("golden.json", tolerance=tolerance))
    assert done.returncode == 2, done.stderr
    assert "a tolerance that any answer would pass" in done.stderr


def test_the_python_example_of_another_runtime_goes_through_edgedistill(bundle):
    """The same file as that of a runtime without lines of its own, in two fixed lengths."""
    facts = open_bundle(bundle)
    name = facts.opened["model"].files[None].relative_to(bundle).as_posix()
    write_snippets(snippet(facts, runtime="other", opened=((16, name), (32, name))), bundle, TEMPLATES)
    write_hashes(bundle)
    text = (bundle / "examples" / "run.py").read_text()
    assert 'resolve_name("edgedistill.runtimes.onnxruntime:RUNTIME")' in text
    assert "import onnxruntime\n" not in text
    done = run([sys.executable, "examples/run.py"], bundle)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all 32 golden inputs agree"


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
class TestJavaScript:
    def test_tokens_and_labels_agree(self, bundle):
        done = run(["node", "examples/run.mjs"], bundle)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("all 32 golden inputs agree: tokens")

    def test_it_notices_other_tokens(self, bundle):
        file = bundle / "golden-items.safetensors"
        items = Items.open(file)
        ids = np.array(items.values["input_ids"])
        ids[items.offsets["input_ids"][2] + 1] += 1
        file.unlink()
        replace(items, values={**items.values, "input_ids": ids}).save(file)
        write_hashes(bundle)
        assert "golden input 2" in run(["node", "examples/run.mjs"], bundle).stderr

    @pytest.mark.parametrize(
        "text",
        [
            "Ça va? ÀÉÎÕÜ naïve ß",
            "weather in 東京, please!",
            "tab\there\u00a0and\u200bthere $5.50 + 3 = `x`",
            "play supercalifragilisticexpialidocious " * 20,
            "x" * 150,
            "emoji 🎵 and — dashes…",
        ],
    )
    def test_any_text_has_the_tokenizers_own_ids(self, bundle, text):
        tokenizer = AutoTokenizer.from_pretrained(bundle)
        expected = tokenizer(text, truncation=True, max_length=32).input_ids
        program = 'import { encode } from "./examples/run.mjs"; console.log(JSON.stringify(encode(process.argv[1])))'
        done = run(["node", "--input-type=module", "-e", program, text], bundle)
        assert json.loads(done.stdout)["input_ids"] == expected, done.stderr

    def test_padding_goes_to_the_smallest_file(self, bundle):
        facts = open_bundle(bundle)
        write_snippets(snippet(facts, opened=((4, "a.onnx"), (8, "b.onnx"))), bundle, TEMPLATES)
        program = (
            'import { fit } from "./examples/run.mjs"; '
            "console.log(JSON.stringify(fit({input_ids: [5,6,7,8,9], attention_mask: [1,1,1,1,1]})))"
        )
        done = run(["node", "--input-type=module", "-e", program], bundle)
        assert json.loads(done.stdout) == [
            "b.onnx",
            {"input_ids": [5, 6, 7, 8, 9, 0, 0, 0], "attention_mask": [1, 1, 1, 1, 1, 0, 0, 0]},
        ]

    @pytest.mark.parametrize(("text", "pair"), [(True, True), (False, False)])
    def test_what_it_cannot_spell_out_is_still_a_program(self, bundle, text, pair):
        facts = open_bundle(bundle)
        write_snippets(snippet(facts, text=text, pair=pair), bundle, TEMPLATES)
        assert run(["node", "--check", "examples/run.mjs"], bundle).returncode == 0
        assert run([sys.executable, "-m", "py_compile", "examples/run.py"], bundle).returncode == 0
        assert ("@huggingface/tokenizers" in (bundle / "examples" / "run.mjs").read_text()) is text


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_the_cpp_example_compiles_and_has_the_same_tokens(bundle):
    built = run(["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "examples/run.cpp", "-o", "run"], bundle)
    assert built.returncode == 0, built.stderr
    golden = open_bundle(bundle).golden
    for number, item in enumerate(golden.texts[:8]):
        ids = run(["./run", str(bundle), item.text], bundle).stdout.split()
        assert [int(token) for token in ids] == golden.items.inputs([number])["input_ids"][0].tolist()
    assert "normalise the text with ICU" in run(["./run", str(bundle), "Ça va"], bundle).stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.parametrize(("text", "pair"), [(True, True), (False, False)])
def test_the_cpp_example_of_other_inputs_compiles(bundle, text, pair):
    write_snippets(snippet(open_bundle(bundle), text=text, pair=pair), bundle, TEMPLATES)
    built = run(["g++", "-std=c++17", "-fsyntax-only", "examples/run.cpp"], bundle)
    assert built.returncode == 0, built.stderr


def test_other_tokenizers_are_not_taken_for_wordpiece(tmp_path):
    from tokenizers import models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert read_wordpiece(tmp_path / "tokenizer.json") is None


def test_special_tokens_are_read_from_the_tokenizer(bundle):
    found = read_wordpiece(bundle / "tokenizer.json")
    assert found.around == "[CLS] ... [SEP]"
    assert found.strip_accents  # follows lower case where the tokenizer does not say


def snippet(facts, **values):
    own = facts.facts.components["model"]
    opened = values.pop("opened", ((None, "onnx/model.onnx"),))
    inputs = own.inputs if values.get("text", True) else (PortFacts("pixel_values", "int64", (None, 64)),)
    known = {
        "recipe": "tiny",
        "candidate": "r1/x",
        "runtime": "onnxruntime",
        "runtime_reference": registry.reference("runtimes", "onnxruntime"),
        "driver": registry.task("text-classification").device,
        "components": {"model": ComponentFacts(opened, inputs, own.outputs)},
        "text": True,
        "pair": False,
        "max_length": 32,
    }
    return Snippet(**(known | values))


def run(command, folder):
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
