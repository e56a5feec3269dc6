"""What each key of a recipe allows but the whole recipe doesn't."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Form
from edgedistill.contracts.judge import Judge
from edgedistill.recipe.schema import (
    Recipe,
    Stage,
    TeacherChoice,
    flat,
    own_tokenizer,
    projected,
    signals_of,
    source_of,
    tokenizers,
)
from edgedistill.recipe.soft_targets import averaged, looks_for_errors, possible_sources


def problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What each key allows but the whole recipe doesn't: (dotted path, sentence)."""
    yield from _names(recipe)
    if not recipe.task.metrics:
        yield "task", "expected 'metric: NAME', or 'metrics: [NAME, ...]' with the primary one first"
        return
    task = registry.task(recipe.task.type)
    metrics = task.judge(recipe.task).metrics
    unknown = [(i, metric) for i, metric in enumerate(recipe.task.metrics) if metric not in metrics]
    for i, metric in unknown:
        where = "task.metric" if len(recipe.task.metrics) == 1 else f"task.metrics.{i}"
        yield where, _unknown(metric, sorted(metrics))
    known = list(task.data.columns.known)
    for column in recipe.data.columns:
        if column not in known:
            yield f"data.columns.{column}", _unknown(column, known)
    forms = (task.data.columns.required, *task.data.columns.forms)
    if len(named := [form for form in forms if set(form) & set(recipe.data.columns)]) > 1:
        every = " or ".join(" with ".join(form) for form in forms)
        yield "data.columns", f"got columns of {len(named)} kinds of rows, expected one of {every}"
    yield from _architecture_problems(recipe, task.data.tokens)
    yield from _speed_problems(recipe)
    if len({recipe.seed, *recipe.seeds}) <= len(recipe.seeds):
        yield "seeds", f"got {list(recipe.seeds)}, expected seeds that differ from each other and from 'seed'"
    if not task.learns_labels:
        yield from _unlabelled_problems(recipe)
    models, known_origins = ["teacher"], True
    for i, round_ in enumerate(recipe.rounds):
        where = f"rounds.{i}"
        if round_.id in [*models, "control"] or round_.id.endswith("-control") or round_.id.startswith("teacher-"):
            taken = "an id of its own, not one in use, 'teacher', 'teacher-...' or '...-control'"
            yield f"{where}.id", f"got {round_.id!r}, expected {taken}"
        for teacher in round_.teachers():
            if teacher not in models:
                yield f"{where}.teacher", _unknown(teacher, models)
        source = source_of(round_.student)
        if source is not None and source not in models:
            yield f"{where}.student.from", _unknown(source, models)
        if not task.data.tokens and registry.student(round_.student.init).tokenizer_maker(round_.student) is not None:
            yield f"{where}.student.init", f"got '{round_.student.init}', but '{recipe.task.type}' has no tokenizer"
        known_origins = known_origins and (source is None or source in models)
        if known_origins:
            yield from _vocabulary_problems(recipe, i)
        yield from _signal_problems(recipe, i)
        yield from _stage_problems(recipe, i, models)
        yield from _own_data_problems(recipe, i, task.data.tokens)
        models.append(round_.id)
    if all(round_.data is not None for round_ in recipe.rounds):
        yield "rounds", "got only rounds with 'data' of their own, expected one on the recipe's data as well"


