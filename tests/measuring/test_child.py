from __future__ import annotations

import io
import json
import subprocess
import sys
import time

import psutil
import pytest
from helpers import stand_in

from edgedistill.errors import RefusedError, UserError
from edgedistill.measuring import worker
from edgedistill.measuring.child import Child, MeasuringError


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux's")
def test_a_child_dies_with_its_parent_however_busy(tmp_path):
    code = (
        "import sys; from pathlib import Path; from edgedistill.measuring.child import Child\n"
        "child = Child(Path(sys.argv[1]))\n"
        'child._process.stdin.write(\'{"command": "inputs", "file": "gone", "batch": 1, "length": null}\\n\')\n'
        "child._process.stdin.flush(); child._process.stdout.readline()\n"
        "print(child._process.pid, flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "log")]
    parent = subprocess.Popen(words, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = psutil.Process(int(parent.stdout.readline()))
    child.suspend()  # it reads no command, and sees no end of its input
    parent.kill()
    parent.wait()
    child.wait(timeout=20)


def test_a_signal_waits_for_no_child(tmp_path):
    begun = time.monotonic()
    child = Child(tmp_path / "log")
    psutil.Process(child._process.pid).suspend()
    child.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert time.monotonic() - begun < 8
    assert child._process.returncode == -9


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (UserError("a prompt has no tokens"), UserError, "a prompt has no tokens"),
        (RefusedError("no such operator"), RefusedError, "no such operator"),
        (ValueError("odd"), MeasuringError, "'say' failed: ValueError: odd"),
    ],
)
def test_an_error_in_the_child_is_the_same_error_here(tmp_path, raised, kind, words, monkeypatch):
    def fail(self):
        raise raised

    answers = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(worker.Worker, "say", fail)
        patch.setattr(worker.own_process, "die_with_parent", lambda: None)
        patch.setattr(worker, "os", stand_in(fdopen=lambda *_, **__: answers, dup=lambda *_: 1, dup2=lambda *_: None))
        patch.setattr(worker, "sys", stand_in(stdin=[json.dumps({"command": "say"})]))
        worker.main()
    with Child(tmp_path / "log") as child:
        monkeypatch.setattr(child._process, "stdout", io.StringIO(answers.getvalue()))
        with pytest.raises(kind) as found:
            child.ask("say")
        assert str(found.value) == words
        assert type(found.value) is kind
        assert "in fail" in found.value.__notes__[0]
