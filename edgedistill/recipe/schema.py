"""The recipe: what to keep and what it may cost. Frozen, typed, closed; defaults stand here or in their own spec."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from edgedistill.contracts import loss, registry, student, task_spec
from edgedistill.contracts.distribution import Form
from edgedistill.recipe import references
from edgedistill.recipe.augment import AugmentSpec
from edgedistill.spec import LocalPath, ModelRef, NotInKey, RoundRef, Spec, UnionOfSpecs


@dataclass(frozen=True)
class PluginUnion(UnionOfSpecs):
    """Marks a field whose type is the closed union of the specs of a plug-in group, told apart by `key`.

    The union is made when a recipe is read: importing this module imports no plug-in, and a plug-in may import it.
    """

    group: Literal["tasks", "losses", "students"]
    key: str

    def specs(self) -> tuple[type[Spec], ...]:
        """The specs of all that can be used now."""
        return tuple(registry.specs(self.group).values())

    def adapter(self) -> TypeAdapter[Spec]:
        """What validates the union."""
        return _union(self.key, self.specs())

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: object, info: core_schema.ValidationInfo) -> Spec:
            # A list is no tuple in a strict spec, but in JSON there is nothing else.
            if info.mode == "json":
                return self.adapter().validate_json(json.dumps(given))
            return self.adapter().validate_python(given)

        return core_schema.with_info_plain_validator_function(read)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        return handler(self.adapter().core_schema)


@functools.cache
def _union(key: str, specs: tuple[type[Spec], ...]) -> TypeAdapter[Spec]:
    union = functools.reduce(operator.or_, specs)
    return TypeAdapter(Annotated[union, Field(discriminator=key)])  # type: ignore[arg-type]  # a type made of values


TaskSpec = Annotated[task_spec.TaskSpec, PluginUnion("tasks", "type")]
LossSpec = Annotated[loss.LossSpec, PluginUnion("losses", "kind")]
StudentSpec = Annotated[student.StudentSpec, PluginUnion("students", "init")]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
SplitName = Literal["train", "validation", "test", "unlabeled"]


class DataSource(Spec):
    """One data set: a file or folder, a hub id, or one that comes with an installed library."""

    path: Annotated[str | None, LocalPath()] = None
    """A jsonl, csv or parquet file, or a folder saved by `datasets`; relative to the recipe."""
    hub: str | None = None
    """A data set's id on the Hub."""
    bundled: Literal["digits"] | None = None
    """One that comes with an installed library."""
    subset: str | None = None
    """Of a `hub` data set: its configuration."""
    revision: str = "main"
    """Of a `hub` data set: a branch, tag or commit. The plan pins the commit."""
    split: str | None = None
    """A split or slice of the source in `datasets` notation: `train[:90%]`."""

    @model_validator(mode="after")
    def _one_origin(self) -> DataSource:
        if sum(origin is not None for origin in (self.path, self.hub, self.bundled)) != 1:
            raise ValueError("expected one of 'path', 'hub', 'bundled'")
        return self


class DataSpec(Spec):
    """The data sets and how their columns are called."""

    train: DataSource
    """What is learned from."""
    validation: DataSource
    """For model selection; never trained on."""
    test: DataSource
    """Read at the end, for the figures in the report; nothing is chosen by it."""
    unlabeled: DataSource | None = None
    """Examples without labels, for which the teacher's answers are the only targets."""
    columns: Mapping[str, str] = Field(default_factory=dict)
    """What the task's columns are called in the data: `{text: utterance, label: intent}`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """What the data's labels are called from here on: label in the data -> name, as a teacher that is used as it is
    calls it. All of them or none."""
    max_length: int = Field(128, ge=4)
    """Tokens per input; longer texts are truncated, and texts of language models are split into windows."""

    @model_validator(mode="after")
    def _names_differ(self) -> DataSpec:
        twice = sorted({name for name in self.labels.values() if list(self.labels.values()).count(name) > 1})
        if twice:
            raise ValueError(f"expected 'labels' with a name of its own for every label, got {twice[0]!r:.80} twice")
        if "" in self.labels or "" in self.labels.values():
            raise ValueError("expected 'labels' without empty names")
        return self

    def splits(self) -> dict[SplitName, DataSource]:
        """The data sets that are given, by name."""
        named: dict[SplitName, DataSource | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "unlabeled": self.unlabeled,
        }
        return {name: source for name, source in named.items() if source is not None}


class Schedule(Spec):
    """How long and how fast: AdamW, linear warm-up, then a cosine to zero."""

    epochs: int = Field(3, ge=1)
    """Passes over the data."""
    learning_rate: float = Field(5e-5, gt=0)
    """The peak, after the warm-up."""
    batch_size: int = Field(32, ge=1)
    """Items per step."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Gradients are clipped to this norm."""


