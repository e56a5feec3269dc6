"""Plans what is done with models: evaluate, export, quantize, verify, judge; then measure, choose, report."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill import plugins
from edgedistill.candidates import Candidate
from edgedistill.recipe import Round
from edgedistill.steps import choose, evaluate, export, judge_round, measure, quantize, report, verify

from .draft import Draft, arms


def plan_evaluation(draft: Draft, model: str, tokens_of: str) -> None:
    """Logits of a model on validation and test; `tokens_of` is the model whose tokens it reads."""
    own = any(each.id == tokens_of and each.data is not None for each in draft.recipe.rounds)
    settings = evaluate.Settings(task=draft.recipe.task, ood=() if own else tuple(draft.recipe.evaluate.ood))
    reading = {"data": draft.data_of[tokens_of], "model": model}
    draft.steps.add(f"evaluate-{model}", "evaluate", settings, reading, f"logits of {model} on validation and test")


def plan_files(draft: Draft, rows: Sequence[Candidate]) -> None:
    """Export, quantize and verify every file of these candidates."""
    for row in rows:
        exporter, quantizer = plugins.find("exporters", row.target), plugins.find("quantizers", row.precision)
        data = draft.data_of[row.round]
        exported = export.Settings(task=draft.recipe.task.type, target=row.target)
        export_name = draft.steps.add(
            f"export-{row.round}-{row.target}",
            "export",
            exported,
            {"data": data, "model": row.round},
            f"export {row.round} to {row.target}",
            [exported.model_dump(mode="json"), exporter.VERSION],
        )
        quantized = quantize.Settings(precision=row.precision, target=row.target)
        file_name = draft.steps.add(
            f"quantize-{row.file_key}",
            "quantize",
            quantized,
            {"export": export_name},
            f"make {row.precision}",
            [quantized.model_dump(mode="json"), quantizer.VERSION],
        )
        draft.steps.add(
            f"verify-{row.verify_key}",
            "verify",
            verify.Settings(task=draft.recipe.task, runtime=row.runtime),
            {"data": data, "file": file_name, "reference": f"evaluate-{row.round}"},
            f"{row.round} {row.precision} under {row.runtime} against torch, on validation",
        )


def plan_judgement(draft: Draft, each: Round, rows: Sequence[Candidate]) -> None:
    """After a round: is the drop real, are the limits met, does the run go on."""
    recipe = draft.recipe
    assert recipe.stop is not None
    settings = judge_round.Settings(
        task=recipe.task, round=each.id, stop=recipe.stop, limits=recipe.select.limits, candidates=tuple(rows)
    )
    inputs = {"data": "data", "teacher": "evaluate-teacher", "student": f"evaluate-{each.id}"}
    inputs |= {f"file:{row.file_key}": f"quantize-{row.file_key}" for row in rows}
    inputs |= {f"verify:{row.verify_key}": f"verify-{row.verify_key}" for row in rows}
    draft.steps.add(f"judge-{each.id}", "judge_round", settings, inputs, "is the drop real, are the limits met")


def plan_closing(draft: Draft, rows: Sequence[Candidate]) -> None:
    """Measure all candidates together, choose, report."""
    recipe = draft.recipe
    candidates = tuple(rows)
    files = {f"file:{row.file_key}": f"quantize-{row.file_key}" for row in rows}
    verified = {f"verify:{row.verify_key}": f"verify-{row.verify_key}" for row in rows}
    evaluated = {step.name.replace("-", ":", 1): step.name for step in draft.steps.ordered if step.kind == "evaluate"}
    models = {f"model:{name.split(':', 1)[1]}": name.split(":", 1)[1] for name in evaluated}
    tokens = {f"data:{row.round}": draft.data_of[row.round] for row in rows}
    made = {step.name for step in draft.steps.ordered}
    recorded = {
        f"logits:{teacher}:train": name
        for each in recipe.rounds
        for teacher in each.teachers()
        if (name := f"logits-{teacher}-train") in made
    }
    decided = {f"choice:{each.id}": name for each in recipe.rounds if (name := f"{each.id}-teacher") in made}
    judged = {f"judge:{each.id}": name for each in recipe.rounds if (name := f"judge-{each.id}") in made}
    own = {f"data:{each.id}": f"data-{each.id}" for each in recipe.rounds if each.data is not None}
    draft.steps.add(
        "measure",
        "measure",
        measure.Settings(task=recipe.task, measure=recipe.measure, candidates=candidates),
        {**tokens, **files},
        f"accuracy, latency and memory of {len(rows)} candidates, interleaved",
    )
    draft.steps.add(
        "choose",
        "choose",
        choose.Settings(
            task=recipe.task,
            select=recipe.select,
            min_agreement=recipe.verify.min_agreement,
            candidates=candidates,
        ),
        {"measure": "measure", "evaluate:teacher": "evaluate-teacher", **verified},
        "apply the limits",
    )
    draft.steps.add(
        "report",
        "report",
        report.Settings(
            recipe=recipe.name,
            task=recipe.task,
            rounds=recipe.rounds,
            seeds=tuple(arm.seed for arm in arms(recipe)),
            candidates=candidates,
            select=recipe.select,
            ood=tuple(recipe.evaluate.ood),
        ),
        {
            "data": "data",
            "measure": "measure",
            "choose": "choose",
            **models,
            **evaluated,
            **verified,
            **files,
            **recorded,
            **decided,
            **judged,
            **own,
        },
        "results.json, report.md, report.html",
    )
