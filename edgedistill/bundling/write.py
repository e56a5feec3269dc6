"""Writes a bundle into a folder from the artifacts of a run."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.bundling.card import CardFacts, render_card
from edgedistill.bundling.continuations import (
    CONTINUATIONS,
    SAID,
    Continuations,
    beginnings,
    chat_frame,
    least_agreeing,
)
from edgedistill.bundling.facts import BUNDLE_SCHEMA, ComponentFacts, PortFacts
from edgedistill.bundling.golden import (
    ANSWERS_FILE,
    GOLDEN_SCHEMA,
    ITEMS_FILE,
    Golden,
    GoldenText,
    golden_items,
    tolerance,
)
from edgedistill.bundling.layout import FACTS, GOLDEN, LABELS, open_bundle, sha256, write_hashes
from edgedistill.bundling.snippets import Snippet, write_continuing, write_snippets
from edgedistill.contracts import registry
from edgedistill.contracts.answers import Answers
from edgedistill.device.streaming import pieces
from edgedistill.evaluation.results import Results, load_results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.exporting.files import ModelFiles, read_files
from edgedistill.measuring.device_model import DeviceModel
from edgedistill.measuring.judged import numbers
from edgedistill.models.loading import load_config, load_tokenizer, longest_input, outline
from edgedistill.models.tokenizer_files import ends_of
from edgedistill.store import artifacts
from edgedistill.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from edgedistill.contracts.driver import Port
    from edgedistill.contracts.task import Task
    from edgedistill.contracts.task_spec import TaskSpec
    from edgedistill.data.prepared import PreparedData
    from edgedistill.store.handle import Artifact
    from edgedistill.store.provenance import Provenance
    from edgedistill.store.records.closing import Reported
    from edgedistill.store.records.files import MadeFiles, Verified
    from edgedistill.store.records.models import TrainedModel

_logger = logging.getLogger(__name__)
_WEIGHTS = (".safetensors", ".bin", ".pt")


@dataclass(frozen=True)
class BundleSources:
    """The sources of a bundle: artifacts of a run, and licences."""

    candidate: str
    task: TaskSpec
    report: Artifact[Reported]
    data: PreparedData
    """In the tokens of the candidate's model."""
    model: Artifact[TrainedModel]
    file: Artifact[MadeFiles]
    verified: Artifact[Verified]
    provenance: Sequence[Provenance]
    length: int | None
    """Length to which inputs were padded or truncated for timing; None: real lengths."""


def write_bundle(sources: BundleSources, folder: Path, scratch: Path) -> None:
    """Fill an empty folder: model files, tokenizer, labels, golden inputs, examples, card, facts, hashes.

    Raises:
        EdgedistillError: the runtime can no longer open the file.
    """
    results = load_results(sources.report.path(sources.report.record.results))
    row = results.candidate(sources.candidate)
    task: Task = registry.task(sources.task.type)
    data, files = sources.data, read_files(sources.file)
    ports = _ports(DeviceModel(files.opened, row.runtime, sources.task.type), scratch)
    for name in files.published:
        artifacts.copy(sources.file.path(name), folder / row.target / name)
    _copy_description(sources.model.path(sources.model.record.model), folder)
    artifacts.write_json(folder / LABELS, data.labels)
    golden = _golden(sources, row, data, task)
    taken = {port.name for inputs, _ in ports.values() for port in inputs}
    golden.items.reading(taken).save(folder / ITEMS_FILE)
    golden.answers.save(folder / ANSWERS_FILE)
    artifacts.write_text(folder / GOLDEN, _lines(golden))
    continuations = _continuations(sources, row, files, golden, folder, scratch) if task.data.prompt else None
    if continuations is not None:
        artifacts.write_text(folder / CONTINUATIONS, continuations.as_json())
    components = {
        name: ComponentFacts(tuple((entry.length, f"{row.target}/{entry.file}") for entry in made.files), *ports[name])
        for name, made in sources.file.record.components.items()
    }
    _write_examples(results.recipe, row, task, data, components, continuations, folder)
    known = CardFacts(
        results=results,
        row=row,
        task=sources.task.type,
        labels=data.labels,
        columns=task.data.columns.required,
        max_length=data.max_length if task.data.tokens else None,
        provenance=sources.provenance,
        golden=len(golden.items),
        context=None if continuations is None else continuations.longest,
    )
    artifacts.write_text(folder / "MODEL_CARD.md", render_card(known))
    facts = _facts(results, row, sources)
    facts |= {
        "components": {name: component.as_json() for name, component in components.items()},
        "device_files": {f"{row.target}/{name}": sha256(sources.file.path(name)) for name in files.device},
        "max_length": data.max_length if task.data.tokens else None,
        "timed_length": sources.length,
        "labels": len(data.labels),
    }
    artifacts.write_json(folder / FACTS, facts)
    write_hashes(folder)
    open_bundle(folder)  # write only what the reader accepts