class Architecture(Spec):
    """A teacher trained from scratch, text with its own WordPiece vocabulary: for demonstrations and tests."""

    layers: int = Field(ge=1)
    """Transformer layers."""
    hidden_size: int = Field(ge=8)
    """Width of the hidden states."""
    heads: int | None = Field(None, ge=1)
    """Text needs it and the next; images have neither."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the feed-forward layers."""
    vocabulary: int = Field(2000, ge=50)
    """Tokens of its vocabulary, learned from the training texts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability while it trains."""


class TeacherSpec(Spec):
    """The large model: a hub id or folder, or an architecture to train from scratch."""

    model: Annotated[str | None, ModelRef(revision="revision")] = None
    """A model id on the Hub, or a folder with safetensors weights."""
    revision: str = "main"
    """Of a Hub model: a branch, tag or commit. The plan pins the commit."""
    scratch: Architecture | None = None
    """An architecture to train from scratch instead."""
    fine_tune: Schedule | None = None
    """How it is trained on the task first; none for a model that already does the task."""
    accept_chance: bool = False
    """Go on with a teacher that is used as it is although its answers on validation are no better than chance."""

    @model_validator(mode="after")
    def _one_origin(self) -> TeacherSpec:
        if (self.model is None) == (self.scratch is None):
            raise ValueError("expected either 'model' or 'scratch'")
        if self.scratch is not None and self.fine_tune is None:
            raise ValueError("a teacher from 'scratch' needs 'fine_tune' (epochs, learning_rate, batch_size)")
        return self


class ErrorWeights(Spec):
    """Items that an earlier model gets wrong are upweighted, or come more often."""

    of: Annotated[str, RoundRef()]
    """`teacher` or an earlier round."""
    against: Literal["labels", "teacher"] = "labels"
    """What is right: the labels, or what this round's teacher says."""
    kind: Literal["focal", "boost"] = "focal"
    """`focal` weights an example by how wrong the model was, `boost` by whether it was."""
    strength: float = Field(2.0, gt=0)
    """The exponent of `focal`, the factor of `boost`."""
    apply: Literal["weight", "oversample"] = "weight"
    """Upweight these examples in the loss, or sample them more often."""


class Place(NamedTuple):
    """A split, or the views that a stage makes of it."""

    split: Literal["train", "unlabeled"]
    stage: str = ""
    """Whose views they are; '' for the split itself."""


class Stage(Schedule):
    """One data set (or several, joined) and one list of losses."""

    name: Name
    """Its name in logs and reports, unique within the round."""
    data: tuple[Literal["train", "unlabeled"], ...] = ("train",)
    """The splits that it trains on."""
    losses: tuple[LossSpec, ...] = Field(min_length=1)
    """Added up, each times its `weight`."""
    errors: ErrorWeights | None = None
    """Upweights examples that an earlier model gets wrong."""
    teacher_errors: float = Field(1.0, ge=0, le=1)
    """How much the teacher counts where it contradicts the label: 1 as elsewhere, 0 not at all."""
    augment: AugmentSpec | None = None
    """Further views of the texts, beside the texts themselves."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Of the student while this stage trains; None: as its configuration says. A student that is small for what it is
    shown learns more without."""

    def places(self) -> tuple[Place, ...]:
        """Where the items come from: the splits, then the stage's views of them."""
        views = [Place(split, self.name) for split in self.data if self.augment is not None]
        return (*(Place(split) for split in self.data), *views)


Teachers = str | tuple[str, ...]
"""One model, or several whose logits are averaged."""


