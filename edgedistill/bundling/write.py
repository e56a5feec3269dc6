"""Writes a bundle into a folder from the artifacts of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill import __version__, artifacts, plugins
from edgedistill.bundling.card import CardFacts, render_card
from edgedistill.bundling.facts import BUNDLE_SCHEMA
from edgedistill.bundling.golden import GOLDEN_SCHEMA, spread_by_length, tolerance
from edgedistill.bundling.layout import FACTS, GOLDEN, LABELS, open_bundle, sha256, write_hashes
from edgedistill.bundling.snippets import Snippet, write_snippets
from edgedistill.interfaces import MODEL_INPUTS
from edgedistill.model_files import ModelFiles, read_files
from edgedistill.results import CandidateResult, Results, load_results

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgedistill.artifacts import Artifact
    from edgedistill.data import PreparedData
    from edgedistill.interfaces import Task
    from edgedistill.provenance import Provenance

_WEIGHTS = (".safetensors", ".bin", ".pt")


@dataclass(frozen=True)
class Material:
    """What one bundle is made of: artifacts of a run, and what is known of licences."""

    candidate: str
    task: str
    report: Artifact
    data: PreparedData
    """In the tokens of the candidate's model."""
    model: Artifact
    file: Artifact
    verified: Artifact
    provenance: Sequence[Provenance]
    length: int | None
    """To which inputs were padded or cut when it was timed; None: their own."""


def write_bundle(material: Material, folder: Path, scratch: Path) -> None:
    """Fill an empty folder: model files, tokenizer, labels, golden inputs, examples, card, facts, hashes.

    Raises:
        EdgedistillError: the runtime no longer opens the file.
    """
    results = load_results(material.report.path("results.json"))
    row = results.candidate(material.candidate)
    task: Task = plugins.find("tasks", material.task)
    data, files = material.data, read_files(material.file)
    for name in files.published:
        artifacts.copy(material.file.path(name), folder / row.target / name)
    _copy_description(material.model.path("model"), folder)
    artifacts.write_json(folder / LABELS, data.labels)
    golden = _golden(material, row, data, task)
    artifacts.write_text(folder / GOLDEN, _lines(golden))
    items = golden["items"]
    assert isinstance(items, list)
    opened = [(length, f"{row.target}/{file.name}") for length, file in files.opened.items()]
    inputs = _inputs(row.runtime, files, scratch)
    snippet = Snippet(
        recipe=results.recipe,
        candidate=row.id,
        runtime=row.runtime,
        runtime_module=plugins.find("runtimes", row.runtime).__name__,
        opened=opened,
        inputs=inputs,
        text=task.TOKENS,
        pair="text_pair" in data.columns,
        max_length=data.max_length,
    )
    write_snippets(snippet, folder)
    known = CardFacts(
        results=results,
        row=row,
        task=material.task,
        labels=data.labels,
        max_length=data.max_length if task.TOKENS else None,
        provenance=material.provenance,
        golden=len(items),
    )
    artifacts.write_text(folder / "MODEL_CARD.md", render_card(known))
    facts = _facts(results, row, material)
    facts |= {
        "opened": opened,
        "device_files": {f"{row.target}/{name}": sha256(material.file.path(name)) for name in files.device},
        "inputs": [{"name": name, "type": "int64", "shape": [row.batch, _width(snippet)]} for name in inputs],
        "max_length": snippet.max_length if task.TOKENS else None,
        "lengths": snippet.lengths,
        "pad_token": data.tokens("validation").pad_token,
        "timed_length": material.length,
        "labels": len(data.labels),
    }
    artifacts.write_json(folder / FACTS, facts)
    write_hashes(folder)
    open_bundle(folder)  # what is not let in elsewhere is not let out here


def _copy_description(model: Path, folder: Path) -> None:
    """`config.json` and the tokenizer's files, so that transformers, optimum and transformers.js know the folder."""
    for file in sorted(model.iterdir()):
        if file.is_file() and file.suffix not in _WEIGHTS:
            artifacts.copy(file, folder / file.name)


def _golden(material: Material, row: CandidateResult, data: PreparedData, task: Task) -> dict[str, object]:
    """Validation items, and what the file answered to them when it was verified."""
    from edgedistill.signals import load_rows

    tokens, raw = data.tokens("validation"), data.rows("validation")
    answered = load_rows(material.verified.path("validation.safetensors"))
    names = [name for name in MODEL_INPUTS if name in tokens.sequences]
    items = []
    for item in spread_by_length(tokens.lengths):
        inputs, columns = tokens.batch([item]), raw[item]
        rows = np.asarray(answered.values[answered.offsets[item] : answered.offsets[item + 1]])
        items.append(
            {
                "text": task.show(columns, data.columns),
                "given": [columns[data.columns[key]] for key in task.TEXTS if key in data.columns],
                **{name: inputs[name][0].tolist() for name in names},
                "rows": [[float(f"{value:.7g}") for value in each] for each in rows],
                "labels": [data.labels[best] for best in rows.argmax(axis=1)],
            }
        )
    written = np.concatenate([np.asarray(each["rows"]) for each in items])
    allowed, reason = tolerance(row.max_abs_diff, row.precision, written)
    return {
        "schema": GOLDEN_SCHEMA,
        "what": "validation inputs; rows are the outputs of the verified file, one row a decision, a logit a label",
        "tolerance": allowed,
        "tolerance_reason": reason,
        "items": items,
    }


def _lines(golden: Mapping[str, object]) -> str:
    """JSON with a line for each item: token ids are many."""
    items = golden["items"]
    assert isinstance(items, list)
    head = json.dumps({**golden, "items": []}, indent=1, ensure_ascii=False).removesuffix("[]\n}")
    return head + "[\n" + ",\n".join(json.dumps(item, ensure_ascii=False) for item in items) + "\n]}\n"


def _inputs(runtime: str, files: ModelFiles, scratch: Path) -> list[str]:
    """The names of the file's inputs, as its runtime tells."""
    from edgedistill.measuring.child import Child

    with Child.of_runtime(runtime, scratch / "inputs.log", timeout_seconds=600) as child:
        module = plugins.find("runtimes", runtime).__name__
        named = [(length, str(file)) for length, file in files.opened.items()]
        names = child.ask("load", files=named, runtime=module, threads=1, warm_up=0)["inputs"]
    assert isinstance(names, list)
    return [str(name) for name in names]


def _width(snippet: Snippet) -> object:
    return snippet.lengths or f"1..{snippet.max_length}" if snippet.text else None


def _facts(results: Results, row: CandidateResult, material: Material) -> dict[str, object]:
    """What `bundle.json` says of the candidate as the run measured it."""
    measured = {"figures", "drop", "agreement_with_student", "latency_ms"}
    measured |= {"max_abs_diff", "file_bytes", "peak_rss_mb", "load_ms", "throughput_per_s"}
    return {
        "schema": BUNDLE_SCHEMA,
        "edgedistill": __version__,
        "recipe": results.recipe,
        "candidate": row.id,
        "chosen": results.chosen == row.id,
        "task": material.task,
        "metric": results.metric,
        **{name: getattr(row, name) for name in ("model", "target", "precision", "runtime", "threads", "batch")},
        "measured": row.model_dump(mode="json", include=measured),
        "host": results.hosts[row.host].model_dump(mode="json"),
        "provenance": [each.model_dump() for each in material.provenance],
    }
