"""`report.md`: the same facts as GitHub markdown."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.evaluation.results import (
    CandidateResult,
    EmulatedResult,
    Results,
    RoundResult,
    RuntimeSizeResult,
    TeacherResult,
    UnmeasuredResult,
)
from edgedistill.evaluation.wording import drop_word, heading
from edgedistill.report import formatting as f
from edgedistill.report.headline import headline, times_smaller
from edgedistill.report.markdown_language import by_size, checks, generations
from edgedistill.report.markdown_speeds import by_prompt, speed_cells, speed_names, speeds_in_words
from edgedistill.report.markdown_text import escape, table
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
    others = [f"{heading(each.metric, each.direction)}, test [95% CI]" for each in results.other_metrics]
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
        [_candidate(each, results) for each in results.measured],
        text_columns=(0, columns.index("limits")),
    )
    rounds = table(
        ["model", "teacher", "parameters", *metrics, f"{drop} from teacher [95% CI]", results.as_teacher, *_TRAINED],
        [_teacher(results), *(_round(each, results) for each in results.rounds)],
        text_columns=(0, 1),
    )
    parts = [
        f"# {escape(results.recipe)}",
        *([_warnings(results.warnings)] if results.warnings else []),
        _verdict(results),
        f"## Candidates\n\n{candidates}",
        *by_prompt(results),
        *checks(results),
        *([_runtime_sizes(results.measured)] if runtime_sizes(results.measured) else []),
        *([_emulated(results.emulated, metric)] if results.emulated else []),
        *([_unmeasured(results.unmeasured)] if results.unmeasured else []),
        f"## Rounds\n\n{rounds}",
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
    for each in results.rounds:
        if not each.on_recipe_data:
            lines.append(f"{each.id}: on its own data, where {each.teacher} has {f.estimate(each.own_teacher)}")
        if (errors := each.errors) is not None:
            kinds = f"{errors.corrected} errors corrected, {errors.introduced} errors introduced"
            lines.append(f"{each.id}: {kinds}, {errors.inherited} errors inherited")
        if each.only_edgedistill_loads_it:
            lines.append(f"{each.id}: `models/{each.id}` {OWN_MODEL_TYPE}")
        if found := spread(each, results.direction):
            gain = f"; gain over the control, {found.gain}" if found.gain else ""
            lines.append(f"{each.id}, {metric} on test, {found.value}{gain}")
        if each.teacher_trials:
            tried = [f"{f.plain(trial.teacher)} {f.metric(trial.value)}" for trial in each.teacher_trials]
            lines.append(f"{each.id}: candidate teachers, on validation: {'; '.join(tried)}")
    models: dict[str, TeacherResult | RoundResult] = {"teacher": results.teacher}
    models |= {each.id: each for each in results.rounds if each.on_recipe_data}
    for name, model in models.items():
        for set_name, seen in model.ood.items():
            lines.append(f"{name} on {set_name}: {metric} {f.estimate(seen.primary)}, AUROC {f.estimate(seen.auroc)}")
    if results.stop:
        lines.append(f"Stopping rule, after {results.stop.round}: {results.stop.reason}")
    return ["\n".join(f"- {escape(line)}" for line in lines)] if lines else []


def runtime_sizes(found: Sequence[CandidateResult]) -> list[tuple[str, RuntimeSizeResult]]:
    """Estimated runtime sizes, by the file they are for."""
    sizes = {f"{each.model}/{each.target}/{each.precision}": each.runtime_size for each in found}
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
            each.id,
            each.cpu,
            f.share(each.agreement_with_student),
            f"{f.count(each.items)} of {f.count(each.items_of)}",
            f.estimate(each.test),
            f.metric(each.here),
            f.share(each.agreement_with_here),
            f"{f.count(each.test_items)} of {f.count(each.test_items_of)}",
            f.millions(each.instructions_per_inference),
        ]
        for each in found
    ]
    return f"### Other processors, emulated\n\n{table(names.split('|'), rows, text_columns=(0, 1))}\n\n{EMULATED}"


def _unmeasured(found: Sequence[UnmeasuredResult]) -> str:
    rows = [[each.id, each.state, each.reason] for each in found]
    return f"### Not measured\n\n{table(['candidate', 'state', 'reason'], rows, text_columns=(0, 1, 2))}"


def _warnings(warnings: Sequence[str]) -> str:
    return "> [!WARNING]\n" + "\n".join(f"> - {escape(each)}" for each in warnings)


def _verdict(results: Results) -> str:
    found = headline(results)
    if found is None:
        return f"## Nothing to ship\n\n{escape(results.why)}"
    chosen = found.chosen
    figures = [
        f"{results.metric_in_words} {f.estimate(chosen.test)} on test",
        *speeds_in_words(chosen, results),
        f"{f.megabytes(chosen.file_bytes)} MB",
    ]
    if found.times_smaller is not None:
        figures.append(f"{f.times(found.times_smaller)} smaller")
    if found.times_faster is not None:
        figures.append(f"{f.times(found.times_faster)} faster than the teacher's fp32 file")
    return f"## Ship `{chosen.id}`\n\n**{', '.join(figures)}**\n\n{escape(results.why)}"


def _candidate(each: CandidateResult, results: Results) -> list[str]:
    return [
        f"**{each.id}**" if each.id == results.chosen else each.id,
        f.megabytes(each.file_bytes)
        + (f" in {len(each.lengths)} files" if each.lengths else "")
        + (f" ({f.megabytes(each.file_bytes + each.tokenizer_bytes)} with tokenizer)" if each.tokenizer_bytes else ""),
        f.times(times_smaller(results, each)),
        *_figures(each, results),
        f.estimate(each.drop),
        f.share(each.agreement_with_student),
        *([] if results.decision == "answer" else [f.tiny(each.mean_divergence)]),
        f.tiny(each.max_abs_diff),
        *speed_cells(each, results),
        f.fixed(each.peak_rss_mb, 1),
        f.fixed(each.load_ms, 1),
        "within" if each.within_limits else "; ".join(each.blocked_by),
        "◆" if each.on_pareto_front else "",
    ]


def _teacher(results: Results) -> list[str]:
    each = results.teacher
    unknown = [f.DASH] * 5
    return [
        "teacher",
        f.DASH,
        f.parameters(each.parameters),
        *_figures(each, results),
        *unknown,
        f.duration(each.train_seconds),
        f.DASH,
    ]


def _figures(each: TeacherResult | RoundResult | CandidateResult, results: Results) -> list[str]:
    """The primary metric on test, then the others."""
    others = [each.of(other.metric) for other in results.other_metrics]
    return [f.estimate(figure) for figure in (each.test, *others)]


def _round(each: RoundResult, results: Results) -> list[str]:
    return [
        each.id,
        each.teacher,
        f.parameters(each.parameters),
        *_figures(each, results),
        f.estimate(each.drop),
        f.share(each.agreement_with_teacher),
        f.metric(None if each.control is None else each.control.value),
        f.gain(each.gain),
        f.p_value(None if each.gain is None else each.gain.p),
        f.duration(each.train_seconds),
        f.rate(each.samples_per_second),
    ]