class TeacherChoice(Spec):
    """The teacher is decided on validation, by a short trial of each (capacity gap: Mirzadeh et al. 2020)."""

    choose: Annotated[tuple[Teachers, ...], RoundRef()] = Field(min_length=2)
    """The candidates, at least two: models, or lists of models to be averaged."""
    epochs: int = Field(1, ge=1)
    """The trial's length, the same for each."""


class SignalSpec(Spec):
    """What is recorded of a teacher, and what is computed again while the student trains."""

    form: Form | Literal["live", "auto"] = "dense"
    """Of a distribution: `dense`, logits; `top-k`, the likeliest classes with the mass of the rest; `hidden`, the last
    hidden states and the output head, of which the logits are exact at any temperature; or `live`, nothing: the teacher
    answers while the student learns. `auto` (`signals: auto` says the same): the plan takes what is exact and cheapest
    within `max_gb`, and says why."""
    k: int = Field(40, ge=1)
    """Of `top-k`."""
    log_p_bits: int = Field(6, ge=1, le=8)
    """Of each log-probability of `top-k`."""
    hidden_bits: Literal[8, 16] = 16
    """Of each entry of a state of `hidden`: 16-bit floats, or 8-bit integers with a scale of each state."""
    max_gb: Annotated[float, NotInKey()] = Field(4.0, ge=0)
    """What a signal of one split may take (10^9 bytes). Hidden states of layers that would take more are not recorded
    but computed again; of a distribution that would, the run is refused before anything is computed."""

    @model_validator(mode="before")
    @classmethod
    def _by_one_word(cls, given: object) -> object:
        return {"form": "auto"} if given == "auto" else given


class Round(Spec):
    """One teacher, one student."""

    id: Name
    """Its name: other parts of the recipe refer to its student by it."""
    teacher: Annotated[Teachers | TeacherChoice, RoundRef()] = "teacher"
    """`teacher`, an earlier round, a list of them (the mean of their logits), or a choice on validation."""
    student: StudentSpec
    """Where the student's architecture and first weights come from."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Trained one after the other."""
    data: DataSpec | None = None
    """Another data set with labels of its own: the head is replaced, the body goes on. None: the recipe's data."""
    fine_tune: Schedule | None = None
    """With `data`: how the recipe's teacher is tuned on it, to teach this round."""
    signals: SignalSpec | None = None
    """None: as the recipe says."""

    @model_validator(mode="after")
    def _own_data(self) -> Round:
        if (self.data is None) != (self.fine_tune is None):
            raise ValueError("expected 'data' and 'fine_tune' together: the teacher must know the round's labels")
        return self

    def teachers(self) -> tuple[str, ...]:
        """The ids of all models whose signals this round may learn from."""
        if isinstance(self.teacher, TeacherChoice):
            return tuple(dict.fromkeys(teacher for option in self.teacher.choose for teacher in flat(option)))
        return flat(self.teacher)


def flat(teachers: Teachers) -> tuple[str, ...]:
    """The ids of one or several teachers."""
    return (teachers,) if isinstance(teachers, str) else teachers


class Compute(Spec):
    """Where training runs."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` takes an accelerator where there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` is bf16 autocast where the device multiplies it faster (GPUs, CPUs with AMX); weights stay fp32."""


class ExportSpec(Spec):
    """The file formats to make, and whether the teacher is a candidate too."""

    targets: tuple[str, ...] = Field(("onnx",), min_length=1)
    """The file formats to make."""
    teacher: bool = True
    """Export and measure the teacher as well: a quantized teacher is the baseline that a student must beat."""
    buckets: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64, 128), min_length=1)
    """For targets of fixed shapes: a file for each of these lengths, up to the longest input, and one for that."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(60.0, gt=0)
    """A file that takes longer to make in a process of its own has failed."""

    @model_validator(mode="after")
    def _rising(self) -> ExportSpec:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"expected 'buckets' that rise, got {list(self.buckets)}")
        return self


class Calibration(Spec):
    """The real inputs from which a precision learns the range of activations."""

    from_: Literal["train", "unlabeled"] = Field("train", alias="from")
    """The split they are taken from."""
    take: int = Field(256, ge=1)
    """Items, evenly spread over the split."""


class QuantizeSpec(Spec):
    """One precision to make of every exported model, by each target in its own way."""

    precision: str
    """`fp32`, `fp16`, `int8-dynamic`, `int8-static`; some targets have more (`int8`, `int4`, `int4-tables`)."""
    calibration: Calibration | None = None
    """Only for precisions that look at data; 256 items of `train` where it isn't given."""


