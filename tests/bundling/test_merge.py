from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.bundling import merge
from edgedistill.contracts import registry
from edgedistill.errors import UserError
from edgedistill.evaluation.results import load_results

PHONE = {"cpu": "Kryo", "system": "Linux 6.1 aarch64"}


@pytest.fixture(scope="module")
def measured(finished_run, tmp_path_factory):
    """Results of two candidates, as this machine gives them."""
    folder = tmp_path_factory.mktemp("measured")
    for name in ("r1/onnx/fp32/onnxruntime", "r2/onnx/int8-dynamic/onnxruntime"):
        place = edgedistill.bundle(finished_run.folder, name, out=folder / name.split("/")[0])
        edgedistill.measure(place, options=MeasureOptions(min_seconds=0.1), out=folder / f"{name.split('/')[0]}.json")
    return folder


def phone(measured, tmp_path, name, p50, **values):
    """The same results as if another machine had given them."""
    content = json.loads((measured / f"{name}.json").read_text())
    content["host"] = PHONE
    if content["latency_ms"]:
        content["latency_ms"] |= {"p50": p50, "p90": p50, "p95": 2 * p50, "p99": 2 * p50}
    file = tmp_path / f"phone-{name}.json"
    file.write_text(json.dumps(content | values))
    return file


def test_each_machine_has_its_own_rows_and_front(finished_run, measured, tmp_path):
    files = [phone(measured, tmp_path, "r1", 1e-6), phone(measured, tmp_path, "r2", 99.0)]
    before = edgedistill.compare_devices(finished_run.folder, [measured / "r1.json"])[0]
    own, other = edgedistill.compare_devices(finished_run.folder, files)
    assert [row.id for row in own.rows] == [row.id for row in finished_run.results.measured]
    assert {row.id for row in own.rows if row.on_pareto_front} == {
        row.id for row in finished_run.results.measured if row.on_pareto_front
    }
    assert other.machine == "Kryo, Linux 6.1 aarch64"
    assert [(row.id, row.measured_by) for row in other.rows] == [
        ("r1/onnx/fp32/onnxruntime", "phone-r1.json"),
        ("r2/onnx/int8-dynamic/onnxruntime", "phone-r2.json"),
    ]
    fast, small = other.rows
    assert fast.on_pareto_front  # nothing there is faster, however slow or fast it is elsewhere
    assert fast.test == finished_run.results.candidate(fast.id).test
    assert small.on_pareto_front  # the smaller file
    assert len(before.rows) == len(own.rows) + 1  # measured on the run's own machine: beside its rows


def test_a_candidate_that_another_beats_there_leaves_that_front(finished_run, measured, tmp_path):
    run_wide = {row.id: row for row in finished_run.results.measured}
    a, b = (run_wide[name] for name in ("r1/onnx/fp32/onnxruntime", "r2/onnx/int8-dynamic/onnxruntime"))
    assert b.file_bytes < a.file_bytes
    files = [phone(measured, tmp_path, "r1", 9.0), phone(measured, tmp_path, "r2", 1.0)]
    _, other = edgedistill.compare_devices(finished_run.folder, files)
    assert other.rows[0].on_pareto_front is (a.validation.value > b.validation.value)
    assert other.rows[1].on_pareto_front


def changed(finished_run, tmp_path, name, **facts):
    """A copy of the run's results, with other facts about one candidate."""
    content = json.loads((finished_run.folder / "results.json").read_text())
    row = next(row for row in content["candidates"] if row["id"] == name)
    row |= facts
    folder = tmp_path / "changed"
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps(content))
    shutil.copy(finished_run.folder / "recipe.yaml", folder)
    return folder


READ = {"by": "tokenizer.json", "texts": 9, "otherwise": 2, "bytes_otherwise": 0, "in_data": 2, "shown": ["'pay'"]}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"agreement_with_student": 0.5}, "agreement 0.5000 is below 0.8"),
        ({"batch": 16, "agreement_batched": 0.25}, "agreement 0.2500 is below 0.8"),
        ({"texts_read": READ}, "tokenizer.json gives different tokens .*: 2 of 9 strings, such as 'pay'"),
    ],
)
def test_what_verification_rules_out_is_on_no_front(finished_run, tmp_path, facts, expected):
    best = min(finished_run.results.measured, key=lambda row: row.file_bytes)
    [own] = edgedistill.compare_devices(changed(finished_run, tmp_path, best.id, **facts), [])
    row = next(row for row in own.rows if row.id == best.id)
    assert re.fullmatch(expected, row.golden.split(";")[0])
    assert not row.on_pareto_front
    assert {row.golden for row in own.rows if row.id != best.id} == {"verified"}


