"""Plans training: data, the teacher, and every round with its signals, trials, control and repetitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgedistill.contracts import registry
from edgedistill.contracts.layer_maps import LayerMap
from edgedistill.contracts.loss import Need
from edgedistill.data.fingerprint import pinned
from edgedistill.planning.draft import Arm, Draft
from edgedistill.planning.estimates import depth, expected_size, first_teacher, hidden_bytes, live_signals
from edgedistill.planning.probes import plan_probes
from edgedistill.planning.signal_budget import recording, room_for, what
from edgedistill.planning.signal_choice import SignalChoice, choose_signals
from edgedistill.recipe.data_spec import DataSpec
from edgedistill.recipe.plugin_unions import LossSpec
from edgedistill.recipe.round_spec import Place, Round, Stage, TeacherChoice, Teachers
from edgedistill.recipe.schema import own_tokenizer, projected, signals_of, source_of, teacher_of
from edgedistill.recipe.soft_targets import temperatures
from edgedistill.recipe.teacher_spec import Schedule
from edgedistill.steps.kinds import (
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
from edgedistill.steps.kinds.distil import SignalId
from edgedistill.store.data_inputs import DataInputs
from edgedistill.store.handle import Artifact
from edgedistill.store.records.data import PreparedSplit, TokenisedData
from edgedistill.store.records.models import FORM_OF, PACKED, SIGNAL_OF, Signal, Signals, TeacherChosen, TrainedModel


def plan_teacher(draft: Draft) -> None:
    """Data, probes of all models, and the teacher."""
    draft.data["teacher"] = _plan_data(draft, "data", draft.recipe.data)
    for round_ in draft.recipe.rounds:
        if round_.data is not None:
            own = _plan_data(draft, f"data-{round_.id}", round_.data, draft.data["teacher"].base)
            draft.data[round_.id] = draft.data[teacher_of(round_)] = own
        else:
            draft.data[round_.id] = _plan_tokens(draft, round_)
    plan_probes(draft)
    _plan_tuning(draft, "teacher", draft.recipe.teacher.fine_tune)


def _plan_data(draft: Draft, name: str, data: DataSpec, tokens: Artifact[TokenisedData] | None = None) -> DataInputs:
    """Read a data set; `tokens` is the data step whose tokenizer to use instead of the teacher's."""
    teacher = draft.recipe.teacher
    settings = prepare_data.Settings(
        task=draft.unjudged_task,
        train=pinned(data.train),
        columns=data.columns,
        labels=data.labels,
        max_length=data.max_length,
        tokenizer=teacher.model,
        revision=teacher.revision,
        vocabulary=teacher.scratch.vocabulary if teacher.scratch else None,
        teacher_labels=tokens is None and teacher.fine_tune is None,
        content=draft.sources.fingerprints[data.train],
    )
    base = draft.steps.add(
        name, prepare_data.KIND, settings, prepare_data.Inputs(tokens), "read, check and tokenize train"
    )
    splits: dict[str, Artifact[PreparedSplit]] = {}
    for split, source in data.splits().items():
        if split == "train":
            continue
        further = prepare_split.Settings(
            task=draft.unjudged_task,
            source=pinned(source),
            split=split,
            content=draft.sources.fingerprints[source],
        )
        compared = DataInputs(base, {"validation": splits["validation"]} if split == "test" else {})
        splits[split] = draft.steps.add(
            f"{name}-{split}",
            prepare_split.KIND,
            further,
            prepare_split.Inputs(compared),
            f"read, check and tokenize {split}",
        )
    return DataInputs(base, splits)


