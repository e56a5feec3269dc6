"""Plans the making of models: data, the teacher, and every round with its signals, trials, control and repetitions."""

from __future__ import annotations

from collections.abc import Mapping

from edgedistill import plugins
from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.recipe import (
    DataSpec,
    LossSpec,
    Round,
    Schedule,
    Stage,
    TeacherChoice,
    Teachers,
    own_tokenizer,
    pretrained_of,
    source_of,
    teacher_of,
)
from edgedistill.sources import Sources, pinned_splits
from edgedistill.steps import (
    augment_text,
    choose_teacher,
    distil,
    prepare_data,
    prepare_split,
    record_signals,
    retokenise,
    retokenise_split,
    train_teacher,
)

from .draft import Arm, Draft, reading, split_step
from .estimates import depth, live_signals
from .probes import plan_probes


def plan_teacher(draft: Draft) -> None:
    """All data, the trial of every model, and the teacher."""
    _plan_data(draft, "data", draft.recipe.data, draft.sources)
    for each in draft.recipe.rounds:
        if each.data is not None:
            _plan_own_data(draft, each)
        else:
            _plan_tokens(draft, each)
    plan_probes(draft)
    _plan_tuning(draft, "teacher", "data", draft.recipe.teacher.fine_tune)


def _plan_data(draft: Draft, name: str, data: DataSpec, known: Sources, tokens: str | None = None) -> None:
    """Read a data set; `tokens` is the data step whose tokenizer is taken instead of the teacher's."""
    recipe, teacher = draft.recipe, draft.recipe.teacher
    settings = prepare_data.Settings(
        task=recipe.task.type,
        data=pinned_splits(data),
        tokenizer=teacher.model,
        revision=teacher.revision,
        vocabulary=teacher.scratch.vocabulary if teacher.scratch else None,
        teacher_labels=tokens is None and teacher.fine_tune is None,
        content=known.data["train"],
    )
    fingerprint = draft.sources.models.get(teacher.model or "scratch", "scratch")
    columns = {"columns": dict(data.columns), "labels": dict(data.labels), "max_length": data.max_length}
    places = {"data", "tokenizer", "revision", "content"}
    without_places = settings.model_dump(mode="json", exclude=places) | {"data": columns}
    draft.steps.add(
        name,
        "prepare_data",
        settings,
        {} if tokens is None else {"tokens": tokens},
        "read, check and tokenise train",
        [without_places, known.data["train"], fingerprint],
    )
    for split in data.splits():
        if split == "train":
            continue
        further = prepare_split.Settings(
            task=recipe.task.type, data=settings.data, split=split, content=known.data[split]
        )
        compared = ("validation",) if split == "test" else ()
        draft.steps.add(
            split_step(name, split),
            "prepare_split",
            further,
            reading(name, *compared),
            f"read, check and tokenise {split}",
            [recipe.task.type, split, known.data[split]],
        )


def _plan_tuning(draft: Draft, name: str, data: str, fine_tune: Schedule | None) -> None:
    """The recipe's teacher, tuned on a data step as `fine_tune` says; None: as it is."""
    recipe = draft.recipe
    teacher = recipe.teacher.model_copy(update={"fine_tune": fine_tune})
    origin = teacher.model or "scratch"
    trained = train_teacher.Settings(task=recipe.task, teacher=teacher, seed=recipe.seed, compute=recipe.compute)
    fingerprint = draft.sources.models.get(origin, "scratch")
    draft.steps.add(
        name,
        "train_teacher",
        trained,
        reading(data, "validation"),
        f"fine-tune {origin} for {fine_tune.epochs} epochs" if fine_tune else f"load {origin}",
        [trained.model_dump(mode="json", exclude={"teacher": {"model", "revision"}}), fingerprint],
    )


def plan_round(draft: Draft, each: Round, arm: Arm) -> list[str]:
    """One round in one arm, with its control and, on data of its own, its teacher; the names of the models made."""
    tuned = []
    if each.data is not None:
        tuned = _plan_own_teacher(draft, each)
        each = _taught_by(each, teacher_of(each))
    live = live_signals(draft.recipe, draft.sources, each, draft.shapes)
    signals = _plan_signals(draft, each, arm, live)
    more = dict(signals)
    if isinstance(each.teacher, TeacherChoice):
        more["choice"] = _plan_trials(draft, each, arm, signals, live)
    made = [_plan_student(draft, each, arm, arm.at(each.id), more, live=live)]
    if draft.recipe.control:
        control = f"{each.id}-control{arm.suffix}"
        views = {role: step for role, step in signals.items() if role.startswith("views:")}
        made.append(_plan_student(draft, _untaught(each), arm, control, views, control=True))
    return [*tuned, *made]


