"""A model's files with a runtime, for a task: opened in a child process to run them or count their instructions."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from edgedistill.arrays import Arrays, Integers
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.contracts.driver import Port
from edgedistill.contracts.items import Items
from edgedistill.device.files import Files, to_json
from edgedistill.device.sampling import Sampling
from edgedistill.measuring.child import Child

_WARM_UP = 3
COUNTED_INPUTS = 32


@dataclass(frozen=True)
class Loaded:
    """A child process's report on an opened model; without times and memory if emulated."""

    load_ms: float | None
    peak_rss_mb: float | None
    empty_mb: float | None
    version: str
    """Version of the runtime."""
    backend: Mapping[str, object]
    """The backend, as reported by the runtime."""
    ports: Mapping[str, tuple[Mapping[str, Port], Mapping[str, Port]]]
    """Inputs and outputs by component."""
    longest: int | None = None
    """Context length in tokens, if the runtime reports it."""


@dataclass(frozen=True)
class Cost:
    """Instructions per inference with one thread, the mean over `inputs` real inputs."""

    instructions_per_inference: float
    inputs: int
    runtime_version: str
    backend: Mapping[str, object]
    """The backend, as reported by the runtime."""


@dataclass(frozen=True)
class DeviceModel:
    """Files that a runtime runs for a task."""

    files: Files
    runtime: str
    task: str
    timeout_seconds: float = 1800.0
    """Time limit for one answer of the process; emulation is slow."""
    cpu: str | None = None
    """The emulated processor."""

    def process(self, log: Path) -> Child:
        """A process that can open them.

        Raises:
            UserError: the runtime is not installed.
        """
        driver = registry.task(self.task).device
        return Child.of_runtime(self.runtime, log, driver=driver, cpu=self.cpu, timeout_seconds=self.timeout_seconds)

    def load(self, child: Child, threads: int, warm_up: int) -> Loaded:
        """Open them in the process.

        Raises:
            EdgedistillError: they cannot be run, or not with the intended backend or processor.
        """
        found = child.ask(
            "load",
            files=to_json(self.files),
            runtime=registry.reference("runtimes", self.runtime),
            driver=registry.task(self.task).device,
            threads=threads,
            warm_up=warm_up,
        )
        backend, ports = found["backend"], found["ports"]
        assert isinstance(backend, dict)
        assert isinstance(ports, dict)
        told = {name: (_ports(component["inputs"]), _ports(component["outputs"])) for name, component in ports.items()}
        return Loaded(
            load_ms=_number(found["load_ms"]),
            peak_rss_mb=_number(found["peak_rss_mb"]),
            empty_mb=_number(found["empty_mb"]),
            version=str(found["version"]),
            backend=backend,
            ports=told,
            longest=None if found["longest"] is None else int(str(found["longest"])),
        )

    @contextmanager
    def opened(self, scratch: Path) -> Iterator[Opened]:
        """Opened in a process with one thread, until the context ends.

        Raises:
            EdgedistillError: as for `process` and `load`.
        """
        with self.process(scratch / "answers.log") as child:
            yield Opened(child, scratch, self.load(child, 1, 0))


@dataclass
class Opened:
    """An opened model in a process."""

    child: Child
    scratch: Path
    loaded: Loaded

    def answers(self, items: Items, chosen: Integers | None = None, batch: int = 1) -> Answers:
        """Its answers.

        Args:
            chosen: indices of items; None: all.
            batch: batch size, in the given order, padded to the longest item.

        Raises:
            EdgedistillError: it cannot be run.
        """
        given, output = self.scratch / "asked.safetensors", self.scratch / "answers.safetensors"
        items.save(given)
        numbers = None if chosen is None else [int(number) for number in chosen]
        self.child.ask("answer", file=str(given), output=str(output), chosen=numbers, batch=batch)
        return Answers.open(output)

    def probe(self, items: Items) -> Arrays:
        """Additional outputs for verification (`Driver.probe`).

        Raises:
            EdgedistillError: it cannot be run.
        """
        from safetensors.numpy import load_file

        given, output = self.scratch / "asked.safetensors", self.scratch / "probed.safetensors"
        items.save(given)
        self.child.ask("probe", file=str(given), output=str(output))
        found: Arrays = load_file(output)
        return found

    def tokens_of(self, texts: Sequence[str]) -> list[list[int]] | None:
        """Tokens of each text from the tokenizer in its files, or None.

        Raises:
            EdgedistillError: it cannot tokenize them.
        """
        given = self.scratch / "texts.json"
        given.write_text(json.dumps(list(texts)), encoding="utf-8")
        found = self.child.ask("read", file=str(given))["tokens"]
        assert found is None or isinstance(found, list)
        return found

    def say(self, prompt: Sequence[int], limit: int, ends: Collection[int], sampling: Sampling) -> Iterator[int]:
        """Yield the tokens after a prompt, for a task that generates text.

        Raises:
            EdgedistillError: it cannot be run.
        """
        given = asdict(sampling)
        self.child.ask("begin", prompt=list(prompt), limit=limit, ends=sorted(ends), sampling=given)
        while (token := self.child.ask("say")["token"]) is not None:
            yield int(str(token))

    def greedy_with_leads(self, prompt: Sequence[int], limit: int, ends: Collection[int]) -> list[tuple[int, float]]:
        """The tokens of a greedy continuation, each with its logit's distance from the next largest.

        Raises:
            EdgedistillError: it cannot be run.
        """
        found = self.child.ask("lead", prompt=list(prompt), limit=limit, ends=sorted(ends))["tokens"]
        assert isinstance(found, list)
        return [(int(token), float(lead)) for token, lead in found]

    def likeliest_tokens(self, prompt: Sequence[int], tokens: Sequence[int]) -> list[int]:
        """The most likely token in the place of each of these, which follow the prompt.

        Raises:
            EdgedistillError: it cannot be run.
        """
        found = self.child.ask("follow", prompt=list(prompt), tokens=list(tokens))["tokens"]
        assert isinstance(found, list)
        return found

    def cost(self, items: Items, batch: int, length: int | None) -> Cost:
        """Its instructions on 32 batches of these items, after a few warm-up runs.

        Args:
            length: pad or truncate every input to this many tokens; None: real lengths.

        Raises:
            EdgedistillError: it cannot be run, or instructions cannot be counted.
        """
        given = self.scratch / "counted.safetensors"
        items.save(given)
        self.child.ask("inputs", file=str(given), batch=batch, length=length)
        self.child.ask("time", seconds=0, least=_WARM_UP)
        seen = self.child.ask("count", batches=COUNTED_INPUTS)
        figure, inputs = float(str(seen["instructions_per_inference"])), int(str(seen["inputs"]))
        return Cost(figure, inputs, self.loaded.version, self.loaded.backend)


def _ports(told: Mapping[str, tuple[str, Sequence[int | None] | None]]) -> dict[str, Port]:
    return {name: Port(kind, shape) for name, (kind, shape) in told.items()}


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