def _plan_tuning(draft: Draft, name: str, fine_tune: Schedule | None) -> None:
    """The recipe's teacher, fine-tuned on the given model's data according to `fine_tune`; None: not fine-tuned."""
    recipe = draft.recipe
    teacher = recipe.teacher.model_copy(update={"fine_tune": fine_tune})
    origin = teacher.model or "scratch"
    draft.models[name] = draft.steps.add(
        name,
        train_teacher.KIND,
        train_teacher.Settings(task=draft.task, teacher=teacher, seed=recipe.seed, compute=recipe.compute),
        train_teacher.Inputs(draft.reading(name, "validation")),
        f"fine-tune {origin} for {fine_tune.epochs} epochs" if fine_tune else f"load {origin}",
    )


@dataclass(frozen=True)
class Forms:
    """How a round's signals reach its student, the same in all arms."""

    chosen: SignalChoice
    """For distributions."""
    live: Mapping[str, str]
    """Signals that the teacher computes while the student trains, each with the reason."""


def choose_forms(draft: Draft, round_: Round) -> Forms:
    """Before any arm of the round is planned: within what earlier rounds leave of the budget."""
    if round_.data is not None:
        round_ = _taught_by(round_, teacher_of(round_))
    room = room_for(draft.recipe, round_, draft.recordings.values())
    chosen = choose_signals(draft.recipe, draft.sources, round_, draft.shapes, room)
    live = live_signals(draft.sources, round_, draft.shapes, replace(room, gb=room.gb - chosen.gb))
    if chosen.source == "live" and any("logits" in registry.needs(stage.losses) for stage in round_.stages):
        live["logits"] = chosen.reason or "as the recipe says"
    return Forms(chosen, live)


def plan_round(draft: Draft, round_: Round, arm: Arm, forms: Forms) -> list[str]:
    """One round in one arm, with its control and, with its own data, its teacher; returns the names of the models."""
    made, live = [], forms.live
    if round_.data is not None:
        teacher = teacher_of(round_)
        if teacher not in draft.models:  # once for all arms
            _plan_tuning(draft, teacher, round_.fine_tune)
            made.append(teacher)
        round_ = _taught_by(round_, teacher)
    signals = _plan_signals(draft, round_, arm, live, forms.chosen)
    choice = None
    if isinstance(round_.teacher, TeacherChoice):
        choice = _plan_trials(draft, round_, arm, signals, live)
        if not arm.suffix:
            draft.choices[round_.id] = choice
    name = arm.at(round_.id)
    draft.models[name] = _plan_student(draft, round_, arm, name, signals, live, choice)
    made.append(name)
    if draft.recipe.control:
        control = f"{round_.id}-control{arm.suffix}"
        draft.models[control] = _plan_control(draft, round_, arm, control)
        made.append(control)
    return made


def _taught_by(round_: Round, teacher: str) -> Round:
    """A round with its own data, with its fine-tuned teacher replacing the recipe's."""
    stages = tuple(
        stage.model_copy(update={"errors": stage.errors.model_copy(update={"of": teacher})}) if stage.errors else stage
        for stage in round_.stages
    )
    return round_.model_copy(update={"teacher": teacher, "stages": stages})


def _plan_tokens(draft: Draft, round_: Round) -> DataInputs:
    """The data in the student's tokens: the teacher's, its source's, or its own tokenizer's."""
    owner = own_tokenizer(draft.recipe, round_.id)
    if owner != round_.id:
        return draft.data["teacher" if owner is None else owner]
    source = source_of(round_.student)
    assert source is not None, "a student with a tokenizer of its own makes it from its source's"
    task, origin, name = draft.unjudged_task, draft.data[source], f"data-{round_.id}"
    maker = registry.student(round_.student.init).tokenizer_maker(round_.student)
    assert maker is not None, "it owns its tokenizer"
    settings = retokenise.Settings(task=task, student=maker)
    unlabelled = [split for split in draft.recipe.data.splits() if split == "unlabeled"]
    summary = f"tokenizer of {round_.id}: {maker.init} of {source}'s"
    base = draft.steps.add(name, retokenise.KIND, settings, retokenise.Inputs(origin.reading(*unlabelled)), summary)
    splits: dict[str, Artifact[PreparedSplit]] = {}
    for split in draft.recipe.data.splits():
        if split == "train":
            continue
        further = retokenise_split.Settings(task=task, split=split)
        inputs = retokenise_split.Inputs(source=origin.reading(split), data=DataInputs(base))
        summary = f"{split} in {round_.id}'s tokens"
        splits[split] = draft.steps.add(f"{name}-{split}", retokenise_split.KIND, further, inputs, summary)
    return DataInputs(base, splits)


