"""Results of every candidate: measured, emulated, or neither."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from edgedistill.contracts import registry
from edgedistill.evaluation.results_candidates import CandidateResult, EmulatedResult, UnmeasuredResult
from edgedistill.exporting.candidates import native_candidates
from edgedistill.exporting.onnx_arithmetic import read_arithmetic

if TYPE_CHECKING:
    from edgedistill.evaluation.figures import Judging
    from edgedistill.exporting.candidates import Candidate
    from edgedistill.exporting.files import ModelFiles
    from edgedistill.report.run_files import RunFiles
    from edgedistill.store.records.files import PromptMeasurement

HOST = "h1"


def candidate_result(
    row: Candidate, files: RunFiles, judging: Judging
) -> CandidateResult | EmulatedResult | UnmeasuredResult:
    """One line of the report."""
    if (failure := files.failure(row)) is not None:
        identity = row.model_dump(exclude={"refused", "emulated"})
        return UnmeasuredResult(**identity, state=failure.state, reason=failure.reason)
    return _emulated(row, files, judging) if row.emulated else _measured(row, files, judging)


def _measured(row: Candidate, files: RunFiles, judging: Judging) -> CandidateResult:
    verified, seen, verdict, made = files.verified(row), files.measured(row), files.verdict(row), files.files(row)
    fidelity = verified.fidelity
    test, validation = (files.questions(split, row.model).references for split in ("test", "validation"))
    teacher, of_teacher = files.answers("teacher", "validation"), files.questions("validation").references
    answers = files.file_answers(row, "validation")
    figures = judging.figures(files.file_answers(row, "test"), test, "test", HOST)
    place = f"models/{row.model}/{row.target}"
    return CandidateResult.model_validate(
        {
            **row.model_dump(exclude={"refused", "emulated"}),
            "file": f"{place}/{made.main}",
            "files": [f"{place}/{name}" for name in made.device],
            "lengths": made.lengths,
            "facts": dict(made.facts),
            "bytes_by_part": made.facts.get("bytes_by_part", {}),
            "search": made.search,
            "runtime_size": made.facts.get("runtime_size"),
            "backend": dict(verified.backend),
            "figures": (*figures, *judging.figures(answers, validation, "validation")),
            "drop": judging.gain(teacher, answers, of_teacher, "validation", validation),
            "agreement_with_student": fidelity.agreement,
            "agreement_batched": verified.agreement_batched,
            "validation_batched": verified.value_batched,
            "max_abs_diff": fidelity.max_abs_diff,
            "mean_abs_diff": fidelity.mean_abs_diff,
            "mean_divergence": fidelity.mean_divergence,
            "checks": dict(verified.checks),
            "texts_read": None if verified.texts_read is None else verified.texts_read.model_dump(),
            "host": HOST,
            "file_bytes": seen.file_bytes,
            "latency_ms": seen.latency_ms.model_dump(),
            "phases_ms": {phase: timing.model_dump() for phase, timing in seen.phases_ms.items()},
            "prompts": [_prompt(prompt, files) for prompt in seen.prompts],
            "prompts_too_long": seen.prompts_too_long,
            "tokenizer_bytes": seen.tokenizer_bytes,
            "throughput_per_s": seen.throughput_per_s,
            "peak_rss_mb": seen.peak_rss_mb,
            "load_ms": seen.load_ms,
            "speed_up": files.speed_up(row),
            "worse_than_fp32": verdict.worse_than_fp32,
            **_arithmetic(made),
            "within_limits": verdict.within_limits,
            "blocked_by": verdict.blocked_by,
            "on_pareto_front": verdict.on_pareto_front,
        }
    )


def _arithmetic(made: ModelFiles) -> dict[str, object]:
    """How an ONNX file's products are computed; nothing for other files."""
    file = list(next(iter(made.opened.values())).files.values())[-1]
    return asdict(read_arithmetic(file)) if file.suffix == ".onnx" else {}


def _prompt(seen: PromptMeasurement, files: RunFiles) -> dict[str, object]:
    known = registry.task(files.settings.task.type).prompts
    assert known is not None, "these were timed for its figures"
    return {
        "tokens": seen.tokens,
        "phases_ms": {phase: timing.model_dump() for phase, timing in seen.phases_ms.items()},
        "speeds": [
            {"name": speed.name, "words": speed.words, "unit": speed.unit, "direction": speed.direction}
            | seen.speeds[speed.name].model_dump()
            for speed in known.speeds
        ],
    }


def _emulated(row: Candidate, files: RunFiles, judging: Judging) -> EmulatedResult:
    answers, items = files.emulated_answers(row)
    references = files.questions("test", row.model).references
    asked = references.of_items(items)
    facts: dict[str, object] = files.emulation(row).model_dump(exclude={"validation", "test"})
    same_file = [
        candidate for candidate in native_candidates(files.settings.candidates) if candidate.file_key == row.file_key
    ]
    here = next((candidate for candidate in same_file if files.failure(candidate) is None), None)
    if here is not None:
        same_items = files.file_answers(here, "test").of_items(items)
        facts["here"] = judging.value(same_items, asked)
        facts["agreement_with_here"] = float(judging.judge.fidelity(same_items, answers).agree.mean())
    return EmulatedResult.model_validate(
        {
            **row.model_dump(include={"id", "model", "target", "precision", "runtime"}),
            "file_bytes": files.files(row).bytes,
            "figures": judging.figures(answers, asked, "test", HOST),
            **facts,
        }
    )
