"""Runs one Chromium on a temporary profile, and ends it and removes the profile whatever happens.

Run as a program by the process that uses the browser, which keeps its standard input open. When that closes, because
the process is done or was killed, Chromium and everything it started are killed. Writes Chromium's process id to
standard output, and the last output of a Chromium that ended by itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_LAST_WORDS = 600
_LONGEST = 30
"""Maximum path length for temporary files: Chromium keeps a socket there, limited to 107 characters."""


def main(command: Sequence[str]) -> int:
    """Run Chromium until standard input closes; returns 1 if Chromium ended before."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="edgedistill-chromium-", dir=place if len(place) <= _LONGEST else "/tmp"))
    try:
        return _keep(command, folder)
    finally:
        _remove(folder)


def _keep(command: Sequence[str], folder: Path) -> int:
    places = dict.fromkeys(("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"), str(folder))
    closed = threading.Event()
    log = folder / "chromium.log"
    with log.open("wb") as words:
        process = subprocess.Popen(
            [*command[:1], f"--user-data-dir={folder / 'profile'}", *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            env={**os.environ, **places},
            cwd=folder,
            start_new_session=True,
        )
    try:
        sys.stdout.write(f"{process.pid}\n")
        sys.stdout.flush()
        threading.Thread(target=_wait_for_end, args=(closed,), daemon=True).start()
        while not closed.wait(0.5) and process.poll() is None:
            pass
        if closed.is_set():
            return 0
        sys.stdout.write(" ".join(log.read_text(encoding="utf-8", errors="replace").split())[-_LAST_WORDS:])
        return 1
    finally:
        _kill(process)


def _wait_for_end(closed: threading.Event) -> None:
    sys.stdin.read()
    closed.set()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill it and its children, which share its process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _remove(folder: Path) -> None:
    """Remove the folder, into which a dying process may still write."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