def _plan_views(draft: Draft, round_: Round, stage: Stage, model: str) -> Artifact[TokenisedData]:
    """The stage's augmented texts in a model's tokens; the texts are the same for all models."""
    assert stage.augment is not None
    first, tokens = draft.data["teacher" if round_.data is None else round_.id], draft.data[model].base
    settings = augment_text.Settings(
        task=draft.unjudged_task, augment=stage.augment, splits=stage.data, seed=draft.recipe.seed
    )
    name = f"views-{round_.id}-{stage.name}" + ("" if tokens.step == first.base.step else f"-{tokens.step}")
    summary = f"{stage.augment.copies} augmented views of {' and '.join(stage.data)}"
    inputs = augment_text.Inputs(first.reading(*stage.data), tokens)
    return draft.steps.add(name, augment_text.KIND, settings, inputs, summary)


_RECORDED: tuple[Need, ...] = ("logits", "embedding", "hidden")


@dataclass(frozen=True)
class _RoundSignals:
    """The recorded signals of a round, and its views by stage."""

    signals: dict[SignalId, Artifact[Signals]] = field(default_factory=dict)
    views: dict[str, Artifact[TokenisedData]] = field(default_factory=dict)


def _plan_signals(
    draft: Draft, round_: Round, arm: Arm, live: Mapping[str, str], chosen: SignalChoice
) -> _RoundSignals:
    """Record the teacher signals that a round's losses need, and create its views."""
    planned = _RoundSignals()
    for stage in round_.stages:
        if stage.augment is not None:
            planned.views[stage.name] = _plan_views(draft, round_, stage, round_.id)
        for place in stage.places():
            sharing = [stage] if place.stage else [other for other in round_.stages if place.split in other.data]
            losses = [loss for other in sharing for loss in other.losses]
            for teacher in round_.teachers():
                for need in _RECORDED:
                    readers = [loss for loss in losses if need in registry.loss(loss.kind).needs]
                    if not readers or need in live:
                        continue
                    wanted = SignalId(_signal(chosen, need), teacher, place)
                    if wanted not in planned.signals:
                        reason = chosen.reason if need == "logits" else ""
                        planned.signals[wanted] = _plan_recording(draft, round_, arm, stage, wanted, readers, reason)
            if stage.errors is not None:
                wanted = SignalId("logits", stage.errors.of, place)
                if wanted not in planned.signals:
                    planned.signals[wanted] = _plan_recording(draft, round_, arm, stage, wanted, [])
    return planned


