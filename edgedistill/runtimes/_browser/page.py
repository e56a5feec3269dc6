"""A page in Chromium controlled by commands, through a server on 127.0.0.1 that serves it and relays them."""

from __future__ import annotations

import atexit
import queue
import secrets
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from edgedistill.errors import EdgedistillError
from edgedistill.runtimes._browser.chromium import Chromium
from edgedistill.runtimes._browser.messages import Arrays, pack, unpack

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".json": "application/json",
}
_HEADERS = {
    # Together they isolate the page, without which browsers disable shared memory and so threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'self' blob:; script-src 'self' blob: 'wasm-unsafe-eval'",
    "Cache-Control": "no-store",
}
_PAGE = ("index.html", "driver.js")
_POLL_SECONDS = 20.0
_START_SECONDS = 120.0


class Page:
    """One page in a Chromium of its own.

    Args:
        mounts: files and folders by their URL path.

    Raises:
        EdgedistillError: Chromium is missing, or the page does not respond.
    """

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        own = {name: Path(__file__).with_name(name) for name in _PAGE}
        self._server = _Server({**mounts, **own})
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._chromium: Chromium | None = None
        atexit.register(self.close)
        try:
            self._chromium = Chromium(self._server.url)
            self._answer("start", _START_SECONDS)
        except BaseException:
            self.close()
            raise
        self._empty = self._chromium.page_memory_mb("VmRSS")

    @property
    def downloads(self) -> Mapping[str, int]:
        """Bytes of each file that the page fetched, by path, without the page itself."""
        return {path: size for path, size in self._server.sent.items() if path not in _PAGE}

    def ask(self, command: str, arrays: Arrays | None = None, **arguments: object) -> tuple[dict[str, object], Arrays]:
        """The page's answer to one command.

        Raises:
            EdgedistillError: the command failed in the page, or the page is gone.
        """
        self._server.commands.put(pack({"command": command, **arguments}, arrays or {}))
        return self._answer(command, None)

    def memory_mb(self) -> tuple[float, float] | None:
        """Peak memory of the page's process beyond the empty page's, and that of the empty page; None except on
        Linux."""
        assert self._chromium is not None
        peaks = self._chromium.page_memory_mb("VmHWM")
        grown = [(peak - self._empty[pid], self._empty[pid]) for pid, peak in peaks.items() if pid in self._empty]
        return max(grown, default=None)

    def close(self) -> None:
        """End Chromium and the server; idempotent."""
        atexit.unregister(self.close)
        if self._chromium is not None:
            self._chromium.close()
            self._chromium = None
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, command: str, seconds: float | None) -> tuple[dict[str, object], Arrays]:
        waited = 0.0
        while True:
            try:
                reply = self._server.replies.get(timeout=1)
                break
            except queue.Empty:
                waited += 1
            words = self._chromium.last_words() if self._chromium is not None else None
            if words is not None:
                raise EdgedistillError(f"Chromium ended during '{command}': {words}")
            if seconds is not None and waited >= seconds:
                raise EdgedistillError(f"the page in Chromium did not answer '{command}' in {seconds:g} seconds")
        if reply is None:
            raise EdgedistillError(f"the page in Chromium crashed during '{command}', perhaps for lack of memory")
        header, arrays = unpack(reply)
        if "error" in header:
            raise EdgedistillError(f"in the page, '{command}' failed: {header['error']}")
        facts = header["ok"]
        assert isinstance(facts, dict)
        return facts, arrays


class _Server(ThreadingHTTPServer):
    """Serves files, and relays commands and replies (None: the page is gone).

    A secret path prefix keeps other users of this machine out.
    """

    daemon_threads = True

    def __init__(self, mounts: Mapping[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mounts = mounts
        self.sent: dict[str, int] = {}
        self.commands: queue.Queue[bytes] = queue.Queue()
        self.replies: queue.Queue[bytes | None] = queue.Queue()
        self.root = f"/{secrets.token_hex(16)}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that goes away leaves requests behind; anything else is a fault of the handler."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.root}index.html"

    def file(self, path: str) -> Path | None:
        """The mounted file at `path`, None when there is none."""
        if ".." in path.split("/"):
            return None
        for mount, place in self.mounts.items():
            if path == mount or path.startswith(mount + "/"):
                found = place / path[len(mount) + 1 :] if path != mount else place
                return found if found.is_file() else None
        return None


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = self._path()
        if path == "alive":
            self._until_gone()
            return
        file = self.server.file(path) if path is not None else None
        if path is None or file is None:
            self._send(404, b"")
            return
        content = file.read_bytes()
        self._send(200, content, _TYPES.get(file.suffix, "application/octet-stream"))
        self.server.sent[path] = len(content)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self._path() != "next":
            self._send(404, b"")
            return
        if body:
            self.server.replies.put(body)
        try:
            command = self.server.commands.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            self._send(204, b"")  # the page asks again; a request that is never answered would be given up some time
            return
        self._send(200, command)

    def _until_gone(self) -> None:
        """Wait until the page's end closes the connection."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.recv(1)
        self.server.replies.put(None)

    def _path(self) -> str | None:
        path = unquote(urlsplit(self.path).path)
        return path[len(self.server.root) :] if path.startswith(self.server.root) else None

    def _send(self, status: int, content: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is logged."""
