"""Plans the steps after training: evaluate, export, verify, judge; then measure, choose, report."""

from __future__ import annotations

from collections.abc import Sequence

from edgedistill.contracts import registry
from edgedistill.contracts.precision import BLOCK
from edgedistill.data.fingerprint import pinned
from edgedistill.exporting.candidates import (
    Candidate,
    emulated_candidates,
    makeable_candidates,
    native_candidates,
    runtimes_of,
)
from edgedistill.planning.draft import Draft, arms
from edgedistill.planning.outputs import Outputs
from edgedistill.recipe.quantization import Calibration, QuantizeSpec, SearchSpec
from edgedistill.recipe.round_spec import Round
from edgedistill.recipe.schema import projected
from edgedistill.steps.kinds import (
    bundle,
    choose,
    emulate,
    evaluate,
    judge_round,
    make_file,
    measure,
    prepare_ood,
    report,
    search_mix,
    verify,
)
from edgedistill.steps.kinds.choose import Chosen
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.closing import Bundled, Reported
from edgedistill.store.records.data import TokenisedData
from edgedistill.store.records.files import FileId, MadeFiles, Measured, SearchedFiles, Verified, VerifyId


def plan_evaluation(draft: Draft, model: str, tokens_of: str) -> None:
    """Logits of a model on validation and, separately, on the sets that play no part in choices: test and
    out-of-distribution.

    `tokens_of` is the model whose tokenizer it uses.
    """
    own = any(round_.id == tokens_of and round_.data is not None for round_ in draft.recipe.rounds)
    ood = () if own else tuple(draft.recipe.evaluate.ood)
    made = draft.models[model]
    draft.evaluated[model] = draft.steps.add(
        f"evaluate-{model}",
        evaluate.KIND,
        evaluate.Settings(task=draft.task, split="validation", compute=draft.recipe.compute),
        evaluate.Inputs(draft.reading(tokens_of, "validation"), made),
        f"logits of {model} on validation",
    )
    ood_data = _plan_ood(draft, draft.data[tokens_of]) if ood else None
    draft.tested[model] = draft.steps.add(
        f"test-{model}",
        evaluate.KIND,
        evaluate.Settings(task=draft.task, split="test", ood=ood, compute=draft.recipe.compute),
        evaluate.Inputs(draft.reading(tokens_of, "test"), made, ood_data),
        f"logits of {model} on {', '.join(('test', *ood))}",
    )


def _plan_ood(draft: Draft, data: DataInputs) -> Artifact[TokenisedData]:
    """The out-of-distribution sets, encoded as in a data step; shared by all models with that tokenizer."""
    sets = draft.recipe.evaluate.ood
    settings = prepare_ood.Settings(
        task=draft.unjudged_task,
        ood={name: pinned(source) for name, source in sets.items()},
        content={name: draft.sources.fingerprints[source] for name, source in sets.items()},
    )
    name = "ood" + data.base.step.removeprefix("data")
    inputs = prepare_ood.Inputs(data.reading())
    return draft.steps.add(name, prepare_ood.KIND, settings, inputs, f"read and check {', '.join(sets)}")


def plan_files(draft: Draft, candidates: Sequence[Candidate]) -> None:
    """Export the files of these candidates, and verify each under its runtime. A failure only drops the candidate."""
    recipe = draft.recipe
    for row in makeable_candidates(candidates):
        if row.emulated:
            _plan_emulation(draft, row)
            continue
        file = _plan_file(draft, row.file_key)
        draft.verified[row.verify_key] = draft.steps.add(
            f"verify-{row.verify_key}",
            verify.KIND,
            verify.Settings(task=draft.task, runtime=row.runtime, timeout_minutes=recipe.measure.timeout_minutes),
            verify.Inputs(draft.reading(row.model, "validation"), file, draft.evaluated[row.model]),
            f"{row.model} {row.target} {row.precision} under {row.runtime} against PyTorch, on validation",
            optional=True,
        )


def _plan_emulation(draft: Draft, row: Candidate) -> None:
    """Run a file with another processor's kernels: its predictions, and their cost in instructions."""
    measured = draft.recipe.measure
    settings = emulate.Settings(
        task=draft.task,
        runtime=row.runtime,
        emulation=measured.emulation,
        length=None if measured.lengths == "as_is" else measured.lengths,
        timeout_minutes=measured.timeout_minutes,
    )
    data = draft.reading(row.model, "validation", "test")
    draft.emulated[row.verify_key] = draft.steps.add(
        f"emulate-{row.verify_key}",
        emulate.KIND,
        settings,
        emulate.Inputs(data, _plan_file(draft, row.file_key), draft.evaluated[row.model]),
        f"{row.model} {row.target} {row.precision} under {row.runtime}: predictions and instructions",
        optional=True,
    )