def _plan_own_data(draft: Draft, each: Round) -> None:
    """The data set of a round that has its own, which the teacher tuned on it reads as well."""
    assert each.data is not None
    data = f"data-{each.id}"
    _plan_data(draft, data, each.data, draft.sources.rounds[each.id], tokens="data")
    draft.data_of[each.id] = draft.data_of[teacher_of(each)] = data


def _plan_own_teacher(draft: Draft, each: Round) -> list[str]:
    """The teacher tuned on a round's own data; once for all arms."""
    teacher = teacher_of(each)
    if any(step.name == teacher for step in draft.steps.ordered):
        return []
    _plan_tuning(draft, teacher, draft.data_of[each.id], each.fine_tune)
    return [teacher]


def _taught_by(each: Round, teacher: str) -> Round:
    """A round on data of its own with its tuned teacher in the place of the recipe's."""
    stages = tuple(
        stage.model_copy(update={"errors": stage.errors.model_copy(update={"of": teacher})}) if stage.errors else stage
        for stage in each.stages
    )
    return each.model_copy(update={"teacher": teacher, "stages": stages})


def _plan_tokens(draft: Draft, each: Round) -> None:
    """Which tokens the student reads: the teacher's, its source's, or those of a tokenizer of its own."""
    owner = own_tokenizer(draft.recipe, each.id)
    draft.data_of[each.id] = "data" if owner is None else f"data-{owner}"
    if owner == each.id:
        source = source_of(each.student)
        assert source is not None, "a student with a tokenizer of its own makes it from its source's"
        settings = retokenise.Settings(task=draft.recipe.task.type, student=each.student)
        origin, own = draft.data_of[source], f"data-{each.id}"
        summary = f"tokenizer of {each.id}: {each.student.init} of {source}'s"
        draft.data_of[each.id] = draft.steps.add(own, "retokenise", settings, {"data": origin}, summary)
        for split in draft.recipe.data.splits():
            if split == "train":
                continue
            further = retokenise_split.Settings(task=draft.recipe.task.type, split=split)
            inputs = {**reading(own), **reading(origin, split, role="source")}
            summary = f"{split} in the tokens of {each.id}"
            draft.steps.add(split_step(own, split), "retokenise_split", further, inputs, summary)


def _plan_views(draft: Draft, each: Round, stage: Stage, tokens: str) -> str:
    """The stage's augmented texts in the tokens of the data step `tokens`; the same texts for all of them."""
    assert stage.augment is not None
    first = "data" if each.data is None else draft.data_of[each.id]
    settings = augment_text.Settings(
        task=draft.recipe.task.type, augment=stage.augment, splits=stage.data, seed=draft.recipe.seed
    )
    name = f"views-{each.id}-{stage.name}" + ("" if tokens == first else f"-{tokens}")
    identity = settings.model_dump(mode="json")
    if stage.augment.masked_lm is not None:
        identity["augment"]["masked_lm"] = draft.sources.models[stage.augment.masked_lm]
    summary = f"{stage.augment.copies} further views of {' and '.join(stage.data)}"
    inputs = {**reading(first, *stage.data), "tokens": tokens}
    return draft.steps.add(name, "augment_text", settings, inputs, summary, identity)


def _plan_signals(draft: Draft, each: Round, arm: Arm, live: Mapping[str, str]) -> dict[str, str]:
    """The recording of what a round's losses need of its teachers, and its views; returns role -> step name."""
    inputs: dict[str, str] = {}

    def record(model: str, place: str, stage: Stage, **settings: object) -> None:
        split, signal = place.split("@")[0], settings["signal"]
        own = record_signals.Settings.model_validate(
            {"task": draft.recipe.task.type, "split": split, "compute": draft.recipe.compute, **settings}
        )
        tokens = draft.data_of[model]
        seen = f"{split} of {each.id} {stage.name}" if "@" in place else split
        name = f"{signal}-{arm.at(model)}-{seen.replace(' of ', '-').replace(' ', '-')}"
        name += f"-{each.id}" if signal == "hidden" and "@" not in place else ""
        data = reading(_plan_views(draft, each, stage, tokens)) if "@" in place else reading(tokens, split)
        shown = "hidden states" if signal == "hidden" else signal
        inputs[f"{signal}:{model}:{place}"] = draft.steps.add(
            name,
            "record_signals",
            own,
            {**data, "model": arm.at(model)},
            f"record {shown} of {arm.at(model)} on {seen}",
        )

    for stage in each.stages:
        if stage.augment is not None:
            inputs[f"views:{stage.name}"] = _plan_views(draft, each, stage, draft.data_of[each.id])
        for place in stage.places():
            sharing = [stage] if "@" in place else [other for other in each.stages if place in other.data]
            losses = [loss for other in sharing for loss in other.losses]
            for teacher in each.teachers():
                for signal in ("logits", "embedding", "hidden"):
                    readers = [loss for loss in losses if signal in plugins.loss(loss.kind).needs]
                    if not readers or signal in live or f"{signal}:{teacher}:{place}" in inputs:
                        continue
                    more: dict[str, object] = {}
                    if signal == "hidden":
                        maps = tuple(_layers(loss) for loss in readers)
                        more = {"layer_maps": maps, "student_layers": depth(each, draft.shapes)}
                    record(teacher, place, stage, signal=signal, **more)
            if stage.errors is not None and f"logits:{stage.errors.of}:{place}" not in inputs:
                record(stage.errors.of, place, stage, signal="logits")
    return inputs