class VerifySpec(Spec):
    """What a device file must repeat of its torch student on the validation set."""

    min_agreement: float = Field(0.985, ge=0, le=1)
    """A candidate whose decisions agree less with its torch model's is never chosen."""


class EmulationSpec(Spec):
    """How runtimes of another processor are emulated; the others don't look at it."""

    cpu: Literal["cortex-a76", "cortex-a53"] = "cortex-a76"
    """With and without the int8 dot product."""
    items: int | None = Field(300, ge=1)
    """Ask only so many items of a split, evenly spread: emulation is slow. None: all."""


class MeasureSpec(Spec):
    """How candidates are timed."""

    runtimes: Annotated[tuple[str, ...] | None, NotInKey()] = Field(None, min_length=1)
    """Of these, every target is measured under those that open it; null: under its own. The candidates say which."""
    threads: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Numbers of threads to time each candidate with."""
    batch: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Numbers of items per run."""
    lengths: Literal["as_is"] | Annotated[int, Field(ge=1)] = "as_is"
    """Real lengths, or every input padded or cut to this many tokens."""
    prompts: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, min_length=1)
    """Of a task that is timed on prompts besides: their lengths in tokens; null: the task's own. Those that are longer
    than a model reads are left out. Limits and choice look at the longest that all candidates were timed on."""
    min_seconds: float = Field(5.0, gt=0)
    """Each candidate is timed for at least this long."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(30.0, gt=0)
    """A candidate whose process takes longer for one answer (to load, a split, a turn of timing) has failed."""
    emulation: Annotated[EmulationSpec, NotInKey()] = EmulationSpec()
    """Of what is emulated; what is timed does not look at it."""


def _with_drop(content: object) -> object:
    """`drop` is called `accuracy_drop` too, from when accuracy was the only metric."""
    if not isinstance(content, dict) or "accuracy_drop" not in content:
        return content
    if "drop" in content:
        raise ValueError("got both 'drop' and 'accuracy_drop', which is its older name; expected one of them")
    return {"drop" if key == "accuracy_drop" else key: value for key, value in content.items()}


class Limits(Spec):
    """What a shipped candidate may cost; what is not given is not limited."""

    file_mb: float | None = Field(None, gt=0)
    """Size of the model's files, in 10^6 bytes."""
    p95_ms: float | None = Field(None, gt=0)
    """95th percentile of the latency, in milliseconds."""
    peak_rss_mb: float | None = Field(None, gt=0)
    """Peak memory above an interpreter with numpy and the inputs, in 10^6 bytes."""
    load_ms: float | None = Field(None, gt=0)
    """From the file to a session that can run, in milliseconds."""
    ttft_ms: float | None = Field(None, gt=0)
    """Median time to the first token of a language model, in milliseconds."""
    tokens_per_s: float | None = Field(None, gt=0)
    """Median decoding speed after the first token, in tokens per second: a minimum."""
    drop: float | None = Field(None, ge=0)
    """By how much it may be worse than the teacher, on validation, in the metric's own units."""

    _older_name = model_validator(mode="before")(_with_drop)


class EvaluateSpec(Spec):
    """What every model is asked besides the test set."""

    ood: Mapping[Name, DataSource] = Field(default_factory=dict)
    """Out-of-distribution sets; items without a label, or with one that training doesn't have, are out of scope."""


class SelectSpec(Spec):
    """How to choose among the candidates within the limits."""

    limits: Limits = Limits()
    """What a candidate may cost; one beyond any of them is not chosen."""
    prefer: Annotated[
        Literal["metric", "latency", "size", "peak_rss_mb", "ttft_ms", "tokens_per_s"],
        BeforeValidator(lambda given: "metric" if given == "accuracy" else given),
    ] = "metric"
    """`metric` (or `accuracy`, its older name) is the task's."""
    tie: float = Field(0.005, ge=0)
    """Validation figures this close to the best count as equal; the faster candidate wins then."""