def _unlabelled_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What needs labels to train on, of a task that has none."""
    if recipe.control:
        yield "control", f"got true, but '{recipe.task.type}' has no labels to learn from without a teacher"
    if recipe.teacher.fine_tune is not None:
        yield "teacher.fine_tune", f"'{recipe.task.type}' has no labels to tune a teacher on, expected none"


def _own_data_problems(recipe: Recipe, index: int, tokens: bool) -> Iterator[tuple[str, str]]:
    """What a round on other data can't do, and what others can't do with it: it answers in other labels."""
    round_, where = recipe.rounds[index], f"rounds.{index}"
    elsewhere = [other.id for other in recipe.rounds if other.data is not None]
    if round_.data is None:
        for teacher in round_.teachers():
            if teacher in elsewhere:
                yield f"{where}.teacher", f"got {teacher!r}, which answers in the labels of its own data"
        for j, stage in enumerate(round_.stages):
            if stage.errors is not None and stage.errors.of in elsewhere:
                yield f"{where}.stages.{j}.errors.of", f"got {stage.errors.of!r}, which answers in other labels"
        return
    if not tokens:
        yield f"{where}.data", f"'{recipe.task.type}' has one data set for all rounds so far"
    if round_.teacher != "teacher":
        yield f"{where}.teacher", f"got {round_.teacher!r}, expected 'teacher': only it is tuned on the round's data"
    if own_tokenizer(recipe, round_.id) is not None:
        yield f"{where}.student", "a round with 'data' of its own keeps the teacher's tokenizer"
    for j, stage in enumerate(round_.stages):
        if "unlabeled" in stage.data and round_.data.unlabeled is None:
            yield f"{where}.stages.{j}.data", "got 'unlabeled', expected the round's 'data.unlabeled' as well"
        if stage.errors is not None and stage.errors.of != "teacher":
            yield f"{where}.stages.{j}.errors.of", f"got {stage.errors.of!r}, expected 'teacher' on data of its own"


_SPEEDS = ("ttft_ms", "tokens_per_s")
"""Limits and preferences that only some tasks have figures for."""


def _speed_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """What is asked of prompts and their figures, of a task that isn't timed on any."""
    prompts, name = registry.task(recipe.task.type).prompts, recipe.task.type
    known = [speed.name for speed in prompts.speeds] if prompts is not None else []
    given = recipe.measure.prompts
    if given is not None and prompts is None:
        yield "measure.prompts", f"got {list(given)}, but '{name}' is not timed on prompts"
    if given is not None and list(given) != sorted(set(given)):
        yield "measure.prompts", f"got {list(given)}, expected lengths that rise"
    for speed in _SPEEDS:
        limit = getattr(recipe.select.limits, speed)
        if limit is not None and speed not in known:
            yield f"select.limits.{speed}", f"got {limit:g}, but '{name}' has no such figure"
    if recipe.select.prefer in _SPEEDS and recipe.select.prefer not in known:
        yield "select.prefer", f"got '{recipe.select.prefer}', but '{name}' has no such figure"


def _architecture_problems(recipe: Recipe, tokens: bool) -> Iterator[tuple[str, str]]:
    scratch = recipe.teacher.scratch
    for key in ("heads", "intermediate_size") if scratch is not None else ():
        given = getattr(scratch, key)
        if tokens and given is None:
            yield f"teacher.scratch.{key}", "is missing, expected a number"
        if not tokens and given is not None:
            yield f"teacher.scratch.{key}", f"got {given}, but models for '{recipe.task.type}' have none"
    if not tokens and scratch is None:
        yield "teacher.model", f"'{recipe.task.type}' trains its teacher from scratch so far, expected 'scratch'"


def _signal_problems(recipe: Recipe, index: int) -> Iterator[tuple[str, str]]:
    """What distributions in other forms than logits can't do."""
    round_ = recipe.rounds[index]
    form, where = signals_of(recipe, round_).form, f"rounds.{index}." if round_.signals is not None else ""
    if form == "dense":
        return
    possible = possible_sources(recipe, round_)
    if form == "auto":
        if not possible:
            yield f"{where}signals.form", f"got 'auto', but there is no form that all losses of {round_.id} take"
        return
    if form == "hidden" and registry.task(recipe.task.type).model.head is None:
        yield f"{where}signals.form", f"got 'hidden', but '{recipe.task.type}' has no output head over hidden states"
    if averaged(round_):
        yield f"{where}signals.form", f"got '{form}', expected 'dense' for the mean of several teachers of {round_.id}"
    for stage in round_.stages:
        if looks_for_errors(stage):
            reader = f"stage '{stage.name}' of {round_.id}, which looks for the teacher's errors"
            yield f"{where}signals.form", f"got '{form}', expected 'dense' for {reader}"
    if form == "live" and "dense" in possible and "live" not in possible and possible != ["dense"]:
        reason = f"whose teacher reads other tokens than {round_.id}"
        yield f"{where}signals.form", f"got 'live', expected a recorded form for a round {reason}"


