"""`report.md`: the same facts as GitHub markdown."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import (
    CandidateResult,
    EmulatedResult,
    RuntimeSizeResult,
    UnmeasuredResult,
)
from edgedistill.evaluation.results_models import RoundResult, TeacherResult
from edgedistill.evaluation.wording import drop_word, heading
from edgedistill.report import formatting as f
from edgedistill.report.beside_fp32 import beside_fp32
from edgedistill.report.bytes import where_bytes_are
from edgedistill.report.headline import headline, times_smaller
from edgedistill.report.markdown_budget import loss_budget
from edgedistill.report.markdown_estimates import estimates
from edgedistill.report.markdown_language import by_size, checks, generations
from edgedistill.report.markdown_speeds import by_prompt, speed_cells, speed_names, speeds_in_words
from edgedistill.report.markdown_text import escape, table
from edgedistill.report.mix_search import mix_searches
from edgedistill.report.spread import spread

EMULATED = (
    "The same files run with another processor's kernels, which round differently. Emulation says nothing about time, "
    "so cost is counted in instructions, and emulated candidates are never chosen."
)

REDUCED = (
    "Size of a runtime built with only the file's operators, which a device needs in addition to the file. Estimated "
    "without reduced types, the C++ library, libcpuinfo and segment padding; sizes differ between compilers."
)

OWN_MODEL_TYPE = "can only be loaded with edgedistill, not with transformers, optimum or transformers.js alone"

_STANDING = (
    "peak MB",
    "load ms",
    "limits",
    "front",
)
_TRAINED = ("control", "gain over control [95% CI]", "p", "training", "samples/s")


def render_markdown(results: Results) -> str:
    """Warnings, verdict, candidates, rounds, hosts."""
    metric, drop = heading(results.metric, results.direction), drop_word(results.direction)
    others = [f"{heading(other.metric, other.direction)}, test [95% CI]" for other in results.other_metrics]
    metrics = [f"{metric}, test [95% CI]", *others]
    fidelity = [results.agreement_in_words, *([] if results.decision == "answer" else [results.divergence])]
    columns = [
        "candidate",
        "MB",
        "smaller",
        *metrics,
        f"{drop}, validation [95% CI]",
        *fidelity,
        "max abs. diff.",
        *speed_names(results),
        *_STANDING,
    ]
    candidates = table(
        columns,
        [_candidate(candidate, results) for candidate in results.measured],
        text_columns=(0, columns.index("limits")),
    )
    rounds = table(
        ["model", "teacher", "parameters", *metrics, f"{drop} from teacher [95% CI]", results.as_teacher, *_TRAINED],
        [_teacher(results), *(_round(round_, results) for round_ in results.rounds)],
        text_columns=(0, 1),
    )
    parts = [
        f"# {escape(results.recipe)}",
        *([_warnings(results.warnings)] if results.warnings else []),
        _verdict(results),
        f"## Candidates\n\n{candidates}",
        *beside_fp32(results),
        *mix_searches(results),
        *by_prompt(results),
        *checks(results),
        *where_bytes_are(results.measured),
        *([_runtime_sizes(results.measured)] if runtime_sizes(results.measured) else []),
        *([_emulated(results.emulated, metric)] if results.emulated else []),
        *([_unmeasured(results.unmeasured)] if results.unmeasured else []),
        *estimates(results),
        f"## Rounds\n\n{rounds}",
        *loss_budget(results),
        *by_size(results),
        *generations(results),
        *_notes(results),
        f"Smaller: compared with the teacher's fp32 file. {results.agreement_in_words.capitalize()} and max abs. "
        "diff.: exported file against its PyTorch model, on validation. Gain: over the same student without a "
        f"teacher, paired, on test. Peak: beyond an interpreter with numpy, or an empty page. {f.DASH}: unknown, or "
        "too few runs for that percentile.",
        *_hosts(results),
    ]
    return "\n\n".join(parts) + "\n"


def _hosts(results: Results) -> list[str]:
    """The machines that measured."""
    several = len(results.hosts) > 1
    found = [
        f"Measured on{f' {name}' if several else ''}: {f.plain(host.model_dump())}."
        for name, host in results.hosts.items()
    ]
    return [escape(f"{' '.join(found)} edgedistill {results.edgedistill}.")]


def _notes(results: Results) -> list[str]:
    """Further facts on the rounds: errors, repetitions, trials, the stopping rule."""
    lines, metric = [], results.metric_in_words
    for round_ in results.rounds:
        if not round_.on_recipe_data:
            lines.append(f"{round_.id}: on its own data, where {round_.teacher} has {f.estimate(round_.own_teacher)}")
        if (errors := round_.errors) is not None:
            kinds = f"{errors.corrected} errors corrected, {errors.introduced} errors introduced"
            lines.append(f"{round_.id}: {kinds}, {errors.inherited} errors inherited")
        if round_.only_edgedistill_loads_it:
            lines.append(f"{round_.id}: `models/{round_.id}` {OWN_MODEL_TYPE}")
        if found := spread(round_, results.direction):
            gain = f"; gain over the control, {found.gain}" if found.gain else ""
            lines.append(f"{round_.id}, {metric} on test, {found.value}{gain}")
        if round_.teacher_trials:
            tried = [f"{f.plain(trial.teacher)} {f.metric(trial.value)}" for trial in round_.teacher_trials]
            lines.append(f"{round_.id}: candidate teachers, on validation: {'; '.join(tried)}")
    models: dict[str, TeacherResult | RoundResult] = {"teacher": results.teacher}
    models |= {round_.id: round_ for round_ in results.rounds if round_.on_recipe_data}
    for name, model in models.items():
        for set_name, seen in model.ood.items():
            lines.append(f"{name} on {set_name}: {metric} {f.estimate(seen.primary)}, AUROC {f.estimate(seen.auroc)}")
    if results.stop:
        lines.append(f"Stopping rule, after {results.stop.round}: {results.stop.reason}")
    return ["\n".join(f"- {escape(line)}" for line in lines)] if lines else []


def runtime_sizes(found: Sequence[CandidateResult]) -> list[tuple[str, RuntimeSizeResult]]:
    """Estimated runtime sizes, by the file they are for."""
    sizes = {
        f"{candidate.model}/{candidate.target}/{candidate.precision}": candidate.runtime_size for candidate in found
    }
    return [(name, size) for name, size in sizes.items() if size is not None]


def _runtime_sizes(found: Sequence[CandidateResult]) -> str:
    rows = [
        [
            name,
            f.megabytes(size.bytes) + (f", {', '.join(size.unknown)} in addition" if size.unknown else ""),
            f.count(size.operators),
            size.basis,
        ]
        for name, size in runtime_sizes(found)
    ]
    names = ("file", "runtime MB, estimated", "operators", "by")
    return f"### Minimal runtime builds\n\n{table(names, rows, text_columns=(0, 3))}\n\n{REDUCED}"


def _emulated(found: Sequence[EmulatedResult], metric: str) -> str:
    names = f"file, emulated runtime|processor|agreement|items|{metric}, test [95% CI]|same items here|agreement with "
    names += "here|test items|instructions per inference"
    rows = [
        [
            candidate.id,
            candidate.cpu,
            f.share(candidate.agreement_with_student),
            f"{f.count(candidate.items)} of {f.count(candidate.items_of)}",
            f.estimate(candidate.test),
            f.metric(candidate.here),
            f.share(candidate.agreement_with_here),
            f"{f.count(candidate.test_items)} of {f.count(candidate.test_items_of)}",
            f.millions(candidate.instructions_per_inference),
        ]
        for candidate in found
    ]
    return f"### Other processors, emulated\n\n{table(names.split('|'), rows, text_columns=(0, 1))}\n\n{EMULATED}"


def _unmeasured(found: Sequence[UnmeasuredResult]) -> str:
    rows = [[candidate.id, candidate.state, candidate.reason] for candidate in found]
    return f"### Not measured\n\n{table(['candidate', 'state', 'reason'], rows, text_columns=(0, 1, 2))}"


def _warnings(warnings: Sequence[str]) -> str:
    return "> [!WARNING]\n" + "\n".join(f"> - {escape(warning)}" for warning in warnings)


def _verdict(results: Results) -> str:
    found = headline(results)
    if found is None:
        return f"## Nothing to ship\n\n{escape(results.why)}"
    chosen = found.chosen
    figures = [
        f"{results.metric_in_words} {f.estimate(chosen.test)} on test "
        f"({f.metric(chosen.validation.value)} {results.comparison})",
        *speeds_in_words(chosen, results),
        f"{f.megabytes(chosen.file_bytes)} MB",
    ]
    if found.times_smaller is not None:
        figures.append(f"{f.times(found.times_smaller)} smaller")
    if found.times_faster is not None:
        figures.append(f"{f.times(found.times_faster)} faster than the teacher's fp32 file")
    return f"## Ship `{chosen.id}`\n\n**{', '.join(figures)}**\n\n{escape(results.why)}"


def _candidate(candidate: CandidateResult, results: Results) -> list[str]:
    return [
        f"**{candidate.id}**" if candidate.id == results.chosen else candidate.id,
        f.megabytes(candidate.file_bytes)
        + (f" in {len(candidate.lengths)} files" if candidate.lengths else "")
        + (
            f" ({f.megabytes(candidate.file_bytes + candidate.tokenizer_bytes)} with tokenizer)"
            if candidate.tokenizer_bytes
            else ""
        ),
        f.times(times_smaller(results, candidate)),
        *_figures(candidate, results),
        f.estimate(candidate.drop),
        f.share(candidate.agreement_with_student),
        *([] if results.decision == "answer" else [f.tiny(candidate.mean_divergence)]),
        f.tiny(candidate.max_abs_diff),
        *speed_cells(candidate, results),
        f.fixed(candidate.peak_rss_mb, 1),
        f.fixed(candidate.load_ms, 1),
        "; ".join((*(("within",) if candidate.within_limits else candidate.blocked_by), *candidate.marks)),
        "◆" if candidate.on_pareto_front else "",
    ]


def _teacher(results: Results) -> list[str]:
    teacher = results.teacher
    unknown = [f.DASH] * 5
    return [
        "teacher",
        f.DASH,
        f.parameters(teacher.parameters),
        *_figures(teacher, results),
        *unknown,
        f.duration(teacher.train_seconds),
        f.DASH,
    ]


def _figures(judged: TeacherResult | RoundResult | CandidateResult, results: Results) -> list[str]:
    """The primary metric on test, then the others."""
    others = [judged.of(other.metric) for other in results.other_metrics]
    return [f.estimate(figure) for figure in (judged.test, *others)]


def _round(round_: RoundResult, results: Results) -> list[str]:
    return [
        round_.id,
        round_.teacher,
        f.parameters(round_.parameters),
        *_figures(round_, results),
        f.estimate(round_.drop),
        f.share(round_.agreement_with_teacher),
        f.metric(None if round_.control is None else round_.control.value),
        f.gain(round_.gain),
        f.p_value(None if round_.gain is None else round_.gain.p),
        f.duration(round_.train_seconds),
        f.rate(round_.samples_per_second),
    ]