def _plan_recording(
    draft: Draft,
    round_: Round,
    arm: Arm,
    stage: Stage,
    wanted: SignalId,
    readers: Sequence[LossSpec],
    reason: str = "",
) -> Artifact[Signals]:
    """One signal of one model on one split or view, limited to what these losses use.

    Args:
        reason: why this form was chosen.
    """
    signal, (split, of_stage), model = wanted.signal, wanted.place, arm.at(wanted.model)
    spec = signals_of(draft.recipe, round_)
    packed, states, hidden = signal in PACKED, signal == "states", signal == "hidden"
    settings = record_signals.Settings(
        task=draft.unjudged_task,
        split=split,
        signal=signal,
        compute=draft.recipe.compute,
        max_gb=spec.max_gb,
        k=spec.k if packed else 0,
        bits=spec.log_p_bits if packed else spec.hidden_bits if states else 0,
        temperatures=temperatures(readers) if packed else (),
        layer_maps=tuple(_layers(loss) for loss in readers) if hidden else (),
        student_layers=depth(round_, draft.shapes) if hidden else None,
    )
    name = f"{signal}-{model}-{split}"
    tokens = None
    if projected(draft.recipe, round_, wanted.model) and signal in FORM_OF:
        name += f"-{round_.id}"
        data, tokens = draft.reading(round_.id, split), draft.data[wanted.model].base
    elif of_stage:
        name += f"-{round_.id}-{stage.name}"
        data = DataInputs(_plan_views(draft, round_, stage, wanted.model))
    else:
        name += f"-{round_.id}" if hidden or packed or states else ""
        data = draft.reading(wanted.model, split)
    seen = f"{split} of {round_.id} {stage.name}" if of_stage else split
    summary = f"record {_SHOWN.get(signal, signal)} of {model} on {seen}"
    size = 0.0
    if signal in FORM_OF:
        expected = expected_size(draft.recipe, draft.sources, round_, draft.shapes, settings, wanted.model)
        if expected is not None:
            summary, size = summary + expected.told(), expected.bytes
    elif hidden and (shape := draft.shapes.get(first_teacher(round_))) is not None:
        size = hidden_bytes(draft.sources, round_, shape, wanted.place)
    if tokens is not None:
        summary += f", projected onto {round_.id}'s tokens"
    summary += f"; {reason}" if reason else ""
    inputs = record_signals.Inputs(data, draft.models[model], tokens)
    kind = record_signals.KIND if tokens is None else record_signals.PROJECTED
    made = draft.steps.add(name, kind, settings, inputs, summary)
    named = what(draft.recipe, round_, signal, wanted.model, seen) + (f" ({model})" if model != wanted.model else "")
    draft.recordings.setdefault(made.key, recording(draft.recipe, round_, named, size))
    if signal == "logits" and wanted.place == Place("train"):
        draft.recorded[model] = made
    return made


_SHOWN: dict[Signal, str] = {
    "hidden": "hidden states",
    "states": "last hidden states",
    "top-k": "top-k signals",
    "sampled": "sampled classes",
}


def _signal(chosen: SignalChoice, need: Need) -> Signal:
    """The signal recorded for a need; for a distribution, in the chosen form."""
    if need == "logits":
        assert chosen.source != "live", "what is live is not recorded"
        return SIGNAL_OF[chosen.source]
    assert need in ("embedding", "hidden"), "nothing else is recorded"
    return need


def _layers(loss: LossSpec) -> LayerMap:
    layers = registry.loss(loss.kind).layers
    assert layers is not None, "the registry has no loss over hidden states without"
    return layers(loss)


def _plan_trials(
    draft: Draft, round_: Round, arm: Arm, planned: _RoundSignals, live: Mapping[str, str]
) -> Artifact[TeacherChosen]:
    """A short trial of every candidate teacher with equal budgets, and the choice."""
    assert isinstance(round_.teacher, TeacherChoice)
    trials = []
    for number, option in enumerate(round_.teacher.choose, start=1):
        short = tuple(
            stage.model_copy(update={"epochs": min(stage.epochs, round_.teacher.epochs)}) for stage in round_.stages
        )
        trial = round_.model_copy(update={"teacher": option, "stages": short})
        read = {*trial.teachers(), *(stage.errors.of for stage in round_.stages if stage.errors is not None)}
        own = _RoundSignals({wanted: made for wanted, made in planned.signals.items() if wanted.model in read})
        own.views.update(planned.views)
        trials.append(_plan_student(draft, trial, arm, f"{round_.id}{arm.suffix}-trial-{number}", own, live))
    settings = choose_teacher.Settings(task=draft.task, options=round_.teacher.choose)
    summary = f"choose the teacher of {round_.id} on validation, after {round_.teacher.epochs} epochs with each"
    inputs = choose_teacher.Inputs(tuple(trials))
    return draft.steps.add(f"{round_.id}{arm.suffix}-teacher", choose_teacher.KIND, settings, inputs, summary)


