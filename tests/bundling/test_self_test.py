from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from helpers import move_smallest
from tokenizers import Tokenizer

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.bundling import self_test
from edgedistill.bundling.continuations import Continuation, Continuations
from edgedistill.bundling.golden import first_wrong, largest_tolerance, spread_by_length, tolerance
from edgedistill.bundling.layout import open_bundle, sha256
from edgedistill.bundling.measurement import load_measurement
from edgedistill.bundling.self_test import judge
from edgedistill.contracts.answers import Answers
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation import environments
from edgedistill.measuring.device_model import Cost, DeviceModel, Opened
from edgedistill.tasks._classification_judge import JUDGE

QUICK = MeasureOptions(min_seconds=0.1)
ROWS = np.array([[1.0, -0.5], [-1.0, 0.5], [0.2, 0.1]])


def test_a_bundle_is_tested_and_measured(bundle, tmp_path):
    found = edgedistill.measure(bundle, options=QUICK, out=tmp_path / "phone.json")
    assert load_measurement(tmp_path / "phone.json") == found
    assert found.golden.passed
    assert found.golden.items == 32
    assert found.golden.max_abs_diff < 1e-5
    assert found.golden.tokens == "same"
    assert found.latency_ms.runs >= 299
    assert found.host.cpu
    assert found.backend == {"providers": ["CPUExecutionProvider"]}
    content = json.loads((tmp_path / "phone.json").read_text())
    assert content["schema"] == "edgedistill/measurement/2"


def test_it_needs_neither_torch_nor_transformers(bundle, tmp_path):
    """In this process and in the measuring one, which inherits the way to the blocker."""
    (tmp_path / "block").mkdir()
    for name in ("torch", "transformers", "datasets", "onnx"):
        (tmp_path / "block" / f"{name}.py").write_text(f"raise ImportError('{name} is not here')")
    done = subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", "measure", str(bundle), "--min-seconds", "0.1"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        env={"PYTHONPATH": str(tmp_path / "block"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "all 32 golden inputs agree" in done.stdout
    assert load_measurement(tmp_path / "bundle-results.json").golden.passed


def test_a_changed_byte_is_one_sentence_and_exit_code_1(bundle, tmp_path):
    file = next((bundle / "onnx").iterdir())
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    done = cli("measure", str(bundle), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        f"error: {bundle}: onnx/{file.name} has changed: its sha256 is not the one in sha256.txt"
    )
    assert not (tmp_path / "bundle-results.json").exists()


def test_a_wrong_output_names_its_input_and_is_exit_code_1(bundle, change_answers, tmp_path):
    golden = json.loads((bundle / "golden.json").read_text())
    items = golden["items"]
    off = 1.5 * golden["tolerance"]
    change_answers(lambda logits: move_smallest(logits[5], off))
    done = cli("measure", str(bundle), "--out", "wrong.json", cwd=tmp_path)
    assert done.returncode == 1
    assert f"golden input 5 ({items[5]['text']!r:.30}" in done.stderr
    assert f"allowed {golden['tolerance']:.4g}" in done.stderr
    assert float(done.stderr.split("differs by ")[1].split(",")[0]) == pytest.approx(off, rel=0.01)
    assert "Traceback" not in done.stderr
    found = load_measurement(tmp_path / "wrong.json")
    assert not found.golden.passed
    assert found.latency_ms is None


def test_other_token_ids_are_a_wrong_input(bundle, change):
    items = json.loads((bundle / "golden.json").read_text())["items"]
    items[3]["given"] = ["another text"]
    change("golden.json", items=items)
    with pytest.raises(EdgedistillError, match=r"golden input 3 \(.*\) has different token ids here"):
        edgedistill.measure(bundle, options=QUICK)


