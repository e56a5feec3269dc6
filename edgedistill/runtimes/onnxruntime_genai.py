"""ONNX Runtime GenAI on the CPU, for folders with a `genai_config.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from edgedistill.arrays import Array, Arrays, Booleans, Floats, Integers
from edgedistill.contracts.driver import Port, PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.runtime import Runtime
from edgedistill.device.decoding import LAYOUT, scored_alone
from edgedistill.errors import EdgedistillError


class _Generator(Protocol):
    """The used part of the library, which has no type annotations."""

    def append_tokens(self, tokens: Integers) -> None: ...

    def get_output(self, name: str) -> Floats: ...

    def rewind_to(self, count: int) -> None: ...


class _Tokenizer(Protocol):
    def encode(self, text: str) -> Integers: ...


class GenAIDecoder:
    """One text; the library keeps its cache."""

    def __init__(self, graph: GenAIGraph) -> None:
        self._graph = graph
        self._generator: _Generator | None = None
        self._tokens: Integers = np.zeros((0, 0), np.int64)

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
            raise EdgedistillError("ONNX Runtime GenAI takes one text at a time here, without padding")
        total = self._tokens.shape[1] + tokens.shape[1]
        if total > self._graph.longest:
            raise EdgedistillError(f"a text of {total} tokens exceeds the model's context: {self._graph.longest}")
        if self._generator is None:
            self._generator = self._graph.generator()
        self._generator.append_tokens(tokens.astype(np.int32))
        self._tokens = np.concatenate([self._tokens.reshape(1, -1), tokens], axis=1)
        return np.array(self._generator.get_output(LAYOUT.logits), np.float32)

    def rewind(self, count: int) -> None:
        """Keep only the first tokens."""
        if count == 0:
            self._generator = None
        elif self._generator is not None and count < self._tokens.shape[1]:
            self._generator.rewind_to(count)
        self._tokens = self._tokens[:, :count]


class GenAIGraph:
    """A folder opened by ONNX Runtime GenAI, run on whole texts; the cache belongs to its decoder."""

    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime_genai

        self._library = onnxruntime_genai
        config = onnxruntime_genai.Config(str(folder))
        options = {"intra_op_num_threads": threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = onnxruntime_genai.Model(config)
        described = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))
        self.longest = int(described["model"]["context_length"])
        rows = (None, None)
        self.inputs: Mapping[str, Port] = {LAYOUT.tokens: Port("int64", rows), LAYOUT.mask: Port("int64", rows)}
        self.outputs: Mapping[str, Port] = {
            LAYOUT.logits: Port("float32", (*rows, int(described["model"]["vocab_size"])))
        }

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """Logits of whole texts, one by one; 0 on padding."""
        return scored_alone(self.decoder(), feeds)

    def decoder(self) -> GenAIDecoder:
        """A decoder with an empty cache."""
        return GenAIDecoder(self)

    def generator(self) -> _Generator:
        """The library's generator for one text."""
        parameters = self._library.GeneratorParams(self._model)
        parameters.set_search_options(max_length=self.longest, batch_size=1)
        made: _Generator = self._library.Generator(self._model, parameters)
        return made

    def encode(self, text: str) -> list[int]:
        """Tokens of a text from the folder's own tokenizer."""
        found: list[int] = self._tokenizer.encode(text).tolist()
        return found

    @cached_property
    def _tokenizer(self) -> _Tokenizer:
        made: _Tokenizer = self._library.Tokenizer(self._model)
        return made

    def backend(self) -> dict[str, object]:
        """The device it runs on.

        Raises:
            EdgedistillError: it does not run on the CPU.
        """
        device = str(self._model.device_type)
        if device.upper() != "CPU":
            raise EdgedistillError(f"ONNX Runtime GenAI runs the folder on {device}, expected CPU")
        return {"device": device}


def open(file: Path, threads: int, names: PortNames) -> GenAIGraph:
    """Open a folder with `threads` threads; its format has names."""
    return GenAIGraph(file, threads)


def version() -> str:
    """The installed version."""
    from importlib.metadata import version as installed

    return installed("onnxruntime-genai")


RUNTIME = Runtime(
    api=1,
    targets=("onnxruntime-genai",),
    suffixes=("",),
    packages=Packages(
        imports=("onnxruntime_genai",),
        requirements=("onnxruntime>=1.32", "onnxruntime-genai>=0.18"),
        environment="onnxruntime-genai",
    ),
    open=open,
    version=version,
)
