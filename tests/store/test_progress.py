from __future__ import annotations

import io
import json

from edgedistill.store.progress import Progress, ProgressState


def test_events_are_appended_as_json_lines(tmp_path):
    progress = Progress(tmp_path / "events.jsonl", None)
    progress.event("started", step="a")
    progress.event("finished", step="a", seconds=1.5)
    first, second = (json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines())
    assert (first["event"], first["step"]) == ("started", "a")
    assert second["seconds"] == 1.5
    assert second["time"] >= first["time"]


def test_elsewhere_than_on_a_terminal_there_are_plain_lines(monkeypatch):
    stream = io.StringIO()
    progress = Progress(None, stream)
    progress.start("train", 10)
    progress.advance(ProgressState("train", 1, 10, "5 samples/s"))
    assert stream.getvalue() == ""  # not yet 15 seconds
    progress._last_line -= 20
    progress.advance(ProgressState("train", 2, 10, "5 samples/s"))
    progress.stop()
    assert stream.getvalue() == "  train 2/10 5 samples/s\n"


def test_silence_says_nothing():
    progress = Progress(None, None)
    progress.start("x", 1)
    progress.say("x")
    progress.advance(ProgressState("x", 1, 1))
    progress.stop()
