"""Who hears what edgedistill tells: an application that has configured logging, or else a person on stderr."""

from __future__ import annotations

import logging
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from edgedistill.store.progress import Progress, ProgressState
from edgedistill.system import logs

TELLS = """
import logging
from edgedistill.store.progress import Progress

progress = Progress()
progress.say("[1/2] teacher: trained")
progress.warn("the teacher is bad")
logging.getLogger("edgedistill.measuring.lone_file").warning("%d threads on %d cores", 2, 1)
"""
WORK = "from edgedistill.system import logs; logs.show_unless_configured()" + TELLS
SHOWN = """\
[1/2] teacher: trained
      warning: the teacher is bad
warning: 2 threads on 1 cores
"""


def said(before: str, work: str = WORK) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", before + work], capture_output=True, text=True, check=True)


def test_where_nobody_configured_logging_a_person_reads_it_on_stderr():
    done = said("")
    assert (done.stdout, done.stderr) == ("", SHOWN)


def test_the_command_line_shows_it_whatever_else_is_configured():
    """A library that configures logging by the way must not move a command's lines."""
    command = f"from edgedistill.cli import app, entry; app.app = lambda: exec({TELLS!r}); entry.main()"
    done = said("import logging; logging.basicConfig(level=logging.CRITICAL)\n", command)
    assert (done.stdout, done.stderr) == ("", SHOWN)


def test_an_application_routes_it_as_it_does_any_logger():
    done = said(
        "import logging, sys; logging.basicConfig(stream=sys.stdout, format='%(levelname)s %(name)s %(message)s')\n"
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "WARNING edgedistill.progress the teacher is bad",
        "WARNING edgedistill.measuring.lone_file 2 threads on 1 cores",
    ]


def test_a_level_of_its_own_silences_it():
    done = said("import logging; logging.getLogger('edgedistill').setLevel(logging.ERROR)\n")
    assert (done.stdout, done.stderr) == ("", "")


def test_messages_are_plain_and_name_the_line_that_said_them(caplog):
    caplog.set_level(logging.INFO, "edgedistill")
    Progress().say("      r1: done in 2.0 s")
    (record,) = caplog.records
    assert (record.name, record.levelname, record.getMessage()) == ("edgedistill.progress", "INFO", "r1: done in 2.0 s")
    assert record.filename == "test_logs.py"


@pytest.fixture
def terminal(monkeypatch):
    """What is shown on a terminal of 80 columns; a call closes and reads it."""
    own, theirs = pty.openpty()
    stream = os.fdopen(theirs, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(logs.LOGGER, "handlers", [])
    monkeypatch.setattr(logs.LOGGER, "propagate", True)
    level = logs.LOGGER.level
    logs.show()

    def everything() -> str:
        stream.close()
        shown = b""
        with suppress(OSError):  # how a terminal ends
            while piece := os.read(own, 4096):
                shown += piece
        return shown.decode()

    yield everything
    logs.LOGGER.setLevel(level)
    os.close(own)


def test_on_a_terminal_there_is_a_bar_and_lines_stand_above_it(terminal):
    progress = Progress()
    progress.start("r1 epoch 1/2", 10)
    progress.advance(ProgressState("r1 epoch 1/2", 5, 10, "7 samples/s"))
    progress.say("      a line [with brackets]")
    progress.stop()
    progress.say("      the last line")
    shown = terminal()
    assert "r1 epoch 1/2" in shown
    assert "5/10" in shown
    assert "      a line [with brackets]" in shown
    assert shown.endswith("      the last line\r\n")


def test_silenced_there_is_no_bar(terminal):
    progress = Progress()
    logs.LOGGER.setLevel(logging.ERROR)
    progress.start("r1 epoch 1/2", 10)
    progress.stop()
    logs.LOGGER.setLevel(logging.INFO)
    progress.say("only this")
    assert terminal() == "only this\r\n"
