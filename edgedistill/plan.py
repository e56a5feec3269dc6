"""The plan: a recipe as an ordered list of steps with content keys. Pure: no torch, no model, no disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module

from . import plugins
from .candidates import Candidate, candidates
from .recipe import Recipe, Round, SplitName, StudentSpec, source_of
from .shapes import ModelShape
from .sources import Sources
from .spec import Spec
from .step import Step, key_of
from .steps import (
    choose,
    distil,
    evaluate,
    export,
    measure,
    prepare_data,
    quantize,
    record_signals,
    report,
    train_teacher,
    verify,
)


@dataclass(frozen=True)
class ModelEstimate:
    """What a model will be, before it is; None where it can't be known without a download."""

    id: str
    origin: str
    layers: int | None
    hidden_size: int | None
    parameters: int | None
    file_bytes: Mapping[str, int | None] = field(default_factory=dict)
    """By precision."""


@dataclass(frozen=True)
class Plan:
    """Steps in the order they run, the models they make, and the candidates they measure."""

    recipe: Recipe
    steps: tuple[Step, ...]
    models: tuple[ModelEstimate, ...]
    candidates: tuple[Candidate, ...]

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)


def make_plan(recipe: Recipe, sources: Sources) -> Plan:
    """The plan of a recipe, given what is known of its inputs."""
    steps = _Steps()
    rows = candidates(recipe)
    _training_steps(recipe, sources, steps)
    _device_steps(recipe, rows, steps)
    _closing_steps(recipe, rows, steps)
    return Plan(recipe, tuple(steps.ordered), estimate_models(recipe, sources), rows)


class _Steps:
    """Collects steps; each key comes from the keys of its inputs, so order is checked as it is built."""

    def __init__(self) -> None:
        self.ordered: list[Step] = []
        self._by_key: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    def add(
        self,
        name: str,
        kind: str,
        settings: Spec,
        inputs: Mapping[str, str],
        summary: str,
        identity: object = None,
    ) -> str:
        """Append a step, unless one with the same key is there already; returns the name of the one to read.

        `identity` stands for the settings in the key where they hold paths or plug-in versions.
        """
        version = import_module(f"edgedistill.steps.{kind}").VERSION
        known = identity if identity is not None else settings.model_dump(mode="json", by_alias=True)
        key = key_of(kind, version, known, {role: self._keys[step] for role, step in inputs.items()})
        if key in self._by_key:
            return self._by_key[key]
        self._by_key[key] = name
        self._keys[name] = key
        self.ordered.append(Step(name, kind, settings, dict(inputs), key, summary))
        return name


def _training_steps(recipe: Recipe, sources: Sources, steps: _Steps) -> None:
    """Data, the teacher, and every round with the signals it learns from and its control."""
    teacher = recipe.teacher
    origin = teacher.model or "scratch"
    fingerprint = sources.models.get(origin, "scratch")
    data = prepare_data.Settings(
        task=recipe.task.type,
        data=recipe.data,
        tokenizer=teacher.model,
        revision=teacher.revision,
        vocabulary=teacher.scratch.vocabulary if teacher.scratch else None,
        teacher_labels=teacher.fine_tune is None,
    )
    reading = {"columns": dict(recipe.data.columns), "max_length": recipe.data.max_length}
    without_places = data.model_dump(mode="json", exclude={"data", "tokenizer", "revision"}) | {"data": reading}
    steps.add(
        "data",
        "prepare_data",
        data,
        {},
        f"read, check and tokenise {', '.join(recipe.data.splits())}",
        [without_places, sources.data, fingerprint],
    )
    trained = train_teacher.Settings(task=recipe.task, teacher=teacher, seed=recipe.seed, compute=recipe.compute)
    verb = f"fine-tune {origin} for {teacher.fine_tune.epochs} epochs" if teacher.fine_tune else f"load {origin}"
    steps.add(
        "teacher",
        "train_teacher",
        trained,
        {"data": "data"},
        verb,
        [trained.model_dump(mode="json", exclude={"teacher": {"model", "revision"}}), fingerprint],
    )
    for each in recipe.rounds:
        live = live_signals(recipe, sources, each)
        signals = _signal_steps(recipe, sources, each, live, steps)
        _round_step(recipe, sources, each, signals, steps, live=live)
        if recipe.control:
            _control_step(recipe, sources, each, steps)