def test_a_file_that_does_not_open_is_one_sentence(bundle, change, tmp_path):
    file = next((bundle / "onnx").iterdir())
    file.unlink()
    file.write_bytes(b"no model")
    facts = json.loads((bundle / "bundle.json").read_text())
    measured = facts["measured"] | {"file_bytes": 8}
    change("bundle.json", device_files={f"onnx/{file.name}": sha256(file)}, measured=measured)
    done = cli("measure", str(bundle), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: 'load' failed: ")
    assert "Traceback" not in done.stderr


def test_what_is_no_bundle_is_said(tmp_path, finished_run, change):
    with pytest.raises(UserError, match="is not a bundle, and a model file needs a data file"):
        edgedistill.measure(tmp_path)
    with pytest.raises(UserError, match="unknown runtimes 'onyx'"):
        edgedistill.measure(finished_run.folder / "bundle", options=MeasureOptions(runtime="onyx"))
    other = change("bundle.json", schema="edgedistill/bundle/9")
    with pytest.raises(UserError, match="schema is 'edgedistill/bundle/9', expected 'edgedistill/bundle/2'"):
        edgedistill.measure(other)


def test_a_runtime_that_opens_other_files_is_refused(bundle, change):
    precision = json.loads((bundle / "bundle.json").read_text())["precision"]
    named = {"model": "r2", "target": "tflight", "candidate": f"r2/tflight/{precision}/onnxruntime"}
    other = change("bundle.json", **named)
    with pytest.raises(UserError, match="onnxruntime cannot open files of target tflight"):
        edgedistill.measure(other)


def test_it_is_timed_with_the_threads_and_batch_of_the_candidate_or_those_asked_for(change):
    bundle = change("bundle.json", batch=4)
    assert edgedistill.measure(bundle, options=QUICK).batch == 4
    assert edgedistill.measure(bundle, options=MeasureOptions(min_seconds=0.1, batch=2, threads=2)).batch == 2


def test_golden_inputs_span_the_lengths():
    lengths = np.random.default_rng(0).integers(3, 60, 1000)
    lengths[17], lengths[400] = 1, 99
    chosen = spread_by_length(lengths, 32)
    assert len(chosen) == 32
    assert {17, 400} <= set(chosen)
    assert abs(np.median(lengths[chosen]) - np.median(lengths)) <= 2
    assert spread_by_length(lengths[:5], 32) == [0, 1, 2, 3, 4]


def test_the_tolerance_follows_what_the_file_was_off_by():
    exact, reason = tolerance(2e-7, "fp32", ROWS)
    assert exact == 1e-3
    assert "2.0e-07" in reason
    rounded, reason = tolerance(0.21, "int8-dynamic", ROWS)
    assert rounded == 0.21
    assert "whole validation set" in reason
    # Where rounding is as large as what the answers differ by, the test would pass any answer.
    assert tolerance(5.0, "int8-dynamic", ROWS)[0] == largest_tolerance(ROWS) / 2 == 0.5
    assert "any answer would pass" in tolerance(1.0, "int8-dynamic", ROWS)[1]
    assert tolerance(5.0, "int8-dynamic", ROWS[:1])[0] == 1e-3


def test_what_is_wrong_with_an_answer():
    def wrong(given):
        found, expected = (Answers({"logits": logits}, np.arange(1), np.arange(1)) for logits in (given, right))
        return first_wrong(JUDGE, found, expected, 1e-3)

    right = np.array([[1.0, 2.0]])
    assert wrong(right + 0.0009) == (None, pytest.approx(0.0009))
    assert wrong(right + 0.01) == ("differs by 0.01, allowed 0.001", pytest.approx(0.01))
    assert wrong(right * np.nan) == ("has NaN or infinite outputs", None)
    assert wrong(right[:, :1]) == ("has (1, 1) outputs, expected (1, 2)", None)


def cli(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_options_of_emulation_are_for_emulated_runtimes(bundle):
    with pytest.raises(UserError, match="but onnxruntime is not emulated"):
        edgedistill.measure(bundle, options=MeasureOptions(emulated_cpu="cortex-a53"))


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ({"emulated_items": 3}, "--emulated-items"),
        ({"tokenizer": "."}, "--tokenizer"),
        ({"task": "text-classification"}, "--task"),
        ({"metric": "f1_macro"}, "--metric"),
        ({"columns": {"text": "words"}}, "--column"),
        ({"max_length": 8}, "--max-length"),
    ],
)
def test_what_a_bundle_has_of_its_own_cannot_be_given(bundle, option, flag):
    with pytest.raises(UserError, match=f"measure: {flag} do not apply to a bundle"):
        edgedistill.measure(bundle, options=MeasureOptions(**option))