def _layers(loss: LossSpec) -> LayerMap:
    layers = plugins.loss(loss.kind).layers
    assert layers is not None, "the registry has no loss over hidden states without"
    return layers(loss)


def _plan_trials(draft: Draft, each: Round, arm: Arm, signals: Mapping[str, str], live: Mapping[str, str]) -> str:
    """A short trial of every teacher that may be chosen, all of equal budget, and the choice."""
    assert isinstance(each.teacher, TeacherChoice)
    trials: dict[str, str] = {}
    for number, option in enumerate(each.teacher.choose, start=1):
        short = tuple(
            stage.model_copy(update={"epochs": min(stage.epochs, each.teacher.epochs)}) for stage in each.stages
        )
        trial = each.model_copy(update={"teacher": option, "stages": short})
        corrected = {stage.errors.of for stage in each.stages if stage.errors is not None}
        wanted = {*trial.teachers(), *corrected}
        read = {
            role: step for role, step in signals.items() if role.startswith("views:") or role.split(":")[1] in wanted
        }
        name = f"{each.id}{arm.suffix}-trial-{number}"
        trials[f"trial:{number}"] = _plan_student(draft, trial, arm, name, read, live=live)
    settings = choose_teacher.Settings(task=draft.recipe.task, options=each.teacher.choose)
    summary = f"the teacher of {each.id}, by validation after {each.teacher.epochs} epochs with each"
    return draft.steps.add(f"{each.id}{arm.suffix}-teacher", "choose_teacher", settings, trials, summary)


def _plan_student(
    draft: Draft,
    each: Round,
    arm: Arm,
    name: str,
    signals: Mapping[str, str],
    *,
    control: bool = False,
    live: Mapping[str, str] | None = None,
) -> str:
    """The making of one student. The control is given no signals, and nothing live."""
    recipe, sources = draft.recipe, draft.sources
    settings = distil.Settings(
        task=recipe.task,
        round=each.model_copy(update={"data": None, "fine_tune": None}),  # the inputs' keys stand for them
        seed=arm.seed,
        compute=recipe.compute,
        control=control,
        live=tuple(live or ()),
    )
    read = {split for stage in each.stages for split in stage.data}
    inputs = {**draft.reading(each.id, "validation", *sorted(read)), **signals}
    source = source_of(each.student)
    if source is not None:
        own = each.data is not None and source == "teacher"
        inputs["source"] = teacher_of(each) if own else arm.at(source)
    if not control:
        inputs |= {f"teacher:{teacher}": arm.at(teacher) for teacher in each.teachers()}
    origin = pretrained_of(each.student)
    identity = settings.model_dump(mode="json", by_alias=True)
    if origin is not None:
        identity["round"]["student"] |= {"model": sources.models[origin.model], "revision": ""}
    epochs = sum(stage.epochs for stage in each.stages)
    taught = "the same student without a teacher" if control else f"from {show_teachers(each.teacher)}"
    summary = f"{each.student.init} student, {taught}, {epochs} epochs"
    summary += "".join(f"; {signal} live: {reason}" for signal, reason in (live or {}).items())
    return draft.steps.add(name, "distil", settings, inputs, summary, identity)


def show_teachers(teacher: Teachers | TeacherChoice) -> str:
    """`teacher`, `teacher + r1` (their mean), or `the better of teacher, r1`."""
    if isinstance(teacher, TeacherChoice):
        return f"the best of {', '.join(show_teachers(option) for option in teacher.choose)}"
    return teacher if isinstance(teacher, str) else " + ".join(teacher)


def _untaught(each: Round) -> Round:
    """The same student, data and number of steps with hard labels only; what the losses were changes nothing of it."""
    hard_label = plugins.loss("hard_label").spec(kind="hard_label")
    plain = {"losses": (hard_label,), "errors": None, "teacher_errors": 1.0}
    stages = tuple(stage.model_copy(update=plain) for stage in each.stages)
    return each.model_copy(update={"stages": stages, "teacher": "none"})
