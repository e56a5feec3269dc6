"""The model card of a bundle: what it is, its lineage, figures, losses, limits and licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgedistill.contracts.metric import signed
from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.results_figures import Difference, Estimate
from edgedistill.evaluation.wording import heading
from edgedistill.store.provenance import Provenance


@dataclass(frozen=True)
class CardFacts:
    """The contents of the card."""

    results: Results
    row: CandidateResult
    task: str
    labels: Sequence[str]
    columns: Sequence[str]
    """Columns of the data that the task reads."""
    max_length: int | None
    """In tokens; None for a task without them."""
    provenance: Sequence[Provenance]
    golden: int
    """Number of golden inputs."""
    context: int | None = None
    """Tokens of prompt and continuation together, for a model that generates text; it does not truncate texts."""


def render_card(facts: CardFacts) -> str:
    """`MODEL_CARD.md`."""
    from edgedistill.system.templates import text_templates

    results, row = facts.results, facts.row
    given = ", ".join(facts.columns)
    if facts.context is not None:
        given += f", with the continuation at most {facts.context} tokens"
    elif facts.max_length is not None:
        given += f", truncated to {facts.max_length} tokens"
    host = results.hosts[row.host]
    template = text_templates("edgedistill.bundling").get_template("card.md.jinja")
    return template.render(
        results=results,
        row=row,
        files=[file.removeprefix(f"models/{row.model}/") for file in row.files],
        task=facts.task,
        labels=facts.labels,
        given=given,
        lineage=_lineage(facts),
        data=", ".join(f"{count} examples of {name}" for name, count in results.data.examples.items()),
        losses=_losses(facts),
        limits=_limits(facts),
        machine=host.place,
        versions=", ".join(f"{name} {number}" for name, number in host.versions.items()) or "unknown",
        provenance=facts.provenance,
        golden=facts.golden,
        mb=lambda size: f"{size / 1e6:.2f}",
        ms=lambda value: "unknown" if value is None else f"{value:.2f} ms",
        metric=heading(results.metric, results.direction),
        estimate=_estimate,
        cell=lambda text: text.replace("|", "\\|"),
    )


def _lineage(facts: CardFacts) -> list[str]:
    """The teacher and the rounds up to this candidate's."""
    known = {entry.role: entry for entry in facts.provenance}
    teacher = known.get("teacher")
    lines = [f"Teacher: {teacher.name if teacher is not None else 'trained from scratch on the training data'}."]
    for round_ in facts.results.rounds:
        if facts.row.model == "teacher":
            break
        start = known.get(f"student {round_.id}")
        origin = f" (initialised from {start.name})" if start is not None else ""
        lines.append(
            f"Round {round_.id}: a `{round_.student}` student{origin} with {round_.parameters:,} parameters, "
            f"distilled from {round_.teacher}."
        )
        if round_.id == facts.row.model:
            break
    lines.append(f"Exported to {facts.row.target} in {facts.row.precision}.")
    return lines


def _losses(facts: CardFacts) -> list[str]:
    row, results = facts.row, facts.results
    metric = heading(results.metric, results.direction)
    lines = [
        f"Compared with the teacher: {row.test.value - results.teacher.test.value:+.4f} {metric} on test "
        f"({_change(row.drop, results)} on validation, used for the choice)."
    ]
    own = next((round_ for round_ in results.rounds if round_.id == row.model), None)
    if own is not None:
        low, high = sorted(signed(0.0 - end, results.direction) for end in own.drop.interval or (0.0, 0.0))
        lines.append(
            f"Of which distillation: {_change(own.drop, results)} (95% paired interval of the difference: "
            f"[{low:+.4f}, {high:+.4f}])."
        )
        if own.gain is not None and own.gain.interval is not None:
            low, high = own.gain.interval
            better = "" if results.direction == "higher" else ", positive is better"
            lines.append(
                f"Compared with the same student trained without a teacher: a gain of {own.gain.value:+.4f} "
                f"[{low:+.4f}, {high:+.4f}]{better}."
            )
    lines.append(
        f"On validation this file gives the same answers as its PyTorch model on {row.agreement_with_student:.2%}; its "
        f"outputs differ by {row.max_abs_diff:.3g} at most."
    )
    return lines


def _limits(facts: CardFacts) -> list[str]:
    row = facts.row
    closed = f"It always predicts one of its {len(facts.labels)} labels; there is no out-of-scope class."
    lines = [
        *([closed] if facts.labels else []),
        "It was tested on data similar to its training data; on other data it may perform worse"
        + ("" if _ood(facts) is None else f" ({_ood(facts)})")
        + ".",
        "Latency and memory apply to the machine named above; other processors will differ, and int8 arithmetic may "
        "differ in its last digits. Measure it on the device where it will run.",
    ]
    own = next((round_ for round_ in facts.results.rounds if round_.id == row.model), None)
    if own is not None and own.only_edgedistill_loads_it:
        lines.append(
            "`config.json` has a model type specific to edgedistill: transformers, optimum and transformers.js "
            f"cannot load this folder; the model file itself only needs {row.runtime}."
        )
    if facts.context is not None:
        lines.append(
            f"Prompt and continuation have at most {facts.context} tokens together; the figures above are of texts in "
            f"pieces of {facts.max_length} tokens."
        )
    elif facts.max_length is not None:
        lines.insert(bool(facts.labels), f"Only the first {facts.max_length} tokens of a text are used.")
    if row.blocked_by:
        lines.append("The run does not accept it: " + "; ".join(row.blocked_by) + ".")
    if not row.within_limits or facts.results.chosen != row.id:
        lines.append(f"This is not the candidate the run chose; the run chose {facts.results.chosen or 'nothing'}.")
    return lines + [f"Warning from the run: {warning}" for warning in facts.results.warnings]


def _ood(facts: CardFacts) -> str | None:
    own = next((round_ for round_ in facts.results.rounds if round_.id == facts.row.model), None)
    sets = (own.ood if own is not None else facts.results.teacher.ood).items()
    shown = [
        f"{name}: " + ", ".join(f"{what} {found.value:.4f}" for what, found in figures if found is not None)
        for name, result in sets
        for figures in [((facts.results.metric, result.primary), ("AUROC", result.auroc))]
    ]
    return "; ".join(shown) or None


def _change(drop: Difference, results: Results) -> str:
    """The metric minus the teacher's, whatever its direction."""
    return f"{0.0 - signed(drop.value, results.direction):+.4f}"


def _estimate(found: Estimate) -> str:
    ends = found.interval
    return f"{found.value:.4f}" + ("" if ends is None else f" [{ends[0]:.4f}, {ends[1]:.4f}]")