def _plan_file(draft: Draft, wanted: FileId) -> Artifact[MadeFiles]:
    """Export one target's files in one precision, after the files they are made from."""
    if wanted in draft.files:
        return draft.files[wanted]
    recipe, (model, target, precision) = draft.recipe, wanted
    exporter = registry.target(target)
    how = exporter.precision(precision)
    assert how is not None, "others are refused"
    # The recipe need not list the precision that others are made from.
    unlisted = QuantizeSpec(precision=precision)
    asked = next((quantize for quantize in recipe.quantize if quantize.id == precision), unlisted)
    settings = make_file.Settings(
        task=recipe.task.type,
        target=target,
        precision=precision,
        buckets=recipe.export.buckets if exporter.fixed_shapes else None,
        calibration=(asked.calibration or Calibration()) if how.calibrated or asked.calibrated_parts else None,
        timeout_minutes=recipe.export.timeout_minutes,
        parts=asked.parts,
        block=(asked.block or BLOCK) if asked.parts_in_blocks else None,
    )
    if asked.search is not None:
        return _plan_search(draft, wanted, settings, asked.search)
    seen = {"validation", settings.calibration.from_} if settings.calibration is not None else {"validation"}
    source = _plan_file(draft, FileId(model, *how.made_of)) if how.made_of is not None else None
    origin = model if how.made_of is None else f"{model}'s {' '.join(how.made_of)}"
    draft.files[wanted] = draft.steps.add(
        f"file-{wanted}",
        make_file.KIND,
        settings,
        make_file.Inputs(draft.reading(model, *sorted(seen)), draft.models[model], source),
        f"{target} {precision} of {origin}",
        optional=True,
    )
    return draft.files[wanted]


def _plan_search(draft: Draft, wanted: FileId, file: make_file.Settings, search: SearchSpec) -> Artifact[SearchedFiles]:
    """Search a mix, with the target's first runtime that is not emulated."""
    how = registry.target(wanted.target).precision(wanted.precision)
    assert how is not None, "others are refused"
    assert how.made_of is not None, "mixes are made from another file"
    source = _plan_file(draft, FileId(wanted.model, *how.made_of))
    runtimes = (*runtimes_of(wanted.target, draft.recipe), *registry.target(wanted.target).runtimes)
    settings = search_mix.Settings(
        task=draft.task,
        file=file,
        search=search,
        runtime=next(name for name in runtimes if registry.runtime(name).packages.emulated is None),
        timeout_minutes=draft.recipe.measure.timeout_minutes,
    )
    found = draft.steps.add(
        f"file-{wanted}",
        search_mix.TIMED if search.prefer == "latency" else search_mix.KIND,
        settings,
        make_file.Inputs(draft.reading(wanted.model, "validation"), draft.models[wanted.model], source),
        f"search the mix {wanted.precision} of {wanted.model}, with at most {search.trials} files",
        optional=True,
    )
    draft.files[wanted] = draft.searched[wanted] = found
    return found


def plan_judgement(draft: Draft, round_: Round, candidates: Sequence[Candidate]) -> None:
    """After a round: is the drop significant, are the limits met, does the run continue."""
    recipe = draft.recipe
    assert recipe.stop is not None
    native = native_candidates(candidates)
    settings = judge_round.Settings(
        task=draft.task,
        round=round_.id,
        stop=recipe.stop,
        limits=recipe.select.limits,
        min_agreement=recipe.verify.min_agreement,
        candidates=native,
    )
    inputs = judge_round.Inputs(
        data=draft.reading("teacher", "validation"),
        student_data=draft.reading(round_.id, "validation"),
        teacher=draft.evaluated["teacher"],
        student=draft.evaluated[round_.id],
        files=_files(draft, native),
        verified=_verified(draft, native),
    )
    summary = "test the drop and the limits"
    draft.judged[round_.id] = draft.steps.add(f"judge-{round_.id}", judge_round.KIND, settings, inputs, summary)


