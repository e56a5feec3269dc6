from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from helpers import change_plugin, write_jsonl

from edgedistill import __version__


def cli(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


def test_version_and_help():
    assert cli("--version").stdout.strip() == f"edgedistill {__version__}"
    shown = cli("--help").stdout
    for command in ("run", "plan", "suggest", "show", "recipes", "bundle", "measure", "compare", "doctor", "schema"):
        assert command in shown


def test_help_waits_for_nothing_heavy():
    code = (
        "import sys; sys.argv = ['edgedistill', '--help']\n"
        "from edgedistill.cli.app import app\n"
        "try:\n    app()\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'numpy', 'pydantic', 'yaml', 'onnxruntime'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_recipes_are_listed_and_shown_resolved():
    listed = json.loads(cli("recipes", "--json").stdout)
    assert {"quickstart", "clinc150-minilm", "sst2-bert"} <= set(listed)
    told = cli("recipes").stdout
    assert "A demonstration that runs offline anywhere" in told
    assert "yaml-language-server" not in told
    shown = cli("show", "quickstart", "--set", "seed=5")
    assert "seed: 5" in shown.stdout
    assert "min_agreement" in shown.stdout
    assert json.loads(cli("show", "quickstart", "--json").stdout)["name"] == "quickstart"


def test_the_schema_is_printed_for_editors_and_for_people():
    assert json.loads(cli("schema").stdout)["properties"]["rounds"]["description"] == "Each round trains one student."
    assert cli("schema", "--markdown").stdout.startswith("## Recipe\n")


def test_a_plan_prints_steps_sizes_and_what_is_done(finished_run):
    shown = cli("plan", finished_run.recipe, "--out", str(finished_run.folder)).stdout
    assert f"0 of {len(finished_run.steps())} steps to do" in shown
    assert "to do   " not in shown
    facts = json.loads(cli("plan", finished_run.recipe, "--out", str(finished_run.folder), "--json").stdout)
    assert all(step["done"] for step in facts["steps"])
    assert facts["models"][1]["parameters"] > 0


def test_run_prints_the_tables_and_says_what_to_ship(finished_run):
    done = cli("run", finished_run.recipe, "--out", str(finished_run.folder))
    assert done.returncode == 0, done.stderr
    assert "gain over control" in done.stdout
    results = finished_run.results
    test = results.candidate(results.chosen).test
    shown = " ".join(done.stdout.split())
    assert f"ship: {results.chosen}: accuracy {test.value:.4f} [{test.low:.4f}, {test.high:.4f}] on test (" in shown
    assert "on validation, where 4 candidates were compared)" in shown
    assert "candidates that were compared on validation meet the limits" in shown[shown.index("why: ") :]
    content = json.loads(cli("run", finished_run.recipe, "--out", str(finished_run.folder), "--json").stdout)
    assert content["chosen"] == finished_run.results.chosen


def test_nothing_within_the_limits_is_exit_code_3_with_results(finished_run, tmp_path):
    import shutil

    shutil.copytree(finished_run.folder, tmp_path / "copy")
    limit = "select.limits.p95_ms=0.000001"
    done = cli("run", finished_run.recipe, "--out", str(tmp_path / "copy"), "--set", limit)
    assert done.returncode == 3
    assert "nothing to ship: No candidate meets the limits. Closest:" in done.stdout
    assert json.loads((tmp_path / "copy" / "results.json").read_text())["chosen"] is None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "nothere"], "recipe 'nothere': expected a file, or one of the shipped recipes"),
        (["show", "quickstart", "--set", "teacher.fine_tune.epoch=3"], "did you mean 'epochs'?"),
        (
            ["plan", "quickstart", "--set", "data.train.path=gone.jsonl"],
            "expected an existing file or folder",
        ),
        (["compare", "nowhere", "nowhere"], "expected a finished run's folder"),
        (["measure", "no.onnx", "--data", "no.jsonl"], "measure: 'no.onnx' is not a file"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_exit_code_2(arguments, expected, tmp_path):
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_data_is_exit_code_2_without_a_traceback(recipe_file, tmp_path):
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"text": "hello", "label": "a"}, {"text": 3, "label": "b"}])
    done = cli("run", recipe_file, "--out", str(tmp_path / "run"), "--set", f"data.train.path={bad}")
    assert done.returncode == 2
    assert "bad.jsonl: row 2: 'text' is int 3, expected text" in done.stderr
    assert "Traceback" not in done.stderr


def test_measure_prints_figures(finished_run, data_folder):
    file = finished_run.folder / "models" / "r1" / "onnx" / "model_quantized.onnx"
    done = cli("measure", str(file), "--data", str(data_folder / "test.jsonl"), "--min-seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert "p95" in done.stdout
    assert "accuracy" in done.stdout


def test_compare_prints_a_row_a_run(finished_run):
    done = cli("compare", str(finished_run.folder), str(finished_run.folder))
    assert done.returncode == 0, done.stderr
    assert "+0.0000 [+0.0000, +0.0000] p 1" in done.stdout


def test_doctor_names_versions_targets_and_runtimes():
    found = json.loads(cli("doctor", "--json").stdout)
    assert found["targets"]["onnx"]["installed"]
    assert found["runtimes"]["onnxruntime"]["installed"]
    assert found["versions"]["torch"]
    assert "onnxruntime" in cli("doctor").stdout


def test_doctor_gives_the_install_line_of_what_is_missing(monkeypatch):
    from edgedistill.cli import doctor
    from edgedistill.contracts.packages import Packages

    absent = Packages(("a_runtime_that_is_not_there",), environment="absent")
    change_plugin(monkeypatch, "runtimes", "onnxruntime", packages=absent)
    found: dict[str, Any] = doctor.diagnose()
    assert found["runtimes"]["onnxruntime"] == {
        "installed": False,
        "missing": ["a_runtime_that_is_not_there"],
        "install": "pip install 'edgedistill[absent]', or: edgedistill doctor --install absent",
    }