def _write_examples(
    recipe: str,
    row: CandidateResult,
    task: Task,
    data: PreparedData,
    components: Mapping[str, ComponentFacts],
    continuations: Continuations | None,
    folder: Path,
) -> None:
    """Scripts that run the model directly if ONNX Runtime opens it, and otherwise through edgedistill."""
    snippet = Snippet(
        recipe=recipe,
        candidate=row.id,
        runtime=row.runtime,
        runtime_reference=registry.reference("runtimes", row.runtime),
        driver=task.device,
        components=components,
        text=task.data.tokens,
        pair="text_pair" in data.columns,
        max_length=data.max_length,
    )
    if continuations is not None and len(components) == 1:
        write_continuing(snippet, continuations, folder)
    else:
        write_snippets(snippet, folder, task.snippets)


def _copy_description(model: Path, folder: Path) -> None:
    """`config.json` and the tokenizer's files, so that transformers, optimum and transformers.js can load the
    folder."""
    for file in sorted(model.iterdir()):
        if file.is_file() and file.suffix not in _WEIGHTS:
            artifacts.copy(file, folder / file.name)


def _golden(sources: BundleSources, row: CandidateResult, data: PreparedData, task: Task) -> Golden:
    """Validation items, and the file's answers from its verification."""
    items, raw = data.items("validation"), data.rows("validation")
    chosen = golden_items(items)
    answered = Answers.open(sources.verified.path(sources.verified.record.answers)).of_items(chosen)
    anew = np.zeros(len(items), np.int64)
    anew[chosen] = np.arange(len(chosen))
    answers = replace(answered, item=anew[answered.item])
    said = task.judge(sources.task).texts(answers, data.labels)
    texts = []
    for number, item in enumerate(chosen):
        columns = raw[int(items.example[item])]
        given = [str(columns[data.columns[key]]) for key in task.data.columns.texts if key in data.columns]
        own = [said[int(place)] for place in np.flatnonzero(answers.item == number)]
        texts.append(GoldenText(task.data.show(columns, data.columns), tuple(given), tuple(own)))
    allowed, reason = tolerance(row.max_abs_diff, row.precision, numbers(answers))
    return Golden(items.take(chosen), answers, texts, allowed, reason)


