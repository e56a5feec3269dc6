"""Checks across the keys of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from edgedistill.contracts import registry
from edgedistill.contracts.distribution import Form
from edgedistill.contracts.judge import Judge
from edgedistill.contracts.loss import LossSpec
from edgedistill.recipe.quantization import NO_INT3
from edgedistill.recipe.round_spec import Stage, TeacherChoice, flat
from edgedistill.recipe.schema import QuantizeSpec, Recipe, own_tokenizer, projected, signals_of, source_of, tokenizers
from edgedistill.recipe.soft_targets import averaged, looks_for_errors, losses_of, possible_sources, temperatures


def problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Problems of combinations of keys: (dotted path, sentence)."""
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
        yield "data.columns", f"got columns for {len(named)} row formats, expected one of {every}"
    yield from _architecture_problems(recipe, task.data.tokens)
    yield from _speed_problems(recipe)
    if len({recipe.seed, *recipe.seeds}) <= len(recipe.seeds):
        yield "seeds", f"got {list(recipe.seeds)}, expected seeds distinct from each other and from 'seed'"
    if not task.learns_labels:
        yield from _unlabelled_problems(recipe)
    models, known_origins = ["teacher"], True
    for i, round_ in enumerate(recipe.rounds):
        where = f"rounds.{i}"
        if round_.id in [*models, "control"] or round_.id.endswith("-control") or round_.id.startswith("teacher-"):
            taken = "a unique id other than 'teacher', 'teacher-...' and '...-control'"
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
        yield "rounds", "got only rounds with their own 'data', expected at least one on the recipe's data"


def _unlabelled_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Settings that need training labels, for a task without them."""
    if recipe.control:
        yield "control", f"got true, but '{recipe.task.type}' has no labels to train on without a teacher"
    if recipe.teacher.fine_tune is not None:
        yield "teacher.fine_tune", f"'{recipe.task.type}' has no labels to fine-tune a teacher on, expected none"


def _own_data_problems(recipe: Recipe, index: int, tokens: bool) -> Iterator[tuple[str, str]]:
    """Restrictions on rounds with their own data, since their models have other labels."""
    round_, where = recipe.rounds[index], f"rounds.{index}"
    elsewhere = [other.id for other in recipe.rounds if other.data is not None]
    if round_.data is None:
        for teacher in round_.teachers():
            if teacher in elsewhere:
                yield f"{where}.teacher", f"got {teacher!r}, which was trained on other labels"
        for j, stage in enumerate(round_.stages):
            if stage.errors is not None and stage.errors.of in elsewhere:
                yield f"{where}.stages.{j}.errors.of", f"got {stage.errors.of!r}, which was trained on other labels"
        return
    if not tokens:
        yield f"{where}.data", f"'{recipe.task.type}' does not support data per round yet"
    if round_.teacher != "teacher":
        yield (
            f"{where}.teacher",
            f"got {round_.teacher!r}, expected 'teacher', the only model fine-tuned on the round's data",
        )
    if own_tokenizer(recipe, round_.id) is not None:
        yield f"{where}.student", "a round with its own 'data' keeps the teacher's tokenizer"
    for j, stage in enumerate(round_.stages):
        if "unlabeled" in stage.data and round_.data.unlabeled is None:
            yield f"{where}.stages.{j}.data", "got 'unlabeled', but the round's 'data.unlabeled' is not given"
        if stage.errors is not None and stage.errors.of != "teacher":
            yield (
                f"{where}.stages.{j}.errors.of",
                f"got {stage.errors.of!r}, expected 'teacher' in a round with its own data",
            )


_SPEEDS = ("ttft_ms", "tokens_per_s")
"""Limits and preferences that only some tasks have figures for."""


def _speed_problems(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Settings on prompts and their figures, for a task that is not timed on prompts."""
    prompts, name = registry.task(recipe.task.type).prompts, recipe.task.type
    known = [speed.name for speed in prompts.speeds] if prompts is not None else []
    given = recipe.measure.prompts
    if given is not None and prompts is None:
        yield "measure.prompts", f"got {list(given)}, but '{name}' is not timed on prompts"
    if given is not None and list(given) != sorted(set(given)):
        yield "measure.prompts", f"got {list(given)}, expected lengths in ascending order"
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
            yield f"teacher.scratch.{key}", f"got {given}, which does not apply to models for '{recipe.task.type}'"
    if not tokens and scratch is None:
        yield "teacher.model", f"'{recipe.task.type}' only supports a teacher trained from scratch, expected 'scratch'"


