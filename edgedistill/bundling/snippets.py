"""Example scripts with the pre- and post-processing of one specific model, in Python, JavaScript and C++."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgedistill.bundling.continuations import Continuations
from edgedistill.bundling.facts import ComponentFacts
from edgedistill.device.files import ComponentJson
from edgedistill.exporting.jobs import TOLERANCE
from edgedistill.exporting.onnx_saving import weights_name
from edgedistill.store.artifacts import write_text

_OWN_TEMPLATES = "edgedistill.bundling"
EXAMPLES = ("run.py", "run.mjs", "run.cpp")
_ONNX_SUFFIXES = (".onnx", ".ort")
_CLIENT_DTYPES = {"model_fp16.onnx": "fp16", "model_quantized.onnx": "q8", "model_int8.onnx": "int8"}
"""transformers.js's dtype for each file that it loads from `onnx/`; others it loads by name."""
_PROBE = "a"
_SHOWN = (
    *("recipe", "candidate", "runtime", "runtime_reference", "text", "pair", "max_length"),
    *("opened", "inputs", "output", "lengths", "given", "native"),
)
"""Variables for the classifier templates."""


@dataclass(frozen=True)
class WordPiece:
    """Facts about a BERT tokenizer for the scripts."""

    vocabulary: Sequence[str]
    """In the order of the ids."""
    unknown: str
    continuing: str
    longest_word: int
    clean: bool
    chinese: bool
    lowercase: bool
    strip_accents: bool
    prefix: Sequence[int]
    suffix: Sequence[int]
    around: str


@dataclass(frozen=True)
class Snippet:
    """Variables for the templates."""

    recipe: str
    candidate: str
    runtime: str
    runtime_reference: str
    """`package.module:RUNTIME`."""
    driver: str
    """Module of the task's device half."""
    components: Mapping[str, ComponentFacts]
    text: bool
    pair: bool
    max_length: int

    @property
    def opened(self) -> Sequence[tuple[int | None, str]]:
        """The files of the first component by input length."""
        return next(iter(self.components.values())).opened

    @property
    def inputs(self) -> list[str]:
        """Of the first component, in its order."""
        return [port.name for port in next(iter(self.components.values())).inputs]

    @property
    def output(self) -> str:
        """The first one of the first component."""
        return next(iter(self.components.values())).outputs[0].name

    @property
    def files(self) -> dict[str, ComponentJson]:
        """All components, in the form of `device.files`."""
        return {
            name: ComponentJson(
                files=component.opened,
                inputs=[port.name for port in component.inputs],
                outputs=[port.name for port in component.outputs],
            )
            for name, component in self.components.items()
        }

    @property
    def lengths(self) -> list[int]:
        """The lengths of the files; none if one file takes all lengths."""
        return [length for length, _ in self.opened if length is not None]

    @property
    def given(self) -> str:
        """Description of the input."""
        return ("two texts" if self.pair else "a text") if self.text else "pixels"

    @property
    def native(self) -> bool:
        """Whether the Python script calls the runtime directly, without edgedistill."""
        return self.runtime == "onnxruntime"

    @property
    def onnx_format(self) -> bool:
        """Whether any ONNX Runtime opens the file."""
        return Path(self.opened[0][1]).suffix in _ONNX_SUFFIXES


def write_snippets(snippet: Snippet, folder: Path, templates: str | None) -> None:
    """Write `examples/run.py`, `run.mjs` and `run.cpp` into a bundle that has its tokenizer, and `vocab.txt` if they
    implement the tokenizer.

    Args:
        templates: package of the task's own templates; None: only a `run.py` that uses edgedistill.
    """
    from edgedistill.system.templates import text_templates

    environment = text_templates(templates or _OWN_TEMPLATES)
    if templates is None:
        facts = {name: getattr(snippet, name) for name in (*Snippet.__dataclass_fields__, "files", "opened")}
        text = environment.get_template("any_task.py.jinja").render(s=facts | {"least_tolerance": TOLERANCE})
        write_text(folder / "examples" / "run.py", text)
        return
    wordpiece = None if snippet.pair or not snippet.text else read_wordpiece(folder / "tokenizer.json")
    if wordpiece is not None:
        write_text(folder / "vocab.txt", "".join(f"{token}\n" for token in wordpiece.vocabulary))
    facts = {name: getattr(snippet, name) for name in _SHOWN}
    facts |= {"least_tolerance": TOLERANCE, "onnx_format": snippet.onnx_format, "wordpiece": wordpiece is not None}
    facts |= {} if wordpiece is None else dict(vars(wordpiece))
    for name in EXAMPLES:
        write_text(folder / "examples" / name, environment.get_template(f"{name}.jinja").render(s=facts))


