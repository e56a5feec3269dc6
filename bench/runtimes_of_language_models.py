"""Does a language model give the same output in every runtime, and do all runtimes tokenize texts identically?

    python -m bench.runtimes_of_language_models [--run RUN] [--model r1] [--strings 10000]

RUN is a finished run with fp32 files of the targets onnx, onnxruntime-genai and gguf; without one the shipped recipe
`stories` makes it, with one short round. Greedy continuations of 64 tokens, or up to the text's end, are compared with
torch's token by token, up to the first that differs. Strings are pieces of the recipe's texts, random ones of all of
Unicode, and each of the first 256 characters alone; token ids are those of `transformers`, without the tokens around a
text, which some runtimes leave to the caller. The browser runs transformers.js on the model's bundle, in Chromium.
llama.cpp is run by llama-cpp-python, and where only the wheel `xllamacpp` is installed, by the server in that. ONNX
Runtime GenAI takes texts as C does: what stands behind a NUL, and that itself, is not seen by its tokenizer. Where a
vocabulary has no token for a byte (SmolLM2's lacks 21, among them those that planes 4 to 11 of Unicode begin
with), it answers -1, and all others leave the byte out; strings without such bytes are counted once more.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import edgedistill
from bench.llama_server import llama_server
from bench.record import Goal, record
from edgedistill.contracts import registry
from edgedistill.contracts.driver import PortNames
from edgedistill.device.files import Component
from edgedistill.device.generation import GREEDY, generate
from edgedistill.errors import EdgedistillError
from edgedistill.isolation import environments
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.models.loading import load_model, load_tokenizer
from edgedistill.models.tokenizer_files import ends_of
from edgedistill.recipe.reading import shipped
from edgedistill.vocabulary.token_bytes import token_bytes

GOAL = (
    "Same student in onnxruntime, onnxruntime-genai, llama.cpp, browser: ≥ 99% of greedy tokens equal over 64 in fp32, "
    "token ids equal on all strings."
)
TASK, TOKENS, PROMPTS = "text-generation", 64, 32
TARGETS = {"onnxruntime": "onnx", "onnxruntime-genai": "onnxruntime-genai", "llama-cpp": "gguf", "browser": "onnx"}
SHORT = (
    "export.targets=[onnx,onnxruntime-genai,gguf]", "quantize=[{precision: fp32}]", "control=false",
    "measure.min_seconds=0.1", "export.teacher=false",
    "rounds=[{id: r1, student: {init: keep_layers, layers: 4}, stages: [{name: soft-targets,"
    " epochs: 1, learning_rate: 1.0e-3, batch_size: 8, losses: [{kind: kl, temperature: 1.0}]}]}]",
)  # fmt: skip

Encode = Callable[[Sequence[str]], list[list[int]]]
Say = Callable[[Sequence[int]], list[int]]


@dataclass(frozen=True)
class Asked:
    """One runtime, open."""

    version: str
    encode: Encode
    say: Say


@dataclass(frozen=True)
class Material:
    """The student, and the inputs for every runtime."""

    run: Path
    model: str
    strings: Sequence[str]
    prompts: Sequence[Sequence[int]]
    ends: frozenset[int]

    @property
    def folder(self) -> Path:
        """With weights and tokenizer."""
        return self.run / "models" / self.model

    @property
    def spelled(self) -> list[bool]:
        """Of each string, whether the vocabulary has a token for each of its bytes."""
        tokenizer = json.loads((self.folder / "tokenizer.json").read_text(encoding="utf-8"))
        known = {content[0] for content in token_bytes(tokenizer).values() if len(content) == 1}
        return [set(string.encode()) <= known for string in self.strings]

    def file(self, runtime: str) -> Path:
        """The student in fp32 for a runtime."""
        made = registry.target(TARGETS[runtime]).precisions["fp32"].file
        return self.folder / TARGETS[runtime] / made

    @property
    def bundled(self) -> str:
        """Id of the candidate whose bundle a page opens."""
        return f"{self.model}/onnx/fp32/onnxruntime"


def material(run: Path, model: str, count: int) -> Material:
    """Strings and prompts, always the same."""
    folder = run / "models" / model
    tokenizer, drawn = load_tokenizer(folder), random.Random(0)
    prompt = registry.task(TASK).data.prompt
    assert prompt is not None
    file = shipped()["stories"].parent / "stories" / "test.jsonl"
    texts = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
    alone = [chr(number) for number in range(256)]
    strings = [*alone, *(_piece(texts, drawn) if drawn.random() < 0.5 else _wild(drawn) for _ in range(count))]
    prompts = [prompt(tokenizer, " ".join(text.split()[: 2 + n % 6])) for n, text in enumerate(texts[:PROMPTS])]
    return Material(run, model, strings, prompts, ends_of(tokenizer, folder))


def _piece(texts: Sequence[str], drawn: random.Random) -> str:
    text = drawn.choice(texts)
    start = drawn.randrange(len(text))
    return text[start : start + drawn.randint(1, 120)]


def _wild(drawn: random.Random) -> str:
    """Of letters, spaces, marks and any other characters but the halves of surrogate pairs."""
    kinds = ((32, 127), (9, 14), (160, 768), (768, 880), (0x4E00, 0x9FFF), (0x1F300, 0x1FAFF), (0xE000, 0x10FFFF))
    return "".join(chr(drawn.randint(*drawn.choice(kinds))) for _ in range(drawn.randint(1, 40)))


def of_torch(given: Material) -> tuple[list[list[int]], list[list[int]]]:
    """Greedy tokens after each prompt, and ids of each string."""
    task, tokenizer = registry.task(TASK), load_tokenizer(given.folder)
    model = load_model(task.model.auto_class(), given.folder, None)
    assert task.model.decoder is not None
    decoder = task.model.decoder(model)
    said = [list(generate(decoder, prompt, TOKENS, given.ends)) for prompt in given.prompts]
    return said, tokenizer(list(given.strings), add_special_tokens=False)["input_ids"]


@contextmanager
def opened(runtime: str, given: Material) -> Iterator[Asked]:
    """A runtime's own tokenizer, and what says the tokens that follow.

    Raises:
        EdgedistillError: it isn't installed.
    """
    if runtime == "browser":
        with _in_browser(given) as asked:
            yield asked
        return
    packages = registry.runtime(runtime).packages
    file = given.file(runtime)
    if runtime == "llama-cpp" and environments.missing_here(packages) and find_spec("xllamacpp") is not None:
        yield _served(file, given)
        return
    environments.interpreter(packages)
    with tempfile.TemporaryDirectory() as scratch:
        device = DeviceModel({"model": Component({None: file}, PortNames())}, runtime, TASK)
        with device.opened(Path(scratch)) as model:
            yield Asked(
                model.loaded.version,
                ENCODERS[runtime](file, given.folder),
                lambda prompt: list(model.say(prompt, TOKENS, given.ends, GREEDY)),
            )


def _plain(file: Path, folder: Path) -> Encode:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda texts: [encoding.ids for encoding in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _genai(file: Path, folder: Path) -> Encode:
    import onnxruntime_genai

    tokenizer = onnxruntime_genai.Tokenizer(onnxruntime_genai.Model(str(file)))
    return lambda texts: [[int(token) for token in tokenizer.encode(text)] for text in texts]


def _llama(file: Path, folder: Path) -> Encode:
    import llama_cpp

    vocabulary = llama_cpp.Llama(str(file), vocab_only=True, verbose=False)
    return lambda texts: [vocabulary.tokenize(text.encode(), add_bos=False, special=True) for text in texts]


def _served(file: Path, given: Material) -> Asked:
    tokens = llama_server(file, 0)

    def say(prompt: Sequence[int]) -> list[int]:
        settings = {"n_predict": TOKENS, "temperature": 0, "top_k": 1, "return_tokens": True, "cache_prompt": False}
        return [token for token in tokens("completion", prompt=list(prompt), **settings) if token not in given.ends]

    return Asked(
        f"xllamacpp {version('xllamacpp')}",
        lambda texts: [tokens("tokenize", content=text, add_special=False, parse_special=True) for text in texts],
        say,
    )


ENCODERS = {"onnxruntime": _plain, "onnxruntime-genai": _genai, "llama-cpp": _llama}


@contextmanager
def _in_browser(given: Material) -> Iterator[Asked]:
    from edgedistill.runtimes import browser
    from edgedistill.runtimes._browser.speaking import speaking

    node_modules = browser.node_modules()
    with tempfile.TemporaryDirectory() as place:
        bundle = edgedistill.bundle(given.run, given.bundled, out=Path(place) / "bundle")
        with speaking(bundle, node_modules) as page:
            yield Asked(
                f"transformers.js {page.version}",
                lambda texts: page.tokens(texts, special=False),
                lambda prompt: [token for token in page.follow(prompt, TOKENS)[0] if token not in given.ends],
            )


def compared(runtime: str, given: Material, said: Sequence[list[int]], ids: Sequence[list[int]]) -> dict[str, object]:
    """The row of one runtime."""
    row: dict[str, object] = {"runtime": runtime, "version": None, "model": given.model, "precision": "fp32"}
    row |= {"greedy_tokens": sum(map(len, said)), "greedy_equal": None, "strings": len(ids), "strings_equal": None}
    row |= {"spelled_strings": sum(given.spelled), "spelled_equal": None}
    try:
        with opened(runtime, given) as asked:
            own = [asked.say(prompt) for prompt in given.prompts]
            read = asked.encode(given.strings)
            row["version"] = asked.version
    except EdgedistillError as error:
        return row | {"first_other": None, "note": f"not measured: {error}"}
    equal = [expected == found for expected, found in zip(ids, read, strict=True)]
    row["greedy_equal"] = sum(map(repeated, said, own)) / sum(map(len, said))
    row["strings_equal"] = float(np.mean(equal))
    row["spelled_equal"] = float(np.mean(np.array(equal)[given.spelled]))
    other = next((given.strings[place] for place, same in enumerate(equal) if not same), None)
    return row | {"first_other": None if other is None else repr(other)[:60], "note": None}


def repeated(expected: Sequence[int], found: Sequence[int]) -> int:
    """Tokens before the first that differs."""
    pairs = zip(expected, found, strict=False)
    return next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(expected), len(found)))


def goal(rows: Sequence[dict[str, object]]) -> Goal:
    """The issue's, by the rows: met where every runtime was measured and agrees."""
    words = [
        f"{row['runtime']} {float(str(row['greedy_equal'])):.2%} of {row['greedy_tokens']} tokens, "
        f"{float(str(row['strings_equal'])):.2%} of {row['strings']} strings, "
        f"{float(str(row['spelled_equal'])):.2%} of the {row['spelled_strings']} whose bytes all have tokens"
        f"{'' if row['first_other'] is None else ' (the first other: ' + str(row['first_other']) + ')'}"
        if row["note"] is None
        else f"{row['runtime']} {row['note']}"
        for row in rows
    ]
    met = all(
        row["note"] is None and float(str(row["greedy_equal"])) >= 0.99 and row["strings_equal"] == 1 for row in rows
    )
    return Goal(GOAL, "; ".join(words), met)


def main(words: Sequence[str] | None = None) -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(prog="python -m bench.runtimes_of_language_models", description=__doc__)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--model", default="r1")
    parser.add_argument("--strings", type=int, default=10_000)
    chosen = parser.parse_args(words)
    run = chosen.run
    if run is None:
        run = Path("runs") / "runtimes-of-language-models"
        edgedistill.run("stories", SHORT, out=run)
    given = material(run, chosen.model, chosen.strings)
    said, ids = of_torch(given)
    rows = [compared(runtime, given, said, ids) for runtime in TARGETS]
    record("runtimes_of_language_models", rows, [goal(rows)])


if __name__ == "__main__":
    main()