def _signal_problems(recipe: Recipe, index: int) -> Iterator[tuple[str, str]]:
    """Restrictions on distributions that are not recorded as logits."""
    round_ = recipe.rounds[index]
    form, where = signals_of(recipe, round_).form, f"rounds.{index}." if round_.signals is not None else ""
    if form == "dense":
        return
    possible = possible_sources(recipe, round_)
    if form == "auto":
        if not possible:
            yield f"{where}signals.form", f"got 'auto', but no form suits all losses of {round_.id}"
        return
    if form == "hidden" and registry.task(recipe.task.type).model.head is None:
        yield f"{where}signals.form", f"got 'hidden', but '{recipe.task.type}' has no output head over hidden states"
    if averaged(round_):
        yield f"{where}signals.form", f"got '{form}', expected 'dense' for the mean of several teachers of {round_.id}"
    for stage in round_.stages:
        if looks_for_errors(stage):
            reader = f"stage '{stage.name}' of {round_.id}, which needs the teacher's errors"
            yield f"{where}signals.form", f"got '{form}', expected 'dense' for {reader}"
    if form == "sampled" and len(found := temperatures(losses_of(round_))) > 1:
        shown = ", ".join(f"{temperature:g}" for temperature in found)
        yield f"{where}signals.form", f"got 'sampled', expected losses of {round_.id} at one temperature, not {shown}"
    if form == "live" and "dense" in possible and "live" not in possible and possible != ["dense"]:
        reason = f"whose teacher has another tokenizer than {round_.id}"
        yield f"{where}signals.form", f"got 'live', expected a recorded form for a round {reason}"


def _vocabulary_problems(recipe: Recipe, index: int) -> Iterator[tuple[str, str]]:
    """Restrictions on a teacher with a different tokenizer from its student, if decisions are tokens."""
    round_ = recipe.rounds[index]
    for teacher in round_.teachers():
        if not projected(recipe, round_, teacher):
            continue
        apart = f"'{teacher}' and '{round_.id}' have different tokenizers"
        if own_tokenizer(recipe, teacher) not in tokenizers(recipe, round_.id):
            yield (
                f"rounds.{index}.teacher",
                f"{apart}, and that of '{round_.id}' wasn't trimmed from that of '{teacher}'; expected a teacher whose "
                "vocabulary contains the student's",
            )
        if recipe.evaluate.ood:
            yield "evaluate.ood", f"got test sets, but {apart}, and these are encoded with the teacher's; expected none"
        if signals_of(recipe, round_).form == "hidden":
            yield (
                f"rounds.{index}.signals.form" if round_.signals is not None else "signals.form",
                f"got 'hidden', but {apart}, and only probabilities can be projected onto other tokens; expected "
                "'top-k' or 'dense'",
            )
        for j, stage in enumerate(round_.stages):
            for k, loss in enumerate(stage.losses):
                if (problem := _unprojectable(loss, apart)) is not None:
                    yield f"rounds.{index}.stages.{j}.losses.{k}", problem


_HOTTEST_PROJECTED = 4.0
"""Temperature up to which tokens of no probability, recorded as exp(-87), stay without any: at 4, a hundred thousand
have 4e-5 together; at 8, two."""


def _unprojectable(loss: LossSpec, apart: str) -> str | None:
    """Why it cannot learn from projected distributions, which are probabilities, some of them zero; or None."""
    kind = registry.loss(loss.kind)
    if "embedding" in kind.needs:
        return (
            f"'{loss.kind}' compares item by item, but {apart}, which split a text differently; expected a loss on "
            "logits"
        )
    if "logits" not in kind.needs:
        return None
    if kind.temperature is None:
        return (
            f"'{loss.kind}' compares logits themselves, but {apart}, and only probabilities can be projected onto "
            "other tokens; expected a loss on probabilities (kl, ...)"
        )
    if (temperature := kind.temperature(loss)) > _HOTTEST_PROJECTED:
        return (
            f"'{loss.kind}' has the temperature {temperature:g}, but {apart}, and tokens that have no probability "
            f"when projected onto others would get some; expected at most {_HOTTEST_PROJECTED:g}"
        )
    return None


