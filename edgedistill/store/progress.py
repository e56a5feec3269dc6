"""Progress of a run: a bar on a terminal, lines elsewhere, and always an event log."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.system import logs

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_logger = logging.getLogger("edgedistill.progress")

OnEvent = Callable[[str, Mapping[str, object]], None]
"""Callback for every event, with its kind and details."""


class Progress:
    """Writes progress to the logger `edgedistill.progress`, and events to `events.jsonl` and `on_event`."""

    def __init__(self, events: Path | None = None, on_event: OnEvent | None = None) -> None:
        self._events = events
        self._on_event = on_event
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None
        self._last_line = 0.0

    def event(self, kind: str, **facts: object) -> None:
        """Append one event with its time."""
        if self._events is not None:
            line = json.dumps({"time": round(time.time(), 3), "event": kind, **facts}, ensure_ascii=False)
            with self._events.open("ab+") as file:
                if file.tell() and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                    line = f"\n{line}"  # a full disk or a killed process truncated the previous line
                file.write(f"{line}\n".encode(errors="replace"))
        if self._on_event is not None:
            self._on_event(kind, facts)

    def say(self, line: str) -> None:
        """One line, at level INFO; it is shown with its indentation."""
        _logger.info("%s", line.strip(), extra={"line": line}, stacklevel=2)

    def warn(self, sentence: str) -> None:
        """One sentence about the step that is running, at level WARNING."""
        _logger.warning("%s", sentence, extra={"line": f"      warning: {sentence}"}, stacklevel=2)

    def start(self, label: str, total: int) -> None:
        """Start counting to `total`, with a bar where lines are shown on a terminal."""
        self.stop()
        self._last_line = time.monotonic()
        terminal = logs.shown()
        if terminal is None or not terminal.on_terminal or not _logger.isEnabledFor(logging.INFO):
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        terminal.console = Console(file=terminal.stream)
        self._bar = RichProgress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=terminal.console,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(label, total=total, note="")

    def advance(self, state: ProgressState) -> None:
        """Advance; without a terminal, print a line now and then."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=state.done, note=state.note)
        elif time.monotonic() - self._last_line > 15:
            self._last_line = time.monotonic()
            self.say(f"  {state.label} {state.done}/{state.total} {state.note}")

    def stop(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.stop()
            if (terminal := logs.shown()) is not None:
                terminal.console = None
        self._bar = self._task = None


@dataclass(frozen=True)
class ProgressState:
    """State of a count."""

    label: str
    done: int
    total: int
    note: str = ""