def test_speeds_with_prompts_replace_latency_on_the_front(finished_run, tmp_path):
    """All else equal, the slower of two is off the front, although its latency is the best."""
    first, second = (row.id for row in finished_run.results.measured[:2])
    content = json.loads((finished_run.folder / "results.json").read_text())
    task = registry.task("text-generation")
    assert task.prompts is not None
    for row in content["candidates"]:
        rate = {first: 50.0, second: 90.0}.get(row["id"], 10.0)
        spread = row["latency_ms"] | {"p50_ci": None, "p95_ci": None}
        speeds = [
            {"name": speed.name, "words": speed.words, "unit": speed.unit, "direction": speed.direction}
            | spread
            | {"p50": rate if speed.name == "tokens_per_s" else 5.0}
            for speed in task.prompts.speeds
        ]
        row["prompts"] = [{"tokens": 16, "phases_ms": {}, "speeds": speeds}]
        row |= {"file_bytes": 1000, "peak_rss_mb": 1.0, "figures": content["candidates"][0]["figures"]}
        row["latency_ms"]["p50"] = 1e-6 if row["id"] == first else 1e-5
    file = tmp_path / "results.json"
    file.write_text(json.dumps(content | {"prompt_tokens": 16}))
    results = load_results(file)
    judge = task.judge(registry.task_as("text-generation", "bits_per_byte", {}))
    fronts = []
    for speeds_used in (task.prompts.speeds, ()):
        [own] = merge.merge(tmp_path, results, judge, speeds_used, 0.0, [])
        fronts.append([row.id for row in own.rows if row.on_pareto_front])
    assert fronts == [[second], [first]]


def test_a_wrong_answer_is_on_no_front(finished_run, measured, tmp_path):
    content = json.loads((measured / "r1.json").read_text())
    golden = content["golden"] | {"passed": False, "wrong": ["golden input 3 ('x') differs by 2"]}
    file = phone(measured, tmp_path, "r1", 1.0, golden=golden, latency_ms=None)
    _, other = edgedistill.compare_devices(finished_run.folder, [file])
    assert not other.rows[0].on_pareto_front
    assert other.rows[0].test is None
    assert other.rows[0].golden == "golden input 3 ('x') differs by 2"


def test_what_another_runtime_measured_is_a_row_of_that_name(finished_run, measured, tmp_path):
    file = phone(measured, tmp_path, "r1", 1.0, runtime="browser")
    _, other = edgedistill.compare_devices(finished_run.folder, [file])
    assert other.rows[0].id == "r1/onnx/fp32/browser"


def test_results_of_another_run_are_refused(finished_run, measured, tmp_path):
    foreign = phone(measured, tmp_path, "r1", 1.0, candidate="r7/onnx/fp32/onnxruntime")
    with pytest.raises(
        UserError, match=r"phone-r1.json: measures 'r7/.*', which .* does not have; expected one of r1/"
    ):
        edgedistill.compare_devices(finished_run.folder, [foreign])
    changed = phone(measured, tmp_path, "r1", 1.0, device_files={"onnx/model.onnx": "0" * 64})
    with pytest.raises(UserError, match=r"measured a different onnx/model.onnx from the one in .*run"):
        edgedistill.compare_devices(finished_run.folder, [changed])
    with pytest.raises(UserError, match="schema is 'edgedistill/results/2', expected 'edgedistill/measurement/2'"):
        edgedistill.compare_devices(finished_run.folder, [finished_run.folder / "results.json"])


