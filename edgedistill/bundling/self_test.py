"""Tests and benchmarks a bundle on this machine. Needs numpy and the runtime's packages, but not torch or
transformers."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgedistill.bundling.continuations import Continuation, Continuations
from edgedistill.bundling.golden import Golden, first_wrong
from edgedistill.bundling.layout import TOKENIZER, Bundle, describe_unlisted, judge_of, open_bundle
from edgedistill.bundling.measurement import MEASUREMENT_SCHEMA, DeviceMeasurement, GoldenResult
from edgedistill.contracts import registry
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.isolation import environments
from edgedistill.isolation.emulation.cpus import DEFAULT_CPU
from edgedistill.measuring.device_model import Cost, DeviceModel
from edgedistill.measuring.emulated import emulated, refuse_options
from edgedistill.measuring.latency import Timed, Timing, time_one
from edgedistill.measuring.options import MeasureOptions
from edgedistill.measuring.prompts import speeds_of, write_prompts
from edgedistill.store.artifacts import write_json
from edgedistill.store.progress import Progress
from edgedistill.system.machine import describe
from edgedistill.version import __version__

if TYPE_CHECKING:
    from edgedistill.contracts.answers import Answers
    from edgedistill.measuring.device_model import Opened

_logger = logging.getLogger(__name__)
_SHOWN = 60


def examine(folder: Path, asked: MeasureOptions, progress: Progress) -> DeviceMeasurement:
    """Check the sha256 of every file and the token ids and outputs of every golden input, then time the golden inputs,
    or count their instructions if the runtime is emulated.

    Raises:
        UserError: not a bundle or malformed, a runtime that cannot open its files or is not installed, or unsupported
            options.
        EdgedistillError: a file is missing or changed, or cannot be run.
    """
    asked.refuse_for_bundle()
    bundle = open_bundle(folder)
    if (unlisted := describe_unlisted(bundle)) is not None:
        _logger.warning("%s", unlisted)
    facts = bundle.facts
    runtime = _runtime(bundle, asked.runtime)
    refuse_options(runtime, asked.emulated_cpu)
    cpu = (asked.emulated_cpu or DEFAULT_CPU) if emulated(runtime) else None
    threads, batch = asked.threads or facts.threads, asked.batch or facts.batch
    if cpu is not None and threads > 1:
        raise UserError(f"measure: {runtime} counts the instructions of one thread, got {threads}; give --threads 1")
    golden = bundle.golden
    model = DeviceModel(bundle.opened, runtime, facts.task, cpu=cpu)
    timing: Timing | None = None
    cost: Cost | None = None
    with tempfile.TemporaryDirectory() as place:
        scratch = Path(place)
        with model.opened(scratch) as opened:
            result = judge(opened.answers(golden.items), bundle, _continued(opened, bundle.continuations))
            if result.passed and cpu is not None:
                cost = opened.cost(golden.items, batch, facts.timed_length)
        if result.passed and cpu is None:
            given = scratch / "inputs.safetensors"
            golden.items.save(given)
            timed = Timed("bundle", model, threads, batch, given, _prompts(bundle, batch, scratch))
            timing = time_one(timed, scratch, progress, min_seconds=asked.min_seconds, length=facts.timed_length)
    seen = timing or cost
    return DeviceMeasurement.model_validate(
        {
            "schema": MEASUREMENT_SCHEMA,
            "edgedistill": __version__,
            **{key: getattr(facts, key) for key in ("recipe", "candidate", "model", "target", "precision")},
            "runtime": runtime,
            "runtime_version": seen.runtime_version if seen else None,
            "threads": threads,
            "batch": batch,
            "device_files": facts.device_files,
            "file_bytes": facts.file_bytes,
            "host": describe(),
            "backend": opened.loaded.backend,
            "golden": result,
            **_times(facts.task, timing),
            "emulated_cpu": cpu,
            "instructions_per_inference": cost.instructions_per_inference if cost else None,
            "counted_inputs": cost.inputs if cost else None,
            "date": time.strftime("%Y-%m-%d"),
        }
    )


def _prompts(bundle: Bundle, batch: int, scratch: Path) -> Mapping[int, Path]:
    """Prompts from the golden inputs' tokens, for a task that is also timed on prompts."""
    prompts = registry.task(bundle.facts.task).prompts
    if prompts is None or bundle.continuations is None:
        return {}
    longest = bundle.continuations.longest
    return write_prompts(prompts, bundle.golden.items, None, longest, batch, scratch / "prompts").files


