from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from edgedistill.measuring.child import Child


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