def plan_closing(draft: Draft, every: Sequence[Candidate]) -> Outputs:
    """Measure all candidates together, choose, report, and bundle the chosen one."""
    recipe, rows = draft.recipe, native_candidates(every)
    measured = _plan_measuring(draft, rows)
    chosen = draft.steps.add(
        "choose",
        choose.KIND,
        choose.Settings(
            task=draft.task, select=recipe.select, min_agreement=recipe.verify.min_agreement, candidates=rows
        ),
        choose.Inputs(
            measured,
            draft.evaluated["teacher"],
            _verified(draft, rows),
            {row.file_key: draft.searched[row.file_key] for row in rows if row.file_key in draft.searched},
        ),
        "apply the limits",
    )
    inputs = _reported(draft, every, measured, chosen)
    reported = draft.steps.add(
        "report", report.KIND, _report_settings(draft, every), inputs, "results.json, report.md, report.html"
    )
    return Outputs(
        data=draft.data,
        models=draft.models,
        evaluated=draft.evaluated,
        tested=draft.tested,
        judged=draft.judged,
        files=draft.files,
        verified=draft.verified,
        measured=measured,
        chosen=chosen,
        report=reported,
        bundle=_plan_bundle(draft, rows, reported),
    )


def _plan_measuring(draft: Draft, rows: tuple[Candidate, ...]) -> Artifact[Measured]:
    """Run and time all candidates, interleaved."""
    names = dict.fromkeys(row.model for row in rows)
    return draft.steps.add(
        "measure",
        measure.KIND,
        measure.Settings(task=draft.task, measure=draft.recipe.measure, candidates=rows),
        measure.Inputs(
            {name: draft.reading(name, "test") for name in names},
            {name: draft.models[name] for name in names},
            _files(draft, rows),
            _verified(draft, rows),
        ),
        f"predictions, latency and memory of {len(rows)} candidates, interleaved",
    )


def _plan_bundle(draft: Draft, rows: tuple[Candidate, ...], reported: Artifact[Reported]) -> Artifact[Bundled]:
    """Write the chosen candidate as a bundle."""
    names = dict.fromkeys(row.model for row in rows)
    lengths = draft.recipe.measure.lengths
    return draft.steps.add(
        "bundle",
        bundle.KIND,
        bundle.Settings(
            task=draft.task,
            candidates=rows,
            provenance=draft.sources.provenance,
            length=None if lengths == "as_is" else lengths,
        ),
        bundle.Inputs(
            report=reported,
            data={name: draft.reading(name, "validation") for name in names},
            models={name: draft.models[name] for name in names},
            files=_files(draft, rows),
            verified=_verified(draft, rows),
        ),
        "write the chosen candidate as a self-testing folder",
    )


def _files(draft: Draft, rows: Sequence[Candidate]) -> dict[FileId, Artifact[MadeFiles]]:
    """The files of these candidates."""
    return {row.file_key: draft.files[row.file_key] for row in rows}


def _verified(draft: Draft, rows: Sequence[Candidate]) -> dict[VerifyId, Artifact[Verified]]:
    """Their verification against PyTorch."""
    return {row.verify_key: draft.verified[row.verify_key] for row in rows}


def _report_settings(draft: Draft, every: Sequence[Candidate]) -> report.Settings:
    recipe = draft.recipe
    return report.Settings(
        recipe=recipe.name,
        task=recipe.task,
        rounds=recipe.rounds,
        seeds=tuple(arm.seed for arm in arms(recipe)),
        candidates=tuple(every),
        select=recipe.select,
        ood=tuple(recipe.evaluate.ood),
        estimates=draft.estimates,
    )


def _reported(
    draft: Draft, every: Sequence[Candidate], measured: Artifact[Measured], chosen: Artifact[Chosen]
) -> report.Inputs:
    recipe = draft.recipe
    teachers = {teacher for round_ in recipe.rounds for teacher in round_.teachers()}
    made = makeable_candidates(every)
    return report.Inputs(
        data=draft.reading("teacher", *recipe.data.splits()),
        own_data={
            round_.id: draft.reading(round_.id, "validation", "test")
            for round_ in recipe.rounds
            if round_.data is not None
        },
        own_tokens={
            round_.id: draft.reading(round_.id, "validation", "test")
            for round_ in recipe.rounds
            if projected(recipe, round_, "teacher")
        },
        ood_data=_plan_ood(draft, draft.data["teacher"]) if recipe.evaluate.ood else None,
        models={name: draft.models[name] for name in draft.evaluated},
        evaluated=draft.evaluated,
        tested=draft.tested,
        recorded={name: signals for name, signals in draft.recorded.items() if name in teachers},
        choices=draft.choices,
        judged=draft.judged,
        files=_files(draft, made),
        verified=_verified(draft, native_candidates(every)),
        emulated={row.verify_key: draft.emulated[row.verify_key] for row in emulated_candidates(every)},
        measured=measured,
        chosen=chosen,
    )
