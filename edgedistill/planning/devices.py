"""Plans what is done with models: evaluate, make files, verify, judge; then measure, choose, report."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill import plugins
from edgedistill.candidates import Candidate, counted, possible, timed
from edgedistill.recipe import Calibration, Round
from edgedistill.sources import pinned
from edgedistill.steps import (
    bundle,
    choose,
    emulate,
    evaluate,
    judge_round,
    make_file,
    measure,
    prepare_elsewhere,
    report,
    verify,
)

from .draft import Draft, arms


def plan_evaluation(draft: Draft, model: str, tokens_of: str) -> None:
    """Logits of a model on validation and, apart, on what nothing is chosen by: test and the sets from elsewhere.

    `tokens_of` is the model whose tokens it reads.
    """
    own = any(each.id == tokens_of and each.data is not None for each in draft.recipe.rounds)
    chosen_by = evaluate.Settings(task=draft.recipe.task, split="validation")
    inputs = {**draft.reading(tokens_of, "validation"), "model": model}
    draft.steps.add(f"evaluate-{model}", "evaluate", chosen_by, inputs, f"logits of {model} on validation")
    ood = () if own else tuple(draft.recipe.evaluate.ood)
    tested = evaluate.Settings(task=draft.recipe.task, split="test", ood=ood)
    inputs = {**draft.reading(tokens_of, "test"), "model": model}
    if ood:
        inputs["elsewhere"] = _plan_elsewhere(draft, draft.data_of[tokens_of])
    draft.steps.add(f"test-{model}", "evaluate", tested, inputs, f"logits of {model} on {', '.join(('test', *ood))}")


def _plan_elsewhere(draft: Draft, tokens: str) -> str:
    """The sets from elsewhere in the tokens of a data step; once for all models that read those."""
    sets = {name: pinned(source) for name, source in draft.recipe.evaluate.ood.items()}
    settings = prepare_elsewhere.Settings(task=draft.recipe.task.type, ood=sets, content=draft.sources.ood)
    names = ", ".join(settings.ood)
    identity = [settings.task, dict(draft.sources.ood)]
    name = "elsewhere" + tokens.removeprefix("data")
    return draft.steps.add(name, "prepare_elsewhere", settings, {"data": tokens}, f"read and check {names}", identity)


def plan_files(draft: Draft, rows: Sequence[Candidate]) -> None:
    """Make the files of these candidates, and verify each under its runtime. What fails here costs the candidate."""
    recipe = draft.recipe
    for row in possible(rows):
        if row.emulated:
            _plan_emulation(draft, row)
            continue
        settings = verify.Settings(
            task=recipe.task, runtime=row.runtime, timeout_minutes=recipe.measure.timeout_minutes
        )
        file = _plan_file(draft, row.model, row.target, row.precision)
        draft.steps.add(
            f"verify-{row.verify_key}",
            "verify",
            settings,
            {**draft.reading(row.model, "validation"), "file": file, "reference": f"evaluate-{row.model}"},
            f"{row.model} {row.target} {row.precision} under {row.runtime} against torch, on validation",
            settings.model_dump(mode="json", exclude={"timeout_minutes"}),
            optional=True,
            tools=draft.sources.runtimes.get(row.runtime),
        )


def _plan_emulation(draft: Draft, row: Candidate) -> None:
    """Run a file on another processor's kernels: what it answers, and what that costs in instructions."""
    measured = draft.recipe.measure
    settings = emulate.Settings(
        task=draft.recipe.task,
        runtime=row.runtime,
        emulation=measured.emulation,
        length=None if measured.lengths == "as_is" else measured.lengths,
        timeout_minutes=measured.timeout_minutes,
    )
    draft.steps.add(
        f"emulate-{row.verify_key}",
        "emulate",
        settings,
        {
            **draft.reading(row.model, "validation", "test"),
            "file": _plan_file(draft, row.model, row.target, row.precision),
            "reference": f"evaluate-{row.model}",
        },
        f"{row.model} {row.target} {row.precision} under {row.runtime}: answers and instructions",
        settings.model_dump(mode="json", exclude={"timeout_minutes"}),
        optional=True,
        tools=draft.sources.runtimes.get(row.runtime),
    )


def _plan_file(draft: Draft, model: str, target: str, precision: str) -> str:
    """The making of one target's files in one precision, after that of the files that they are made of."""
    recipe, exporter = draft.recipe, plugins.target(target)
    how = exporter.precisions[precision]
    asked = next((each.calibration for each in recipe.quantize if each.precision == precision), None)
    settings = make_file.Settings(
        task=recipe.task.type,
        target=target,
        precision=precision,
        buckets=recipe.export.buckets if exporter.fixed_shapes else None,
        calibration=(asked or Calibration()) if how.calibrated else None,
        timeout_minutes=recipe.export.timeout_minutes,
    )
    seen = {"validation", settings.calibration.from_} if settings.calibration is not None else {"validation"}
    inputs = {**draft.reading(model, *sorted(seen)), "model": model}
    origin = model
    if how.made_of is not None:
        inputs["source"] = _plan_file(draft, model, *how.made_of)
        origin = f"{model}'s {' '.join(how.made_of)}"
    return draft.steps.add(
        f"file-{model}-{target}-{precision}",
        "make_file",
        settings,
        inputs,
        f"{target} {precision} of {origin}",
        [settings.model_dump(mode="json", exclude={"timeout_minutes"}), exporter.version, how.version],
        optional=True,
    )


