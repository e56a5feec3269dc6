from __future__ import annotations

import json
import logging

from edgedistill.store.progress import Progress, ProgressState


def test_events_are_appended_as_json_lines(tmp_path):
    progress = Progress(tmp_path / "events.jsonl")
    progress.event("started", step="a")
    progress.event("finished", step="a", seconds=1.5)
    first, second = (json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines())
    assert (first["event"], first["step"]) == ("started", "a")
    assert second["seconds"] == 1.5
    assert second["time"] >= first["time"]


def test_elsewhere_than_on_a_terminal_there_are_plain_lines(caplog):
    caplog.set_level(logging.INFO, "edgedistill")
    progress = Progress()
    progress.start("train", 10)
    progress.advance(ProgressState("train", 1, 10, "5 samples/s"))
    assert caplog.messages == []  # not yet 15 seconds
    progress._last_line -= 20
    progress.advance(ProgressState("train", 2, 10, "5 samples/s"))
    progress.stop()
    assert caplog.messages == ["train 2/10 5 samples/s"]
