"""llama.cpp on the CPU, for `.gguf` files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Floats, Integers
from edgedistill.contracts.driver import Port, PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.device.decoding import LAYOUT, scored_alone
from edgedistill.errors import EdgedistillError

if TYPE_CHECKING:
    from llama_cpp import Llama

_ROOM = 512
"""Tokens that a context has room for at first, as the library's own."""


class LlamaCppDecoder:
    """One text; the library keeps its cache. A graph has only one cache, so two of its decoders must not be used at the
    same time."""

    def __init__(self, graph: LlamaCppGraph) -> None:
        self._graph = graph
        self._tokens: Integers = np.zeros((0, 0), np.int64)
        graph.model.reset()

    @property
    def tokens(self) -> Integers:
        """(1, P)."""
        return self._tokens

    def advance(self, tokens: Integers, real: Booleans | None = None) -> Floats:
        """(1, T, V).

        Raises:
            EdgedistillError: several texts, padding, or more tokens than the context allows.
        """
        if len(tokens) != 1 or (real is not None and not real.all()):
            raise EdgedistillError("llama.cpp takes one text at a time here, without padding")
        total = self._tokens.shape[1] + tokens.shape[1]
        if total > self._graph.longest:
            raise EdgedistillError(f"a text of {total} tokens exceeds the model's context: {self._graph.longest}")
        before = self._tokens.reshape(1, -1)
        if self._graph.make_room(total) and before.size:
            self._graph.model.eval(before[0].tolist())
        self._graph.model.eval(tokens[0].tolist())
        self._tokens = np.concatenate([before, tokens], axis=1)
        return np.array(self._graph.model.scores[None, total - tokens.shape[1] : total], np.float32)

    def rewind(self, count: int) -> None:
        """Keep only the first tokens."""
        self._tokens = self._tokens[:, :count]
        self._graph.model.n_tokens = self._tokens.shape[1]  # later cache entries are dropped before continuing


class LlamaCppGraph:
    """A file opened by llama.cpp, run on whole texts; the cache, in the library's fp16, belongs to its decoder.

    The library reserves the cache, and the scores of all tokens, for as many tokens as its context has room for. The
    room is therefore what the texts need, and not what the model was trained for: 131,072 tokens of Llama 3.2 1B would
    take 71 GB, of which a prompt of 100 tokens uses none.
    """

    def __init__(self, file: Path, threads: int) -> None:
        import llama_cpp

        self._library = llama_cpp
        self._file, self._threads, self._room = str(file), threads, _ROOM
        self.model = self._opened()
        trained_for: str = self.model.metadata[f"{self.model.metadata['general.architecture']}.context_length"]
        self.longest = int(trained_for)
        rows = (None, None)
        self.inputs: Mapping[str, Port] = {LAYOUT.tokens: Port("int64", rows), LAYOUT.mask: Port("int64", rows)}
        self.outputs: Mapping[str, Port] = {LAYOUT.logits: Port("float32", (*rows, self.model.n_vocab()))}

    def make_room(self, tokens: int) -> bool:
        """Open the file again if the context has no room for a text of so many tokens, which loses what is cached, and
        say whether it did. The room doubles, up to the longest text."""
        if tokens <= self._room:
            return False
        while self._room < tokens:
            self._room *= 2
        self._room = min(self._room, self.longest)
        self.model.close()
        self.model = self._opened()
        return True

    def _opened(self) -> Llama:
        return self._library.Llama(
            self._file,
            n_ctx=self._room,
            n_threads=self._threads,
            n_threads_batch=self._threads,
            logits_all=True,
            verbose=False,
        )

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """Logits of whole texts, one by one; 0 on padding."""
        return scored_alone(self.decoder(), feeds)

    def decoder(self) -> LlamaCppDecoder:
        """A decoder with an empty cache."""
        return LlamaCppDecoder(self)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text from the file's own tokenizer."""
        found: list[int] = self.model.tokenize(text.encode(), add_bos=False, special=False)
        return found

    def backend(self) -> dict[str, object]:
        """The instruction sets that the library was built for and uses."""
        return {"system": self._library.llama_print_system_info().decode().strip()}


def open(file: Path, threads: int, names: PortNames) -> LlamaCppGraph:
    """Open `file` with `threads` threads; input names are those of the layout."""
    return LlamaCppGraph(file, threads)


def version() -> str:
    """The installed version of the binding, which corresponds to one revision of llama.cpp."""
    from importlib.metadata import version as installed

    return installed("llama-cpp-python")


RUNTIME = Runtime(
    api=1,
    targets=("gguf",),
    suffixes=(".gguf",),
    packages=Packages(
        imports=("llama_cpp",),
        requirements=("llama-cpp-python>=0.3.36",),
        environment="llama-cpp",
    ),
    open=open,
    version=version,
)