_TOKEN_SIGNALS = frozenset({"hidden", "attention", "relations"})


def _stage_problems(recipe: Recipe, index: int, earlier: list[str]) -> Iterator[tuple[str, str]]:
    round_ = recipe.rounds[index]
    options = round_.teacher.choose if isinstance(round_.teacher, TeacherChoice) else (round_.teacher,)
    averaged = max(len(flat(option)) for option in options)
    task = registry.task(recipe.task.type)
    for j, stage in enumerate(round_.stages):
        where = f"rounds.{index}.stages.{j}"
        if stage.name in [other.name for other in round_.stages[:j]]:
            yield f"{where}.name", f"got {stage.name!r}, expected a name that is unique in the round"
        if stage.augment is not None and (not task.data.columns.texts or task.data.columns.self_supervised):
            yield f"{where}.augment", f"the task '{recipe.task.type}' has no free text to augment"
        if "unlabeled" in stage.data and round_.data is None and recipe.data.unlabeled is None:
            yield f"{where}.data", "got 'unlabeled', but 'data.unlabeled' is not given"
        yield from _quantize_problems(stage, recipe.task.type, where)
        for k, loss in enumerate(stage.losses):
            needs = registry.loss(loss.kind).needs
            if not task.data.tokens and needs & {"masked", *_TOKEN_SIGNALS}:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs tokens, and '{recipe.task.type}' has none"
            if "labels" in needs and not task.learns_labels:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs labels, and '{recipe.task.type}' has none"
            if "logits" in needs and task.model.logits is None:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs logits, and '{recipe.task.type}' has none"
            forms, given = registry.loss(loss.kind).forms, signals_of(recipe, round_).form
            if "logits" in needs and given in get_args(Form) and given not in forms:
                takes = " or ".join(f"'{form}'" for form in get_args(Form) if form in forms)
                yield f"{where}.losses.{k}", f"'{loss.kind}' accepts {takes} signals, but signals.form is '{given}'"
            if "labels" in needs and stage.data == ("unlabeled",):
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs labels, but data is only 'unlabeled'"
            if needs & {"embedding", *_TOKEN_SIGNALS} and averaged > 1:
                yield f"{where}.losses.{k}", f"'{loss.kind}' needs one teacher, got {averaged}"
            if needs & {"embedding", *_TOKEN_SIGNALS} and isinstance(round_.teacher, TeacherChoice):
                yield (
                    f"{where}.losses.{k}",
                    f"'{loss.kind}' cannot be used with a choice of teachers; expected a loss on logits",
                )
            for teacher in round_.teachers():
                if needs & _TOKEN_SIGNALS and own_tokenizer(recipe, teacher) != own_tokenizer(recipe, round_.id):
                    yield (
                        f"{where}.losses.{k}",
                        f"'{loss.kind}' compares token by token, but '{teacher}' and '{round_.id}' have different "
                        "tokenizers; expected a loss on logits or embeddings",
                    )
        yield from _error_problems(stage, task.judge(recipe.task), where, earlier)


def _quantize_problems(stage: Stage, task: str, where: str) -> Iterator[tuple[str, str]]:
    """Training in the arithmetic of a file needs to know that arithmetic, and a model that calls its own layers."""
    if stage.quantize is None:
        return
    known = [name for name in registry.names("quantizers") if registry.quantizer(name).arithmetic is not None]
    if stage.quantize not in known:
        yield f"{where}.quantize", _unknown(stage.quantize, known)
    if registry.task(task).model.states is not None:
        yield f"{where}.quantize", f"got {stage.quantize!r}, which '{task}' does not support yet"