def _vocabulary_problems(recipe: Recipe, index: int) -> Iterator[tuple[str, str]]:
    """What a teacher that reads other tokens than its student can't teach it, where decisions are tokens."""
    round_ = recipe.rounds[index]
    for teacher in round_.teachers():
        if not projected(recipe, round_, teacher):
            continue
        apart = f"'{teacher}' and '{round_.id}' have different tokenizers"
        if own_tokenizer(recipe, teacher) not in tokenizers(recipe, round_.id):
            yield (
                f"rounds.{index}.teacher",
                f"{apart}, and that of '{round_.id}' wasn't cut from that of '{teacher}'; expected a teacher whose "
                "tokens it has a part of",
            )
        if recipe.evaluate.ood:
            yield "evaluate.ood", f"got sets, but {apart}, and these are read in the teacher's; expected none"
        if signals_of(recipe, round_).form == "hidden":
            yield (
                f"rounds.{index}.signals.form" if round_.signals is not None else "signals.form",
                f"got 'hidden', but {apart}, and only probabilities can be projected on other tokens; expected "
                "'top-k' or 'dense'",
            )
        for j, stage in enumerate(round_.stages):
            for k, loss in enumerate(stage.losses):
                if "embedding" in registry.loss(loss.kind).needs:
                    yield (
                        f"rounds.{index}.stages.{j}.losses.{k}",
                        f"'{loss.kind}' compares item by item, but {apart}, which cut a text at other places; expected "
                        "a loss on logits",
                    )


_TOKEN_SIGNALS = frozenset({"hidden", "attention", "relations"})


def _stage_problems(recipe: Recipe, index: int, earlier: list[str]) -> Iterator[tuple[str, str]]:
    round_ = recipe.rounds[index]
    options = round_.teacher.choose if isinstance(round_.teacher, TeacherChoice) else (round_.teacher,)
    averaged = max(len(flat(option)) for option in options)
    task = registry.task(recipe.task.type)
    for j, stage in enumerate(round_.stages):
        where = f"rounds.{index}.stages.{j}"
        if stage.name in [other.name for other in round_.stages[:j]]:
            yield f"{where}.name", f"got {stage.name!r}, expected a name of its own in the round"
        if stage.augment is not None and (not task.data.columns.texts or task.data.columns.self_supervised):
            yield f"{where}.augment", f"the task '{recipe.task.type}' has no free text to change"
        if "unlabeled" in stage.data and round_.data is None and recipe.data.unlabeled is None:
            yield f"{where}.data", "got 'unlabeled', expected 'data.unlabeled' to be given as well"
        for k, loss in enumerate(stage.losses):
            needs = registry.loss(loss.kind).needs
            if not task.data.tokens and needs & {"masked", *_TOKEN_SIGNALS}:
                yield f"{where}.losses.{k}", f"'{loss.kind}' looks at tokens, and '{recipe.task.type}' has none"
            if "labels" in needs and not task.learns_labels:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs labels, and '{recipe.task.type}' trains without"
            if "logits" in needs and task.model.logits is None:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs logits, and '{recipe.task.type}' has none"
            forms, given = registry.loss(loss.kind).forms, signals_of(recipe, round_).form
            if "logits" in needs and given in get_args(Form) and given not in forms:
                takes = " or ".join(f"'{form}'" for form in get_args(Form) if form in forms)
                yield f"{where}.losses.{k}", f"'{loss.kind}' takes {takes} signals, but signals.form is '{given}'"
            if "labels" in needs and stage.data == ("unlabeled",):
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs labels, but data is only 'unlabeled'"
            if needs & {"embedding", *_TOKEN_SIGNALS} and averaged > 1:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs one teacher, got {averaged}"
            if needs & {"embedding", *_TOKEN_SIGNALS} and isinstance(round_.teacher, TeacherChoice):
                yield (
                    f"{where}.losses.{k}",
                    f"'{loss.kind}' cannot be used while teachers are tried; expected logits",
                )
            for teacher in round_.teachers():
                if needs & _TOKEN_SIGNALS and own_tokenizer(recipe, teacher) != own_tokenizer(recipe, round_.id):
                    yield (
                        f"{where}.losses.{k}",
                        f"'{loss.kind}' compares token by token, but '{teacher}' and '{round_.id}' have different "
                        "tokenizers; expected a loss on logits or embeddings",
                    )
        yield from _error_problems(stage, task.judge(recipe.task), where, earlier)