def _plan_student(
    draft: Draft,
    round_: Round,
    arm: Arm,
    name: str,
    planned: _RoundSignals,
    live: Mapping[str, str],
    choice: Artifact[TeacherChosen] | None = None,
) -> Artifact[TrainedModel]:
    """Train one student."""
    inputs = distil.Inputs(
        data=_read(draft, round_),
        views=planned.views,
        source=_source(draft, round_, arm),
        teachers={teacher: draft.models[arm.at(teacher)] for teacher in round_.teachers()},
        signals=planned.signals,
        choice=choice,
    )
    settings = _settings(draft, round_, arm, control=False, live=tuple(live))
    summary = f"{round_.student.init} student, from {show_teachers(round_.teacher)}, {_epochs(round_)}"
    summary += "".join(f"; {signal} live: {reason}" for signal, reason in live.items())
    return draft.steps.add(name, distil.KIND, settings, inputs, summary)


def _plan_control(draft: Draft, round_: Round, arm: Arm, name: str) -> Artifact[TrainedModel]:
    """The same student, data and number of steps with hard labels only, without any signals."""
    round_ = _untaught(round_)
    views = {
        stage.name: _plan_views(draft, round_, stage, round_.id) for stage in round_.stages if stage.augment is not None
    }
    inputs = distil.Inputs(
        data=_read(draft, round_), views=views, source=_source(draft, round_, arm), teachers={}, signals={}
    )
    summary = f"{round_.student.init} student without a teacher, {_epochs(round_)}"
    return draft.steps.add(name, distil.KIND, _settings(draft, round_, arm, control=True), inputs, summary)


def _settings(draft: Draft, round_: Round, arm: Arm, *, control: bool, live: tuple[str, ...] = ()) -> distil.Settings:
    # The inputs' keys stand for what is taken out.
    own = round_.model_copy(update={"data": None, "fine_tune": None, "signals": None})  # covered by the inputs' keys
    return distil.Settings(
        task=draft.task, round=own, seed=arm.seed, compute=draft.recipe.compute, control=control, live=live
    )


def _read(draft: Draft, round_: Round) -> DataInputs:
    """The validation split, and all splits that a stage reads."""
    return draft.reading(round_.id, "validation", *sorted({split for stage in round_.stages for split in stage.data}))


def _source(draft: Draft, round_: Round, arm: Arm) -> Artifact[TrainedModel] | None:
    """The student's source; with its own data, the teacher fine-tuned on that data."""
    source = source_of(round_.student)
    if source is None:
        return None
    return draft.models[teacher_of(round_) if source == "teacher" else arm.at(source)]


def _epochs(round_: Round) -> str:
    """`5 epochs, 2 of them in int4 arithmetic`."""
    counts: dict[str, int] = {}
    for stage in round_.stages:
        if stage.quantize is not None:
            counts[stage.quantize] = counts.get(stage.quantize, 0) + stage.epochs
    rounded = [f", {epochs} of them in {precision} arithmetic" for precision, epochs in counts.items()]
    return f"{sum(stage.epochs for stage in round_.stages)} epochs{''.join(rounded)}"


def show_teachers(teacher: Teachers | TeacherChoice) -> str:
    """`teacher`, `teacher + r1` (their mean), or `the better of teacher, r1`."""
    if isinstance(teacher, TeacherChoice):
        return f"the best of {', '.join(show_teachers(option) for option in teacher.choose)}"
    return teacher if isinstance(teacher, str) else " + ".join(teacher)


def _untaught(round_: Round) -> Round:
    """The same student, data and number of steps with hard labels only, independent of the original losses."""
    hard_label = registry.loss("hard_label").spec(kind="hard_label")
    plain = {"losses": (hard_label,), "errors": None, "teacher_errors": 1.0}
    stages = tuple(stage.model_copy(update=plain) for stage in round_.stages)
    return round_.model_copy(update={"stages": stages, "teacher": "none"})
