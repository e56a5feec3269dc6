"""What a report reads of a run's artifacts."""

from __future__ import annotations

import numpy as np
from helpers import stand_in
from safetensors.numpy import save_file

from edgedistill.report import run_files
from edgedistill.report.run_files import RunFiles
from edgedistill.signals.recorded import VALUES


def test_of_much_that_a_teacher_said_some_is_read_evenly_spread(tmp_path, monkeypatch):
    said = np.arange(40, dtype=np.float16).reshape(20, 2)
    for number, part in enumerate((said[:12], said[12:])):
        save_file({VALUES: np.ascontiguousarray(part)}, tmp_path / f"{number}.safetensors")
    names = ("0.safetensors", "1.safetensors")
    recorded = stand_in(path=lambda name: tmp_path / name, record=stand_in(files=names))
    task = stand_in(task=stand_in(type="text-generation"))
    files = RunFiles(task, stand_in(recorded={"teacher": recorded}))
    np.testing.assert_array_equal(files.teacher_logits("teacher"), said)
    monkeypatch.setattr(run_files, "_LOGITS", 8)
    np.testing.assert_array_equal(files.teacher_logits("teacher"), said[[0, 6, 12, 19]])
    assert files.teacher_logits("r1") is None