def _continuations(
    sources: BundleSources, row: CandidateResult, files: ModelFiles, golden: Golden, folder: Path, scratch: Path
) -> Continuations:
    """The file's continuations of prefixes of some golden inputs.

    Args:
        folder: folder with the tokenizer.
    """
    task = registry.task(sources.task.type)
    assert task.data.prompt is not None, "it continues texts"
    tokenizer, prompt = load_tokenizer(folder), task.data.prompt
    ends, longest = ends_of(tokenizer, folder), sources.data.max_length
    items = []
    with DeviceModel(files.opened, row.runtime, sources.task.type).opened(scratch) as opened:
        for start in beginnings(golden, tokenizer, prompt):
            every = opened.greedy_with_leads(start.ids, min(SAID, longest - len(start.ids)), ends)
            said = tuple(token for token, _ in every)
            unsure = tuple(place for place, (_, lead) in enumerate(every) if lead <= 2 * golden.tolerance)
            text = "".join(pieces(tokenizer.backend_tokenizer, start.ids, said))
            items.append(replace(start, said=said, unsure=unsure, text=text))
    if not items:
        _logger.warning(
            "the bundle has no golden continuations: no beginning of a validation text encodes to the same tokens again"
        )
    return Continuations(
        opening=tuple(prompt(tokenizer, "")),
        closing=tokenizer.eos_token_id,
        ends=tuple(sorted(ends)),
        longest=longest_input(outline(task.model.auto_class(), load_config(folder, None))),
        chat=_chat(tokenizer),
        least=least_agreeing(sum(len(item.said) for item in items), row.agreement_with_student),
        items=tuple(items),
    )


def _chat(tokenizer: PreTrainedTokenizerBase) -> tuple[str, str] | None:
    """Text around a user message; None for a tokenizer without a chat template, or with one that rejects it."""

    def render(message: str) -> str:
        turns = [{"role": "user", "content": message}]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    if tokenizer.chat_template is None:
        return None
    try:
        frame, reason = chat_frame(render), "it does not write the same around every message"
    except Exception as error:  # noqa: BLE001 - whatever a template raises
        frame, reason = None, f"it fails on a single message: {type(error).__name__}: {error}"
    if frame is None:
        _logger.warning("the bundle's scripts cannot chat by the tokenizer's chat template: %s", reason)
    return frame


def _lines(golden: Golden) -> str:
    """`golden.json`, with one line per item."""
    known = {
        "schema": GOLDEN_SCHEMA,
        "what": f"validation inputs, encoded in {ITEMS_FILE}; {ANSWERS_FILE} contains the verified file's "
        "answers, one per decision",
        "tolerance": golden.tolerance,
        "tolerance_reason": golden.reason,
    }
    head = json.dumps(known, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = ",\n".join("  " + json.dumps(asdict(text), ensure_ascii=False) for text in golden.texts)
    return f'{head},\n "items": [\n{lines}\n ]\n}}\n'


Ports = tuple[tuple[PortFacts, ...], tuple[PortFacts, ...]]


def _ports(model: DeviceModel, scratch: Path) -> dict[str, Ports]:
    """Inputs and outputs of every component, as reported by its runtime."""
    with model.opened(scratch) as opened:
        return {name: (_port_facts(taken), _port_facts(given)) for name, (taken, given) in opened.loaded.ports.items()}


def _port_facts(ports: Mapping[str, Port]) -> tuple[PortFacts, ...]:
    return tuple(
        PortFacts(name, port.dtype, None if port.shape is None else tuple(port.shape)) for name, port in ports.items()
    )


def _facts(results: Results, row: CandidateResult, sources: BundleSources) -> dict[str, object]:
    """The run's figures of the candidate for `bundle.json`."""
    measured = {"figures", "drop", "agreement_with_student", "latency_ms"}
    measured |= {"max_abs_diff", "file_bytes", "peak_rss_mb", "load_ms", "throughput_per_s"}
    return {
        "schema": BUNDLE_SCHEMA,
        "edgedistill": __version__,
        "recipe": results.recipe,
        "candidate": row.id,
        "chosen": results.chosen == row.id,
        "task": sources.task.type,
        **({"options": options} if (options := sources.task.options) else {}),
        "metric": results.metric,
        **{name: getattr(row, name) for name in ("model", "target", "precision", "runtime", "threads", "batch")},
        "measured": row.model_dump(mode="json", include=measured),
        "host": results.hosts[row.host].model_dump(mode="json"),
        "provenance": [entry.model_dump() for entry in sources.provenance],
    }