def write_continuing(snippet: Snippet, known: Continuations, folder: Path) -> None:
    """Write `examples/run.py` for a language model, with ONNX Runtime or through edgedistill, and, if transformers.js
    can load the file, `run.mjs` and the page `index.html`, which use transformers.js."""
    from edgedistill.system.templates import text_templates

    environment = text_templates(_OWN_TEMPLATES)
    names = ("recipe", "candidate", "runtime", "runtime_reference", "driver", "files", "output")
    facts: dict[str, object] = {name: getattr(snippet, name) for name in names}
    file = snippet.opened[0][1]
    loaded = client_name(file)
    # The library has to be told of weights beside the file.
    apart = (folder / file).with_name(weights_name(Path(file))).is_file()
    facts |= {"file": file, "native": snippet.onnx_format}
    facts |= {"chat": known.chat is not None, "loaded": loaded, "apart": apart}
    templates = {"run.py": "continue.py", "run.mjs": "continue.mjs", "index.html": "continue.html"}
    for name, template in templates.items():
        if name == "run.py" or loaded is not None:
            write_text(folder / "examples" / name, environment.get_template(f"{template}.jinja").render(s=facts))


def client_name(file: str) -> tuple[str, str] | None:
    """The `model_file_name` and `dtype` with which transformers.js loads a file; None if it cannot."""
    path = PurePosixPath(file)
    if path.parent.name != "onnx" or path.suffix != ".onnx":
        return None
    return ("model", _CLIENT_DTYPES[path.name]) if path.name in _CLIENT_DTYPES else (path.stem, "fp32")


def read_wordpiece(file: Path) -> WordPiece | None:
    """The facts of a BERT tokenizer; None for another type (BPE, Unigram, another normaliser), or one that truncates on
    the left."""
    from tokenizers import Tokenizer

    content = json.loads(file.read_text(encoding="utf-8"))
    model, normaliser = content["model"], content.get("normalizer") or {}
    kinds = (model["type"], normaliser.get("type"), (content.get("pre_tokenizer") or {}).get("type"))
    cut_at = (content.get("truncation") or {}).get("direction", "Right")
    if kinds != ("WordPiece", "BertNormalizer", "BertPreTokenizer") or cut_at != "Right":
        return None
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    bare = tokenizer.encode(_PROBE, add_special_tokens=False).ids
    around = tokenizer.encode(_PROBE).ids
    start = next(i for i in range(len(around)) if around[i : i + len(bare)] == bare)
    prefix, suffix = around[:start], around[start + len(bare) :]
    vocabulary = [token for token, _ in sorted(model["vocab"].items(), key=lambda pair: pair[1])]
    if sorted(model["vocab"].values()) != list(range(len(vocabulary))) or any("\n" in token for token in vocabulary):
        return None
    lowercase = bool(normaliser["lowercase"])
    strip = normaliser.get("strip_accents")
    return WordPiece(
        vocabulary=vocabulary,
        unknown=model["unk_token"],
        continuing=model["continuing_subword_prefix"],
        longest_word=model["max_input_chars_per_word"],
        clean=bool(normaliser["clean_text"]),
        chinese=bool(normaliser["handle_chinese_chars"]),
        lowercase=lowercase,
        strip_accents=lowercase if strip is None else bool(strip),
        prefix=prefix,
        suffix=suffix,
        around=" ".join([*(vocabulary[i] for i in prefix), "...", *(vocabulary[i] for i in suffix)]),
    )