def plan_judgement(draft: Draft, each: Round, rows: Sequence[Candidate]) -> None:
    """After a round: is the drop real, are the limits met, does the run go on."""
    recipe = draft.recipe
    assert recipe.stop is not None
    rows = timed(rows)
    settings = judge_round.Settings(
        task=recipe.task, round=each.id, stop=recipe.stop, limits=recipe.select.limits, candidates=rows
    )
    inputs = {
        **draft.reading("teacher", "validation"),
        "teacher": "evaluate-teacher",
        "student": f"evaluate-{each.id}",
    }
    inputs |= {f"file:{row.file_key}": f"file-{row.file_key}" for row in rows}
    inputs |= {f"verify:{row.verify_key}": f"verify-{row.verify_key}" for row in rows}
    draft.steps.add(f"judge-{each.id}", "judge_round", settings, inputs, "is the drop real, are the limits met")


def plan_closing(draft: Draft, rows: Sequence[Candidate]) -> None:
    """Measure all candidates together, choose, report, bundle what was chosen."""
    recipe = draft.recipe
    every, emulated, rows = tuple(rows), counted(rows), timed(rows)
    files = {f"file:{row.file_key}": f"file-{row.file_key}" for row in rows}
    verified = {f"verify:{row.verify_key}": f"verify-{row.verify_key}" for row in rows}
    emulations = {f"emulate:{row.verify_key}": f"emulate-{row.verify_key}" for row in emulated}
    emulations |= {f"file:{row.file_key}": f"file-{row.file_key}" for row in emulated}
    evaluated = {step.name.replace("-", ":", 1): step.name for step in draft.steps.ordered if step.kind == "evaluate"}
    models = {f"model:{name.split(':', 1)[1]}": name.split(":", 1)[1] for name in evaluated}
    models_measured = dict.fromkeys(row.model for row in rows)
    tested: dict[str, str] = {}
    golden: dict[str, str] = {}
    for model in models_measured:
        tested |= draft.reading(model, "test", role=f"data:{model}")
        golden |= draft.reading(model, "validation", role=f"data:{model}")
    made = {step.name for step in draft.steps.ordered}
    recorded = {
        f"logits:{teacher}:train": name
        for each in recipe.rounds
        for teacher in each.teachers()
        if (name := f"logits-{teacher}-train") in made
    }
    decided = {f"choice:{each.id}": name for each in recipe.rounds if (name := f"{each.id}-teacher") in made}
    judged = {f"judge:{each.id}": name for each in recipe.rounds if (name := f"judge-{each.id}") in made}
    own: dict[str, str] = {}
    for each in recipe.rounds:
        if each.data is not None:
            own |= draft.reading(each.id, "validation", "test", role=f"data:{each.id}")
    measured = measure.Settings(task=recipe.task, measure=recipe.measure, candidates=rows)
    draft.steps.add(
        "measure",
        "measure",
        measured,
        {**tested, **files, **verified},
        f"accuracy, latency and memory of {len(rows)} candidates, interleaved",
        measured.model_dump(mode="json", exclude={"measure": {"timeout_minutes", "runtimes", "emulation"}}),
        tools={
            "host": dict(draft.sources.host),
            **{row.runtime: draft.sources.runtimes.get(row.runtime) for row in rows},
        },
    )
    draft.steps.add(
        "choose",
        "choose",
        choose.Settings(
            task=recipe.task,
            select=recipe.select,
            min_agreement=recipe.verify.min_agreement,
            candidates=rows,
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
            candidates=every,
            select=recipe.select,
            ood=tuple(recipe.evaluate.ood),
        ),
        {
            **draft.reading("teacher", *recipe.data.splits()),
            "measure": "measure",
            "choose": "choose",
            **models,
            **evaluated,
            **verified,
            **files,
            **emulations,
            **recorded,
            **decided,
            **judged,
            **own,
            **({"elsewhere": "elsewhere"} if recipe.evaluate.ood else {}),
        },
        "results.json, report.md, report.html",
    )
    draft.steps.add(
        "bundle",
        "bundle",
        bundle.Settings(
            task=recipe.task.type,
            candidates=rows,
            provenance=draft.sources.provenance,
            length=None if recipe.measure.lengths == "as_is" else recipe.measure.lengths,
        ),
        {
            "report": "report",
            **golden,
            **{f"model:{row.model}": row.model for row in rows},
            **files,
            **verified,
        },
        "the chosen candidate as a folder that tests itself",
    )
