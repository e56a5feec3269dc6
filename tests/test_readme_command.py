"""The README's main command, as a new user runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import onnxruntime
import pytest
from transformers import AutoTokenizer


@pytest.mark.slow
def test_the_quickstart_runs_to_a_chosen_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "edgedistill.cli.app", "run", "quickstart"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "runs" / "quickstart"
    results = json.loads((run / "results.json").read_text())
    assert len(results["candidates"]) == 9
    assert next(figure["value"] for figure in results["teacher"]["figures"] if figure["split"] == "test") > 0.85
    assert all(round_["gain"]["value"] > 0 for round_ in results["rounds"])
    assert f"ship: {results['chosen']}" in done.stdout
    chosen = next(row for row in results["candidates"] if row["id"] == results["chosen"])
    assert chosen["within_limits"]
    file = run / chosen["file"]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(file.parent.parent)
    inputs = tokenizer(["will it rain tomorrow in london"], return_tensors="np")
    logits = session.run(None, {port.name: inputs[port.name] for port in session.get_inputs()})[0]
    labels = json.loads((file.parent.parent / "config.json").read_text())["id2label"]
    assert labels[str(int(logits.argmax()))] == "weather"
    assert "<svg" in (run / "report.html").read_text()
