"""Headless Chromium: its path, flags, and the memory of its page."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from edgedistill.contracts.packages import Program
from edgedistill.device import own_process
from edgedistill.errors import EdgedistillError
from edgedistill.system.process import environment

PROGRAM = Program(
    name="Chromium",
    commands=("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    install="on Debian with: apt-get install chromium",
)
FLAGS = (
    "--headless",
    # The sandbox needs user namespaces, which containers and root lack. The page and its scripts are this package's
    # own and pinned ones, and no host but this one can be reached.
    "--no-sandbox",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--no-proxy-server",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-gpu",
    # /dev/shm is 64 MB in a container.
    "--disable-dev-shm-usage",
    "--disable-breakpad",
    "--no-first-run",
    "--no-default-browser-check",
    # A page that is never painted counts as hidden, and timers of hidden pages are throttled.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
)


def version() -> str:
    """`Chromium 156.0.8078.79`.

    Raises:
        EdgedistillError: it is missing.
    """
    command = [PROGRAM.path(), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    return " ".join(done.stdout.split()[:2])


class Chromium:
    """A running Chromium that shows `url`. It ends on `close`, or when this process ends for any reason."""

    def __init__(self, url: str) -> None:
        guard = Path(__file__).with_name("guard.py")
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(guard), PROGRAM.path(), *FLAGS, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(timed=True),
            start_new_session=True,  # Ctrl-C ends this process; the guard then ends the browser
        )
        assert self._guard.stdout is not None
        first = self._guard.stdout.readline().strip()
        if not first:
            raise EdgedistillError(f"Chromium could not be started: its guard ended with {self._guard.wait()}")
        self.pid = int(first)

    def last_words(self) -> str | None:
        """Its last output if it ended by itself; None while it runs."""
        if self._guard.poll() is None:
            return None
        assert self._guard.stdout is not None
        return self._guard.stdout.read().strip() or "no output"

    def page_memory_mb(self, field: str) -> dict[int, float]:
        """A figure from `/proc/PID/status` (VmRSS, VmHWM), in 10^6 bytes, for each process that shows a page; empty
        except on Linux."""
        found: dict[int, float] = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may end in the meantime
                session = process.joinpath("stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[3]
                if int(session) != self.pid or b"--type=renderer" not in process.joinpath("cmdline").read_bytes():
                    continue
                figure = own_process.status_mb(field, process.name)
                if figure is not None:
                    found[int(process.name)] = figure
        return found

    def close(self) -> None:
        """End it and remove its profile."""
        assert self._guard.stdin is not None
        assert self._guard.stdout is not None
        with suppress(BrokenPipeError):
            self._guard.stdin.close()
        try:
            self._guard.wait(timeout=8)
        except subprocess.TimeoutExpired:
            self._guard.terminate()
            self._guard.wait()
        self._guard.stdout.close()
