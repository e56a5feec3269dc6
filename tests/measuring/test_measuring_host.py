"""Results name the machine that measured, whichever machine puts the report together."""

from __future__ import annotations

import shutil

import edgedistill
from edgedistill.system import machine


def test_a_report_made_elsewhere_names_the_machine_that_measured(finished_run, tmp_path, monkeypatch):
    shutil.copytree(finished_run.folder, tmp_path / "run")
    monkeypatch.setattr(machine, "describe", lambda: {"cpu": "another"})
    monkeypatch.setattr(machine, "versions", lambda: {"python": "another"})
    results = edgedistill.run(finished_run.recipe, ["name=other"], out=tmp_path / "run")
    assert results.recipe == "other"
    assert results.hosts == finished_run.results.hosts
    assert results.hosts["h1"].cpu != "another"
    assert results.hosts["h1"].versions["python"] != "another"


def test_another_machine_measures_again(finished_run, tmp_path, monkeypatch):
    shutil.copytree(finished_run.folder, tmp_path / "run")
    monkeypatch.setattr("edgedistill.planning.fingerprints.describe", lambda: {"cpu": "another"})
    planned = edgedistill.plan(finished_run.recipe, out=tmp_path / "run")
    again = {step.name for step in planned.plan.steps} - planned.done
    assert again == {"measure", "choose", "report", "bundle"}