def _error_problems(stage: Stage, judge: Judge, where: str, earlier: list[str]) -> Iterator[tuple[str, str]]:
    needs = registry.needs(stage.losses)
    if stage.errors is not None and judge.error_weights is None:
        yield f"{where}.errors", "the task knows no right and wrong answers"
    if stage.errors is not None and stage.errors.against == "teacher" and judge.as_references is None:
        yield f"{where}.errors.against", "got 'teacher', whose answers this task cannot take as right"
    if stage.teacher_errors != 1 and judge.right is None:
        yield f"{where}.teacher_errors", f"got {stage.teacher_errors}, but the task knows no right and wrong answers"
    if stage.errors is not None and stage.errors.of not in earlier:
        yield f"{where}.errors.of", _unknown(stage.errors.of, earlier)
    if stage.errors is not None and stage.errors.against == "teacher" and "logits" not in needs:
        yield f"{where}.errors.against", "got 'teacher', but no loss of the stage reads its logits (kl, ...)"
    if stage.errors is not None and not needs & {"logits", "labels"}:
        yield f"{where}.errors", "no loss of the stage looks at single answers (hard_label, kl, ...)"
    if stage.teacher_errors != 1 and "logits" not in needs:
        yield f"{where}.teacher_errors", f"got {stage.teacher_errors}, but no loss reads the teacher's logits"


def _names(recipe: Recipe) -> Iterator[tuple[str, str]]:
    groups: list[tuple[str, str, registry.Group]] = [
        (f"export.targets.{i}", name, "exporters") for i, name in enumerate(recipe.export.targets)
    ]
    groups += [(f"measure.runtimes.{i}", name, "runtimes") for i, name in enumerate(recipe.measure.runtimes or ())]
    for path, name, group in groups:
        if name not in registry.names(group):
            yield path, f"got {name!r}, expected one of {', '.join(registry.names(group))}{registry.hint(group, name)}"
    yield from _device_problems(recipe)


def _device_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Targets, precisions and runtimes. What only one target lacks is no problem: that candidate is refused."""
    every = {name: registry.target(name).precisions for name in registry.names("exporters")}
    known = sorted({precision for own in every.values() for precision in own})
    lists: list[tuple[str, list[str]]] = [
        ("export.targets.{}", list(recipe.export.targets)),
        ("quantize.{}.precision", [quantization.precision for quantization in recipe.quantize]),
        ("measure.runtimes.{}", list(recipe.measure.runtimes or ())),
    ]
    for path, given in lists:
        for i, name in enumerate(given):
            if name in given[:i]:
                yield path.format(i), f"got {name!r} twice"
    for i, quantization in enumerate(recipe.quantize):
        if quantization.precision not in known:
            yield f"quantize.{i}.precision", _unknown(quantization.precision, known)
        elif quantization.calibration is not None:
            makers = [own[quantization.precision] for own in every.values() if quantization.precision in own]
            if not any(maker.calibrated for maker in makers):
                yield f"quantize.{i}.calibration", f"{quantization.precision!r} looks at no data, expected none"
            if quantization.calibration.from_ == "unlabeled" and recipe.data.unlabeled is None:
                yield (
                    f"quantize.{i}.calibration.from",
                    "got 'unlabeled', expected 'data.unlabeled' to be given as well",
                )
    asked = recipe.measure.runtimes
    if asked is None or not set(asked) <= set(registry.names("runtimes")):
        return
    for i, target in enumerate(recipe.export.targets):
        if target in every and not any(target in registry.runtime(name).targets for name in asked):
            own = ", ".join(registry.target(target).runtimes)
            yield f"export.targets.{i}", f"got {target!r}, which none of measure.runtimes opens; expected {own} there"


def _unknown(got: str, known: list[str]) -> str:
    return f"got {got!r}, expected one of {', '.join(known)}{registry.nearest(got, known)}"