class StopConditions(Spec):
    """What ends the rounds; at least one."""

    drop: float | None = Field(None, ge=0)
    """The drop from the teacher, on validation, is shown to be larger than this."""
    limits_met: bool = False
    """A file of the round is within the limits on drop and file size, and so nothing smaller is needed."""

    _older_name = model_validator(mode="before")(_with_drop)

    @model_validator(mode="after")
    def _one_at_least(self) -> StopConditions:
        if self.drop is None and not self.limits_met:
            raise ValueError("expected 'drop' or 'limits_met: true'")
        return self


class StopSpec(Spec):
    """Whether to go on is decided after every round."""

    when: StopConditions
    """What ends the rounds."""
    test: Literal["paired_bootstrap", "mcnemar"] = "paired_bootstrap"
    """Of whether the drop is larger than allowed, paired by example."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Significance level of the test."""


class Recipe(Spec):
    """One recipe, `schema: edgedistill/1`."""

    schema_: Literal["edgedistill/1"] = Field(alias="schema")
    """The version of this format."""
    name: Name
    """Names the run's folder."""
    seed: int = Field(0, ge=0, lt=2**31)
    """All seeds are derived from it, by purpose."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    """Repeat all rounds with these seeds too, to see the spread; files are made of the first (`seed`) only."""
    task: TaskSpec
    """What the models do, and the metrics they are judged by."""
    data: DataSpec
    """The data sets."""
    teacher: TeacherSpec
    """The model to distil."""
    rounds: tuple[Round, ...] = Field(min_length=1)
    """Each round trains one student."""
    control: bool = True
    """Train each student once more with the same data and steps but without a teacher, to show the gain."""
    stop: StopSpec | None = None
    """Decide after each round whether to go on."""
    signals: SignalSpec = SignalSpec()
    """How the teachers' outputs are recorded."""
    compute: Compute = Compute()
    """Where training runs."""
    export: ExportSpec = ExportSpec()
    """The files to make of every model."""
    quantize: tuple[QuantizeSpec, ...] = Field((QuantizeSpec(precision="fp32"),), min_length=1)
    """The precisions to make of every file."""
    verify: VerifySpec = VerifySpec()
    """What a file must repeat of its torch model."""
    measure: MeasureSpec = MeasureSpec()
    """How candidates are timed."""
    select: SelectSpec = SelectSpec()
    """Which candidate to ship."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Further test sets."""


def source_of(spec: StudentSpec) -> str | None:
    """The id of the model that a student is cut from, or None when it comes from elsewhere."""
    return next((name for _, name in references.rounds(spec)), None)


def signals_of(recipe: Recipe, round_: Round) -> SignalSpec:
    """What is recorded for a round."""
    return recipe.signals if round_.signals is None else round_.signals


def teacher_of(round_: Round) -> str:
    """The model whose accuracy a round is held against: the teacher, or the teacher tuned on the round's own data."""
    return "teacher" if round_.data is None else f"teacher-{round_.id}"


def own_tokenizer(recipe: Recipe, model: str) -> str | None:
    """The model at which this model's tokenizer was made: itself or one that it was cut from; None: the teacher's."""
    for round_ in recipe.rounds:
        if round_.id == model:
            if registry.student(round_.student.init).tokenizer_maker(round_.student) is not None:
                return model
            source = source_of(round_.student)
            return own_tokenizer(recipe, source) if source else None
    return None


def tokenizers(recipe: Recipe, model: str) -> list[str | None]:
    """Where this model's tokenizer was made, and those that it was cut from; None: the teacher's, the last of all."""
    owner = own_tokenizer(recipe, model)
    if owner is None:
        return [None]
    made = next(round_ for round_ in recipe.rounds if round_.id == owner)
    return [owner, *tokenizers(recipe, source_of(made.student) or "teacher")]


def projected(recipe: Recipe, round_: Round, teacher: str) -> bool:
    """Whether decisions are tokens, and the teacher reads others than the student: what it says is projected."""
    apart = registry.task(recipe.task.type).data.sequences is not None
    return apart and own_tokenizer(recipe, teacher) != own_tokenizer(recipe, round_.id)