def test_the_command_shows_a_table_a_machine_and_json(finished_run, measured, tmp_path):
    file = phone(measured, tmp_path, "r1", 1.5)
    shown = cli("compare", str(finished_run.folder), str(file))
    assert shown.returncode == 0, shown.stderr
    assert "Kryo, Linux 6.1 aarch64" in shown.stdout
    assert "phone-r1.json" in shown.stdout
    facts = json.loads(cli("compare", str(finished_run.folder), str(file), "--json").stdout)
    assert [row["machine"] for row in facts][1:] == ["Kryo, Linux 6.1 aarch64"]
    assert facts[1]["rows"][0]["latency_ms"]["p50"] == 1.5


def test_the_bundle_command_prints_where_it_is(finished_run, tmp_path):
    done = cli(
        "bundle", str(finished_run.folder), "--candidate", "r1/onnx/fp32/onnxruntime", "--out", str(tmp_path / "b")
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "b")
    assert (tmp_path / "b" / "sha256.txt").is_file()


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", *arguments], capture_output=True, text=True, check=False
    )


def edited(measured, tmp_path, path, value):
    """The results of `r1` with one value changed; `DROP` takes it away."""
    content = json.loads((measured / "r1.json").read_text())
    *above, last = path
    target = content
    for key in above:
        target = target[key]
    if value == "DROP":
        del target[last]
    else:
        target[last] = value
    file = tmp_path / "edited.json"
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("golden", "tolerance"), 1e6, r"its test allowed a difference of 1e\+06, a bundle of .* allows at most 0.001"),
        (("golden", "tolerance"), float("nan"), "NaN is not a JSON number"),
        (("golden", "max_abs_diff"), 5.0, "passed with max_abs_diff 5.0, tolerance 0.001"),
        (("golden", "max_abs_diff"), None, "passed with max_abs_diff None"),
        (("golden", "passed"), False, "passed is False with 0 wrong inputs of 32"),
        (("golden", "wrong"), ["golden input 1 is off"], "passed is True with 1 wrong inputs of 32"),
        (("golden", "items"), 0, "golden.items: Input should be greater than or equal to 1"),
        (("latency_ms", "p50"), -1.0, "latency_ms does not consist of ascending percentiles"),
        (("latency_ms", "p50"), 1e9, "latency_ms does not consist of ascending percentiles"),
        (("latency_ms", "p50"), "fast", "latency_ms.p50: Input should be a valid number"),
        (("latency_ms", "p51"), 1.0, "latency_ms does not consist of ascending percentiles"),
        (("emulated_cpu",), "cortex-a76", "latency_ms for a file that answered wrongly or was emulated"),
        (("load_ms",), -1.0, "load_ms: Input should be greater than or equal to 0"),
        (("threads",), "2", "threads: Input should be a valid integer"),
        (("file_bytes",), 1, "gives the files' size as 1 bytes"),
        (("surprise",), 1, "surprise: Extra inputs are not permitted"),
        (("date",), "DROP", "date: Field required"),
        (("device_files",), [], "device_files: Input should be"),
        (("host",), "fast", "host: Input should be"),
    ],
)
def test_results_that_cannot_be_are_refused(finished_run, measured, tmp_path, path, value, expected):
    file = edited(measured, tmp_path, path, value)
    with pytest.raises(UserError, match=expected) as refused:
        edgedistill.compare_devices(finished_run.folder, [file])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"schema": NaN}', '{"schema": 1, "schema": 2}', "\xff"]
)
def test_what_is_no_results_file_is_a_sentence(finished_run, tmp_path, text):
    file = tmp_path / "odd.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"odd.json: (cannot be read|contains a list|schema is)") as refused:
        edgedistill.compare_devices(finished_run.folder, [file])
    assert "\n" not in str(refused.value)
    done = cli("compare", str(finished_run.folder), str(file))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_measurement_of_schema_1_is_read(finished_run, measured, tmp_path):
    content = json.loads((measured / "r1.json").read_text())
    former = {"model": "round", "host": "machine"}
    old = {former.get(name, name): value for name, value in content.items()}
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old | {"schema": "edgedistill/measurement/1"}))
    new = edgedistill.compare_devices(finished_run.folder, [measured / "r1.json"])[-1].rows[-1]
    assert edgedistill.compare_devices(finished_run.folder, [file])[-1].rows[-1] == replace(new, measured_by="old.json")