def _signal_steps(
    recipe: Recipe, sources: Sources, each: Round, live: Mapping[str, str], steps: _Steps
) -> dict[str, str]:
    """Plan the recording of what a round's losses need of its teachers; returns role -> step name."""
    inputs: dict[str, str] = {}

    def record(model: str, split: SplitName, **settings: object) -> None:
        signal = settings["signal"]
        own = record_signals.Settings.model_validate(
            {"task": recipe.task.type, "split": split, "compute": recipe.compute, **settings}
        )
        name = f"{signal}-{model}-{split}" + (f"-{each.id}" if signal == "hidden" else "")
        shown = "hidden states" if signal == "hidden" else signal
        reading = {"data": "data", "model": model}
        inputs[f"{signal}:{model}:{split}"] = steps.add(
            name, "record_signals", own, reading, f"record {shown} of {model} on {split}"
        )

    splits: tuple[SplitName, ...] = ("train", "unlabeled")
    for split in splits:
        stages = [stage for stage in each.stages if split in stage.data]
        losses = [loss for stage in stages for loss in stage.losses]
        for teacher in each.teachers():
            for signal in ("logits", "embedding", "hidden"):
                readers = [loss for loss in losses if signal in plugins.find("losses", loss.kind).NEEDS]
                if not readers or signal in live:
                    continue
                more: dict[str, object] = {}
                if signal == "hidden":
                    maps = tuple(getattr(loss, "layers", "uniform") for loss in readers)
                    more = {"layer_maps": maps, "student_layers": _depth(recipe, sources, each.student)}
                record(teacher, split, signal=signal, **more)
        for corrected in dict.fromkeys(stage.errors.of for stage in stages if stage.errors is not None):
            record(corrected, split, signal="logits")
    return inputs


def live_signals(recipe: Recipe, sources: Sources, each: Round) -> dict[str, str]:
    """What a round's teacher gives while the student trains instead of being recorded, each with the reason."""
    needs = {need for stage in each.stages for loss in stage.losses for need in plugins.find("losses", loss.kind).NEEDS}
    found: dict[str, str] = {}
    if "attention" in needs:
        found["attention"] = "it grows with the square of the length"
    if "relations" in needs:
        found["relations"] = "queries, keys and values of every layer are too large to keep"
    if "hidden" in needs:
        shape = _shapes(recipe, sources).get(each.teachers()[0])
        read = {split for stage in each.stages for split in stage.data}
        # A token of European text takes about four bytes; hidden states take two bytes a dimension.
        tokens = sum(size for split, size in sources.data_bytes.items() if split in read) / 4
        if shape is not None:
            size_gb = tokens * shape.hidden_size * 2 * (shape.layers + 1) / 1e9
            if size_gb > recipe.signals.max_gb:
                found["hidden"] = f"about {size_gb:.1f} GB are more than signals.max_gb {recipe.signals.max_gb:g}"
    return found


def _round_step(
    recipe: Recipe,
    sources: Sources,
    each: Round,
    signals: Mapping[str, str],
    steps: _Steps,
    *,
    control: bool = False,
    live: Mapping[str, str] | None = None,
) -> None:
    """Plan the making of one student. The control is given no signals, and nothing live."""
    settings = distil.Settings(
        task=recipe.task,
        round=each,
        seed=recipe.seed,
        compute=recipe.compute,
        control=control,
        live=tuple(live or ()),
    )
    inputs = {"data": "data", **signals}
    source = source_of(each.student)
    if source is not None:
        inputs["source"] = source
    if not control:
        inputs |= {f"teacher:{teacher}": teacher for teacher in each.teachers()}
    origin = getattr(each.student, "model", None)
    identity = settings.model_dump(mode="json", by_alias=True)
    if origin is not None:
        identity["round"]["student"] |= {"model": sources.models[origin], "revision": ""}
    epochs = sum(stage.epochs for stage in each.stages)
    name = f"{each.id}-control" if control else each.id
    taught = "the same student without a teacher" if control else f"from {' + '.join(each.teachers())}"
    summary = f"{each.student.init} student, {taught}, {epochs} epochs"
    summary += "".join(f"; {signal} live: {reason}" for signal, reason in (live or {}).items())
    steps.add(name, "distil", settings, inputs, summary, identity)


def _control_step(recipe: Recipe, sources: Sources, each: Round, steps: _Steps) -> None:
    """The same student, data and number of steps with hard labels only; what the losses were changes nothing of it."""
    hard_label = plugins.find("losses", "hard_label").SPEC(kind="hard_label")
    plain = {"losses": (hard_label,), "errors": None, "teacher_errors": 1.0}
    stages = tuple(stage.model_copy(update=plain) for stage in each.stages)
    untaught = each.model_copy(update={"stages": stages, "teacher": "none"})
    _round_step(recipe, sources, untaught, {}, steps, control=True)


def _device_steps(recipe: Recipe, rows: tuple[Candidate, ...], steps: _Steps) -> None:
    """Evaluate every model; export, quantize and verify every file."""
    controls = [f"{each.id}-control" for each in recipe.rounds] if recipe.control else []
    for model in ["teacher", *(each.id for each in recipe.rounds), *controls]:
        settings = evaluate.Settings(task=recipe.task)
        reading = {"data": "data", "model": model}
        steps.add(f"evaluate-{model}", "evaluate", settings, reading, f"logits of {model} on validation and test")
    for row in rows:
        exporter, quantizer = plugins.find("exporters", row.target), plugins.find("quantizers", row.precision)
        exported = export.Settings(task=recipe.task.type, target=row.target)
        export_name = steps.add(
            f"export-{row.round}-{row.target}",
            "export",
            exported,
            {"data": "data", "model": row.round},
            f"export {row.round} to {row.target}",
            [exported.model_dump(mode="json"), exporter.VERSION],
        )
        quantized = quantize.Settings(precision=row.precision, target=row.target)
        file_name = steps.add(
            f"quantize-{row.file_key}",
            "quantize",
            quantized,
            {"export": export_name},
            f"make {row.precision}",
            [quantized.model_dump(mode="json"), quantizer.VERSION],
        )
        steps.add(
            f"verify-{row.verify_key}",
            "verify",
            verify.Settings(task=recipe.task, runtime=row.runtime),
            {"data": "data", "file": file_name, "reference": f"evaluate-{row.round}"},
            f"{row.round} {row.precision} under {row.runtime} against torch, on validation",
        )


