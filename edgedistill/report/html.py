"""`report.html`: one self-contained file, in the reader's light or dark theme."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from edgedistill.contracts.metric import Direction
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import SpeedResult
from edgedistill.evaluation.results_models import RoundResult, TeacherResult
from edgedistill.evaluation.wording import drop_word, heading
from edgedistill.recipe.deployment_spec import Limits, SelectSpec
from edgedistill.report import formatting, markdown_estimates
from edgedistill.report.beside_fp32 import BESIDE_FP32, instruction_sets, quantized_files
from edgedistill.report.budget_plot import waterfall
from edgedistill.report.bytes import COLUMNS, WHERE, bytes_by_file
from edgedistill.report.headline import headline, times_faster, times_smaller
from edgedistill.report.markdown import EMULATED, OWN_MODEL_TYPE, REDUCED, runtime_sizes
from edgedistill.report.markdown_budget import budget_note
from edgedistill.report.markdown_language import checked_files
from edgedistill.report.metric_plot import metric_against_latency
from edgedistill.report.mix_search import mix_search_note, searched_files
from edgedistill.report.naming import short_names
from edgedistill.report.pace import LATENCY, Pace, paces, speed_at
from edgedistill.report.rounds_plot import metric_over_rounds
from edgedistill.report.runtimes_plot import latency_by_runtime
from edgedistill.report.spread import spread
from edgedistill.report.training_plot import training_curves
from edgedistill.store.records.models import EpochRecord
from edgedistill.system.templates import text_templates

FLIPS_SHOWN = 50
_FORMATS = (
    formatting.count,
    formatting.difference,
    formatting.difference_interval,
    formatting.duration,
    formatting.estimate,
    formatting.fixed,
    formatting.gain,
    formatting.interval,
    formatting.millions,
    formatting.megabytes,
    formatting.metric,
    formatting.milliseconds,
    formatting.p_value,
    formatting.pace,
    formatting.parameters,
    formatting.percentiles,
    formatting.plain,
    formatting.rate,
    formatting.share,
    formatting.times,
    formatting.tiny,
)


def render_html(results: Results, training: Mapping[str, Sequence[EpochRecord]], select: SelectSpec) -> str:
    """The whole page.

    Args:
        results: the run.
        training: every model's epochs, by model; a control is `ROUND-control`.
        select: the limits and the preference that the choice was made with.
    """
    environment = text_templates("edgedistill.report", escaped=True)
    environment.filters |= {function.__name__: function for function in _FORMATS}
    names = short_names(results.measured)
    models: dict[str, TeacherResult | RoundResult] = {"teacher": results.teacher}
    models |= {round_.id: round_ for round_ in results.rounds if round_.on_recipe_data}
    return environment.get_template("report.html.jinja").render(
        results=results,
        metric=results.metric_in_words,
        directed=heading(results.metric, results.direction),
        drop=drop_word(results.direction),
        others=[(other.metric, heading(other.metric, other.direction)) for other in results.other_metrics],
        headline=headline(results),
        names=names,
        smaller={candidate.id: times_smaller(results, candidate) for candidate in results.measured},
        faster={candidate.id: times_faster(results, candidate) for candidate in results.measured},
        limits=limit_sentences(select.limits, results.direction),
        preference=preference_sentence(select, results.speeds if results.prompt_tokens is not None else ()),
        plots=[
            (_pace_heading(pace), Markup(metric_against_latency(results, select.limits, pace)))
            for pace in paces(results)
        ],
        agreement=results.agreement_in_words,
        speeds=results.speeds if results.prompt_tokens is not None else (),
        speed_at=speed_at,
        shown_speeds=[(candidate, prompt) for candidate in results.measured for prompt in candidate.prompts],
        checked=checked_files(results.measured),
        models_of_sizes=list(results.by_size[0].figures) if results.by_size else [],
        runtimes_plot=Markup(latency_by_runtime(results)),
        emulation=EMULATED,
        reduced=REDUCED,
        own_model_type=OWN_MODEL_TYPE,
        rounds_plot=Markup(metric_over_rounds(results)),
        budget_note=budget_note(results),
        waterfall=Markup(waterfall(results)),
        models=models,
        generalisation=any(model.ood or model.calibration_error is not None for model in models.values()),
        spread={round_.id: spread(round_, results.direction) for round_ in results.rounds},
        training_plot=Markup(training_curves(training, results.metric, results.direction)),
        unflipped=[names.get(id_, id_) for id_, flips in results.flips.items() if not flips],
        flips_shown=FLIPS_SHOWN,
        **_about_files(results),
    )


def _about_files(results: Results) -> dict[str, object]:
    """What the template shows of the exported files besides their figures."""
    return {
        "beside_fp32": quantized_files(results),
        "beside_fp32_note": BESIDE_FP32,
        "instruction_sets": instruction_sets(results.hosts),
        "mix_searches": searched_files(results),
        "mix_search_note": mix_search_note(results),
        "estimate_columns": markdown_estimates.COLUMNS,
        "estimate_cells": markdown_estimates.estimate_cells,
        "estimates_explained": markdown_estimates.EXPLAINED,
        "runtime_sizes": runtime_sizes(results.measured),
        "sizes": bytes_by_file(results.measured),
        "sizes_columns": COLUMNS,
        "where": WHERE,
    }


def _pace_heading(pace: Pace) -> str:
    return "latency" if pace is LATENCY else pace.words.split(",")[0]


def limit_sentences(limits: Limits, direction: Direction = "higher") -> list[str]:
    """Each limit that was set."""
    written = {
        "file_mb": "file ≤ {:g} MB",
        "shipped_mb": "file and tokenizer ≤ {:g} MB",
        "p95_ms": "p95 latency ≤ {:g} ms",
        "peak_rss_mb": "peak memory ≤ {:g} MB",
        "load_ms": "load time ≤ {:g} ms",
        "ttft_ms": "time to first token ≤ {:g} ms",
        "tokens_per_s": "at least {:g} tokens/s",
        "drop": f"{drop_word(direction)} from the teacher on validation ≤ {{:g}}",
    }
    given = {name: getattr(limits, name) for name in written}
    return [written[name].format(value) for name, value in given.items() if value is not None]


def preference_sentence(select: SelectSpec, speeds: Sequence[SpeedResult] = ()) -> str:
    """The criterion among the candidates within the limits.

    Args:
        speeds: the task's own speed figures that were compared.
    """
    match select.prefer:
        case "latency":
            return "the fastest (p50) within the limits"
        case "size":
            return "the smallest file within the limits"
        case "peak_rss_mb":
            return "the least memory within the limits"
        case "ttft_ms":
            return "the shortest time to the first token (p50) within the limits"
        case "tokens_per_s":
            return "the most tokens per second (p50) within the limits"
        case _:
            fastest = f"best {speeds[-1].words}" if speeds else "lowest p50"
            tie = f"; those within {select.tie:g} of it count as equal, and the {fastest} of them wins"
            return "the best validation metric within the limits" + (tie if select.tie else "")