def _times(task: str, timing: Timing | None) -> dict[str, object]:
    """Figures of time and memory; None for a file that was not timed."""
    if timing is None:
        return dict.fromkeys(("latency_ms", "throughput_per_s", "load_ms", "peak_rss_mb"))
    prompts = registry.task(task).prompts
    known = prompts.speeds if prompts is not None else ()
    return {
        "latency_ms": timing.summary(),
        "prompts": tuple(
            {"tokens": tokens, "speeds": speeds_of(known, phases)}
            for tokens, phases in sorted(timing.prompts_ms.items())
        ),
        "throughput_per_s": timing.throughput_per_s,
        "load_ms": timing.load_ms,
        "peak_rss_mb": timing.peak_rss_mb,
    }


def checked(found: DeviceMeasurement, out: Path | None) -> DeviceMeasurement:
    """Write the results as JSON, unless `out` is None; then raise an error if any answer is wrong.

    Raises:
        EdgedistillError: an answer to a golden input is wrong.
    """
    if out is not None:
        write_json(out, found.model_dump(mode="json", by_alias=True))
    if found.golden.passed:
        return found
    more = f", and {len(found.golden.wrong) - 1} more" if len(found.golden.wrong) > 1 else ""
    raise EdgedistillError(f"{found.candidate} under {found.runtime}: {found.golden.wrong[0]}{more}")


def _continued(opened: Opened, expected: Continuations | None) -> list[list[int]]:
    """The most likely token here in the place of each golden one; none for a task that does not generate text."""
    every = expected.items if expected is not None else ()
    return [opened.likeliest_tokens(continuation.ids, continuation.said) for continuation in every]


def judge(answered: Answers, bundle: Bundle, continued: Sequence[Sequence[int]] = ()) -> GoldenResult:
    """Compare every golden input's token ids and answers with the expected ones.

    Args:
        continued: for each golden continuation, the most likely token here in the place of each of its tokens.
    """
    golden, own = bundle.golden, judge_of(bundle.facts)
    wrong: list[str] = []
    tokens, other = _tokens(golden, bundle)
    parted = _parted(bundle, continued)
    worst: float | None = 0.0
    for number, text in enumerate(golden.texts):
        expected = golden.answers.of_items([number])
        fault, off = first_wrong(own, answered.of_items([number]), expected, golden.tolerance)
        if number in other:
            fault = "has different token ids here"
        fault = fault or parted.get(number)
        if fault is not None:
            shown = text.text if len(text.text) <= _SHOWN else f"{text.text[:_SHOWN]}..."
            wrong.append(f"golden input {number} ({shown!r}) {fault}")
        worst = max(worst, off) if off is not None and worst is not None else None
    expected_tokens = _flat(item.said for item in _items(bundle))
    agreed = sum(map(eq, expected_tokens, _flat(continued)))
    if bundle.continuations is not None and agreed < bundle.continuations.least:
        wrong.append(
            f"only {agreed} of {len(expected_tokens)} golden tokens are the most likely in their places here, expected "
            f"at least {bundle.continuations.least}"
        )
    return GoldenResult(
        items=len(golden.texts),
        tolerance=golden.tolerance,
        max_abs_diff=worst,
        passed=not wrong,
        wrong=tuple(wrong),
        tokens=tokens,
        continued=agreed if expected_tokens else None,
        continued_of=len(expected_tokens) or None,
    )