def test_under_an_emulated_runtime_it_is_counted_and_never_timed(bundle, tmp_path, monkeypatch):
    """The measuring process is this machine's here; what is asked of it and what is made of it is all that differs."""
    monkeypatch.setattr(self_test, "emulated", lambda runtime: True)
    monkeypatch.setattr("edgedistill.measuring.emulated.emulated", lambda runtime: True)
    monkeypatch.setattr(Opened, "cost", lambda *_: Cost(1234.5, 32, "1.2", {}))
    monkeypatch.setattr(self_test, "DeviceModel", lambda *given, cpu: DeviceModel(*given))
    monkeypatch.setattr(self_test, "time_one", lambda *_, **__: pytest.fail("timed"))
    found = edgedistill.measure(bundle, options=MeasureOptions(emulated_cpu="cortex-a53"), out=tmp_path / "arm.json")
    assert load_measurement(tmp_path / "arm.json") == found
    assert found.golden.passed
    assert (found.instructions_per_inference, found.counted_inputs) == (1234.5, 32)
    assert found.latency_ms is found.load_ms is found.peak_rss_mb is None
    assert found.place == "cortex-a53, emulated"
    with pytest.raises(UserError, match="counts the instructions of one thread, got 2; give --threads 1"):
        edgedistill.measure(bundle, options=MeasureOptions(threads=2))


def test_under_the_emulated_arm_build(bundle, tmp_path):
    if not environments.installed("onnxruntime-arm64"):
        pytest.skip("needs edgedistill doctor --install onnxruntime-arm64")
    done = cli("measure", str(bundle), "--runtime", "onnxruntime-arm64", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "all 32 golden inputs agree" in done.stdout
    assert "not timed: the runtime is emulated" in done.stdout


@pytest.fixture
def continuing(bundle):
    """The bundle as if its model generated text: two continuations of ten tokens, three of them unsure."""
    opened = open_bundle(bundle)
    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    items = [
        Continuation(number, prompt, True, tuple(tokenizer.encode(prompt).ids), tuple(range(10)), unsure, "")
        for number, prompt, unsure in ((2, "one", (3, 4)), (5, "two", (9,)))
    ]
    return replace(opened, continuations=Continuations((), None, (), 64, None, 18, tuple(items)))


@pytest.mark.parametrize(
    ("changed", "agreed", "wrong"),
    [
        ({}, 20, []),
        ({(0, 3): 7, (1, 9): 7}, 18, []),
        ({(0, 5): 7}, 19, ["golden input 2 .* continues differently: token 5 is 7, expected 5"]),
        ({(0, 3): 7, (0, 4): 7, (1, 9): 7}, 17, ["only 17 of 20 golden tokens .* here, expected at least 18"]),
    ],
)
def test_golden_tokens_agree_where_they_are_certain_and_on_the_whole(continuing, changed, agreed, wrong):
    here = [list(range(10)), list(range(10))]
    for (item, place), token in changed.items():
        here[item][place] = token
    found = judge(continuing.golden.answers, continuing, here)
    assert (found.continued, found.continued_of, found.tokens) == (agreed, 20, "same")
    assert found.passed is not bool(wrong)
    assert len(found.wrong) == len(wrong)
    for told, words in zip(found.wrong, wrong, strict=True):
        assert re.search(words, told)


def test_a_bundle_without_any_continuation_says_that_tokens_were_not_checked(continuing):
    empty = replace(continuing, continuations=replace(continuing.continuations, least=0, items=()))
    found = judge(continuing.golden.answers, empty)
    assert found.passed
    assert found.tokens == "not checked: there are no golden continuations"
    assert (found.continued, found.continued_of) == (None, None)