def _closing_steps(recipe: Recipe, rows: tuple[Candidate, ...], steps: _Steps) -> None:
    """Measure all candidates together, choose, report."""
    files = {f"file:{row.file_key}": f"quantize-{row.file_key}" for row in rows}
    verified = {f"verify:{row.verify_key}": f"verify-{row.verify_key}" for row in rows}
    evaluated = {step.name.replace("-", ":", 1): step.name for step in steps.ordered if step.kind == "evaluate"}
    models = {f"model:{name.split(':', 1)[1]}": name.split(":", 1)[1] for name in evaluated}
    steps.add(
        "measure",
        "measure",
        measure.Settings(task=recipe.task, measure=recipe.measure, candidates=rows),
        {"data": "data", **files},
        f"accuracy, latency and memory of {len(rows)} candidates, interleaved",
    )
    steps.add(
        "choose",
        "choose",
        choose.Settings(
            task=recipe.task,
            select=recipe.select,
            min_agreement=recipe.verify.min_agreement,
            candidates=rows,
        ),
        {"data": "data", "measure": "measure", "evaluate:teacher": "evaluate-teacher", **verified},
        "apply the limits",
    )
    steps.add(
        "report",
        "report",
        report.Settings(
            recipe=recipe.name,
            task=recipe.task,
            rounds=recipe.rounds,
            candidates=rows,
            select=recipe.select,
        ),
        {
            "data": "data",
            "measure": "measure",
            "choose": "choose",
            **models,
            **evaluated,
            **verified,
            **files,
        },
        "results.json, report.md, report.html",
    )


def estimate_models(recipe: Recipe, sources: Sources) -> tuple[ModelEstimate, ...]:
    """The teacher and every student with their expected parameters and file sizes."""
    origins = {"teacher": recipe.teacher.model or "scratch"} | {each.id: each.student.init for each in recipe.rounds}
    return tuple(_estimate(name, origins[name], shape, recipe) for name, shape in _shapes(recipe, sources).items())


def _estimate(name: str, origin: str, shape: ModelShape | None, recipe: Recipe) -> ModelEstimate:
    parameters = shape.parameters() if shape else None
    sizes = {
        q.precision: round(parameters * plugins.find("quantizers", q.precision).BYTES_PER_PARAMETER)
        if parameters
        else None
        for q in recipe.quantize
    }
    return ModelEstimate(
        name, origin, shape.layers if shape else None, shape.hidden_size if shape else None, parameters, sizes
    )


def _teacher_shape(recipe: Recipe, sources: Sources) -> ModelShape | None:
    architecture, labels = recipe.teacher.scratch, sources.labels or 2
    if architecture is not None:
        return ModelShape(
            "bert",
            architecture.layers,
            architecture.hidden_size,
            architecture.heads,
            architecture.intermediate_size,
            architecture.vocabulary,
            recipe.data.max_length,
            1,
            labels,
        )
    config = sources.configs.get(recipe.teacher.model or "")
    return ModelShape.from_config(config, labels) if config else None


def _student_shape(
    student: StudentSpec, shapes: Mapping[str, ModelShape | None], sources: Sources
) -> ModelShape | None:
    source = source_of(student)
    if source is None:
        config = sources.configs.get(getattr(student, "model", ""))
        base = ModelShape.from_config(config, sources.labels or 2) if config else None
    else:
        base = shapes[source]
    if base is None:
        return None
    layers = getattr(student, "layers", None)
    return base.resized(
        layers=len(layers) if isinstance(layers, tuple) else layers,
        hidden_size=getattr(student, "hidden_size", None),
        heads=getattr(student, "heads", None),
        intermediate_size=getattr(student, "intermediate_size", None),
    )


def _shapes(recipe: Recipe, sources: Sources) -> dict[str, ModelShape | None]:
    """The shape of every model, None where only a download can tell."""
    shapes = {"teacher": _teacher_shape(recipe, sources)}
    for each in recipe.rounds:
        shapes[each.id] = _student_shape(each.student, shapes, sources)
    return shapes


def _depth(recipe: Recipe, sources: Sources, student: StudentSpec) -> int | None:
    """A student's number of layers, or None when only a download can tell (all layers are recorded then)."""
    layers = getattr(student, "layers", None)
    if layers is not None:
        return len(layers) if isinstance(layers, tuple) else int(layers)
    shapes = _shapes(recipe, sources)
    shape = next(shapes[each.id] for each in recipe.rounds if each.student is student)
    return shape.layers if shape else None