def _items(bundle: Bundle) -> tuple[Continuation, ...]:
    return bundle.continuations.items if bundle.continuations is not None else ()


def _flat(lists: Iterable[Sequence[int]]) -> list[int]:
    return [token for tokens in lists for token in tokens]


def _parted(bundle: Bundle, continued: Sequence[Sequence[int]]) -> dict[int, str]:
    """The first difference of each continuation from the golden one, by golden input, where the golden token is
    certain."""
    found = {}
    for continuation, tokens in zip(_items(bundle), continued, strict=True):
        pairs = enumerate(zip(continuation.said, tokens, strict=True))
        differ = (place for place, (wanted, given) in pairs if wanted != given)
        place = next((place for place in differ if place not in continuation.unsure), None)
        if place is not None:
            found[continuation.item] = (
                f"continues differently: token {place} is {tokens[place]}, expected {continuation.said[place]}"
            )
    return found


def _runtime(bundle: Bundle, asked: str | None) -> str:
    """The runtime to test under."""
    name, target = asked or bundle.facts.runtime, bundle.facts.target
    module = registry.runtime(name)
    if target not in module.targets:
        known = [runtime for runtime in registry.names("runtimes") if target in registry.runtime(runtime).targets]
        raise UserError(f"measure: {name} cannot open files of target {target}; expected one of {', '.join(known)}")
    environments.interpreter(module.packages)
    return name


def _tokens(golden: Golden, bundle: Bundle) -> tuple[str, set[int]]:
    """Whether the texts give the same ids here, and the indices of those that do not."""
    column, (_, times) = golden.items.token_column, np.unique(golden.items.example, return_counts=True)
    if bundle.facts.max_length is None or column is None:
        return "not checked: no text", set()
    anew = (times > 1).any() or not all(text.given for text in golden.texts)
    if anew and bundle.continuations is None:
        return "not checked: the task's inputs depend on more than the texts", set()
    if find_spec("tokenizers") is None:
        return "not checked: the package tokenizers is not installed", set()
    if bundle.continuations is not None:
        if not bundle.continuations.items:
            return "not checked: there are no golden continuations", set()
        return _compared(partial(_other_prompts, bundle.continuations), bundle)
    return _compared(partial(_other_tokens, golden, column), bundle)


def _compared(compare: Callable[[Path], set[int]], bundle: Bundle) -> tuple[str, set[int]]:
    """Whether the ids are the same, and the indices of golden inputs with different ones, using a function that
    compares them with a tokenizer file's."""
    try:
        other = compare(bundle.folder / TOKENIZER)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the library, which is no Exception, is the file's too
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{bundle.folder / TOKENIZER}: cannot be used: {reason}") from None
    return ("other" if other else "same"), other


def _other_prompts(expected: Continuations, tokenizer_file: Path) -> set[int]:
    """Indices of golden inputs whose prefixes give a plain client different ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))

    def encode(text: str, special: bool) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=special).ids)

    return {item.item for item in expected.items if expected.tokens(encode, item) != item.ids}


def _other_tokens(golden: Golden, column: str, tokenizer_file: Path) -> set[int]:
    """Indices of golden inputs whose texts give a plain client, which uses the file unchanged, different ids or other
    inputs (mask, segments).

    Args:
        column: the column of token ids.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    other = set()
    for number, text in enumerate(golden.texts):
        first, *second = text.given
        found = tokenizer.encode(first, second[0]) if second else tokenizer.encode(first)
        beside = ([1] * len(found.ids), found.attention_mask, found.type_ids)
        given = {name: array[0].tolist() for name, array in golden.items.inputs([number]).items() if array.ndim == 2}
        if given.pop(column) != found.ids or any(values not in beside for values in given.values()):
            other.add(number)
    return other
