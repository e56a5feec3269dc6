"""llama.cpp's own server from the wheel `xllamacpp`, on the loopback network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from urllib.request import Request, urlopen


def llama_server(file: Path, context: int) -> Callable[..., list[int]]:
    """Serve a file, and return a function that posts to it: (path, **fields) -> the tokens of its reply. The server
    ends with the function.

    Args:
        context: in tokens; 0: as long as the model was trained for.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx, parameters.n_parallel, parameters.port = context, 1, 0
    parameters.warmup, parameters.verbosity, parameters.cpuparams.n_threads = False, 0, 1
    server = xllamacpp.Server(parameters)

    def tokens(path: str, **asked: object) -> list[int]:
        content, kind = json.dumps(asked).encode(), {"Content-Type": "application/json"}
        with urlopen(Request(f"{server.listening_address}/{path}", content, kind)) as reply:
            found: list[int] = json.load(reply)["tokens"]
        return found

    return tokens
