"""What a killed search leaves."""

from __future__ import annotations

from edgedistill.contracts.mix_search import Tried
from edgedistill.evaluation.finished_trials import FinishedTrials
from edgedistill.store.scratch import keep_checkpoints

SEEN = Tried(bytes=100, drop=0.01, divergence=0.2, p50_ms=1.5, fp32_p50_ms=2.0)
PARTS = {"attention.0": "int4", "head": "int8-dynamic"}


def test_a_trial_is_known_to_the_next_process_whatever_the_order_of_its_parts(tmp_path):
    FinishedTrials(tmp_path / "trials").keep(PARTS, SEEN)
    keep_checkpoints(tmp_path)
    found = FinishedTrials(tmp_path / "trials")
    assert found.of(dict(reversed(PARTS.items()))) == SEEN
    assert found.of({**PARTS, "head": "int4"}) is None


def test_a_damaged_file_is_measured_again(tmp_path):
    trials = FinishedTrials(tmp_path)
    trials.keep(PARTS, SEEN)
    (file,) = (file for file in tmp_path.iterdir() if file.suffix == ".json" and file.name != "state.json")
    file.write_bytes(file.read_bytes()[:20])
    assert trials.of(PARTS) is None