def _error_problems(stage: Stage, judge: Judge, where: str, earlier: list[str]) -> Iterator[tuple[str, str]]:
    needs = registry.needs(stage.losses)
    if stage.errors is not None and judge.error_weights is None:
        yield f"{where}.errors", "the task does not define correct answers"
    if stage.errors is not None and stage.errors.against == "teacher" and judge.as_references is None:
        yield f"{where}.errors.against", "got 'teacher', but this task cannot treat the teacher's answers as correct"
    if stage.teacher_errors != 1 and judge.right is None:
        yield f"{where}.teacher_errors", f"got {stage.teacher_errors}, but the task does not define correct answers"
    if stage.errors is not None and stage.errors.of not in earlier:
        yield f"{where}.errors.of", _unknown(stage.errors.of, earlier)
    if stage.errors is not None and stage.errors.against == "teacher" and "logits" not in needs:
        yield f"{where}.errors.against", "got 'teacher', but no loss of the stage uses its logits (kl, ...)"
    if stage.errors is not None and not needs & {"logits", "labels"}:
        yield f"{where}.errors", "no loss of the stage is per example (hard_label, kl, ...)"
    if stage.teacher_errors != 1 and "logits" not in needs:
        yield f"{where}.teacher_errors", f"got {stage.teacher_errors}, but no loss uses the teacher's logits"


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
    """Targets, precisions and runtimes. A precision that only some targets lack is not a problem: those candidates are
    refused."""
    every = {name: registry.target(name).precisions for name in registry.names("exporters")}
    known = sorted({precision for own in every.values() for precision in own})
    lists: list[tuple[str, list[str]]] = [
        ("export.targets.{}", list(recipe.export.targets)),
        ("measure.runtimes.{}", list(recipe.measure.runtimes or ())),
    ]
    for path, given in lists:
        for i, name in enumerate(given):
            if name in given[:i]:
                yield path.format(i), f"got {name!r} twice"
    named = [quantization.id for quantization in recipe.quantize]
    for i, quantization in enumerate(recipe.quantize):
        if quantization.id in named[:i]:
            yield f"quantize.{i}.{'name' if quantization.precision is None else 'precision'}", f"got {named[i]!r} twice"
        if quantization.precision is None:
            yield from _mix_problems(recipe, f"quantize.{i}", quantization, known)
        elif quantization.precision not in known:
            unknown = NO_INT3 if quantization.precision == "int3" else _unknown(quantization.precision, known)
            yield f"quantize.{i}.precision", unknown
        elif quantization.calibration is not None:
            makers = [own[quantization.precision] for own in every.values() if quantization.precision in own]
            if not any(maker.calibrated for maker in makers):
                yield (
                    f"quantize.{i}.calibration",
                    f"{quantization.precision!r} needs no calibration data, expected none",
                )
            if quantization.calibration.from_ == "unlabeled" and recipe.data.unlabeled is None:
                yield (
                    f"quantize.{i}.calibration.from",
                    "got 'unlabeled', but 'data.unlabeled' is not given",
                )
    asked = recipe.measure.runtimes
    if asked is None or not set(asked) <= set(registry.names("runtimes")):
        return
    for i, target in enumerate(recipe.export.targets):
        if target in every and not any(target in registry.runtime(name).targets for name in asked):
            own = ", ".join(registry.target(target).runtimes)
            yield (
                f"export.targets.{i}",
                f"got {target!r}, which none of measure.runtimes can open; expected {own} there",
            )


def _mix_problems(recipe: Recipe, where: str, mix: QuantizeSpec, known: list[str]) -> Iterator[tuple[str, str]]:
    if mix.id in known:
        yield f"{where}.name", f"got {mix.id!r}, which is a precision; expected another name for the mix"
    if registry.task(recipe.task.type).data.sequences is not None:
        yield (
            f"{where}.{'parts' if mix.search is None else 'search'}",
            "a language model's table is often its head too, so it has no mixes by part; expected a 'precision': int4, "
            "int4-tables or int8",
        )


def _unknown(got: str, known: list[str]) -> str:
    return f"got {got!r}, expected one of {', '.join(known)}{registry.nearest(got, known)}"
