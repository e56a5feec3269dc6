"""The recipe schema: frozen, typed and closed. Defaults are set here or in the specs of plug-ins."""

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
from edgedistill.recipe.quantization import QuantizeSpec
from edgedistill.spec import LocalPath, ModelRef, Name, NotInKey, PluginName, RoundRef, Spec, UnionOfSpecs


@dataclass(frozen=True)
class PluginUnion(UnionOfSpecs):
    """Marks a field whose type is the closed union of the specs of a plug-in group, told apart by `key`.

    The union is built when a recipe is read: importing this module imports no plug-in, so a plug-in may import it.
    """

    group: Literal["tasks", "losses", "students"]
    key: str

    def specs(self) -> tuple[type[Spec], ...]:
        """The specs of all usable plug-ins of the group."""
        return tuple(registry.specs(self.group).values())

    def adapter(self) -> TypeAdapter[Spec]:
        """The validator of the union."""
        return _union(self.key, self.specs())

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(given: object, info: core_schema.ValidationInfo) -> Spec:
            # Strict specs refuse a list for a tuple, but JSON has only lists.
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

SplitName = Literal["train", "validation", "test", "unlabeled"]


class DataSource(Spec):
    """One data set: a file or folder, a Hub id, or one bundled with an installed library."""

    path: Annotated[str | None, LocalPath()] = None
    """A jsonl, csv or parquet file, or a folder saved by `datasets`; relative to the recipe."""
    hub: str | None = None
    """A data set's id on the Hub."""
    bundled: Literal["digits"] | None = None
    """A data set bundled with an installed library."""
    subset: str | None = None
    """Configuration of a `hub` data set."""
    revision: str = "main"
    """Branch, tag or commit of a `hub` data set. The plan pins the commit."""
    split: str | None = None
    """A split or slice of the source in `datasets` notation: `train[:90%]`."""

    @model_validator(mode="after")
    def _one_origin(self) -> DataSource:
        if sum(origin is not None for origin in (self.path, self.hub, self.bundled)) != 1:
            raise ValueError("expected one of 'path', 'hub', 'bundled'")
        return self


class DataSpec(Spec):
    """The data sets and the names of their columns."""

    train: DataSource
    """The training set."""
    validation: DataSource
    """For model selection; never trained on."""
    test: DataSource
    """Held out for the reported figures; never used for any choice."""
    unlabeled: DataSource | None = None
    """Examples without labels, for which the teacher's answers are the only targets."""
    columns: Mapping[str, str] = Field(default_factory=dict)
    """Names of the task's columns in the data: `{text: utterance, label: intent}`."""
    labels: Mapping[str, str] = Field(default_factory=dict)
    """New names for the labels (label in the data -> name), such as the class names of a teacher that is not
    fine-tuned. All of them or none."""
    max_length: int = Field(128, ge=4)
    """Tokens per input; longer texts are truncated, and texts of language models are split into windows."""

    @model_validator(mode="after")
    def _names_differ(self) -> DataSpec:
        twice = sorted({name for name in self.labels.values() if list(self.labels.values()).count(name) > 1})
        if twice:
            raise ValueError(f"expected 'labels' with a different name for every label, got {twice[0]!r:.80} twice")
        if "" in self.labels or "" in self.labels.values():
            raise ValueError("expected 'labels' without empty names")
        return self

    def splits(self) -> dict[SplitName, DataSource]:
        """The given data sets, by name."""
        named: dict[SplitName, DataSource | None] = {
            "train": self.train,
            "validation": self.validation,
            "test": self.test,
            "unlabeled": self.unlabeled,
        }
        return {name: source for name, source in named.items() if source is not None}


class Schedule(Spec):
    """Training schedule: AdamW with linear warm-up, then cosine decay to zero."""

    epochs: int = Field(3, ge=1)
    """Passes over the data."""
    learning_rate: float = Field(5e-5, gt=0)
    """Peak learning rate, reached after the warm-up."""
    batch_size: int = Field(32, ge=1)
    """Items per step."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Fraction of the steps used for warm-up."""
    weight_decay: float = Field(0.01, ge=0)
    """Weight decay of AdamW."""
    max_grad_norm: float = Field(1.0, gt=0)
    """Maximum gradient norm; larger gradients are clipped."""


class Architecture(Spec):
    """A teacher to train from scratch, for demonstrations and tests; for text, with its own WordPiece vocabulary."""

    layers: int = Field(ge=1)
    """Transformer layers."""
    hidden_size: int = Field(ge=8)
    """Width of the hidden states."""
    heads: int | None = Field(None, ge=1)
    """Attention heads; required for text, as is `intermediate_size`; neither applies to images."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the feed-forward layers."""
    vocabulary: int = Field(2000, ge=50)
    """Vocabulary size; the vocabulary is learned from the training texts."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout probability during training."""


class TeacherSpec(Spec):
    """The large model: a Hub id or folder, or an architecture to train from scratch."""

    model: Annotated[str | None, ModelRef(revision="revision")] = None
    """A model id on the Hub, or a folder with safetensors weights."""
    revision: str = "main"
    """Branch, tag or commit of a Hub model. The plan pins the commit."""
    scratch: Architecture | None = None
    """An architecture to train from scratch instead."""
    fine_tune: Schedule | None = None
    """Fine-tuning schedule; omit if the model is already fine-tuned for the task."""
    accept_chance: bool = False
    """Accept a teacher that is not fine-tuned even if its validation score is no better than chance."""

    @model_validator(mode="after")
    def _one_origin(self) -> TeacherSpec:
        if (self.model is None) == (self.scratch is None):
            raise ValueError("expected either 'model' or 'scratch'")
        if self.scratch is not None and self.fine_tune is None:
            raise ValueError("a teacher from 'scratch' needs 'fine_tune' (epochs, learning_rate, batch_size)")
        return self


class ErrorWeights(Spec):
    """Upweights or oversamples examples that an earlier model gets wrong."""

    of: Annotated[str, RoundRef()]
    """The model whose errors count: `teacher` or an earlier round."""
    against: Literal["labels", "teacher"] = "labels"
    """What counts as correct: the labels, or the predictions of this round's teacher."""
    kind: Literal["focal", "boost"] = "focal"
    """`focal` weights an example by how wrong the model is, `boost` by whether it is wrong."""
    strength: float = Field(2.0, gt=0)
    """The exponent of `focal`, the factor of `boost`."""
    apply: Literal["weight", "oversample"] = "weight"
    """Upweight these examples in the loss, or sample them more often."""


class Place(NamedTuple):
    """A split, or a stage's augmented views of it."""

    split: Literal["train", "unlabeled"]
    stage: str = ""
    """The stage the views belong to; '' for the split itself."""


class Stage(Schedule):
    """Trains on one data set (or several, concatenated) with one list of losses."""

    name: Name
    """Name in logs and reports, unique within the round."""
    data: tuple[Literal["train", "unlabeled"], ...] = ("train",)
    """Splits to train on."""
    losses: tuple[LossSpec, ...] = Field(min_length=1)
    """Loss terms, summed with their `weight`."""
    errors: ErrorWeights | None = None
    """Upweights examples that an earlier model gets wrong."""
    teacher_errors: float = Field(1.0, ge=0, le=1)
    """Weight of the teacher on examples where it contradicts the label: 1 as usual, 0 ignored."""
    augment: AugmentSpec | None = None
    """Augmented views of the texts, in addition to the texts themselves."""
    dropout: float | None = Field(None, ge=0, lt=1)
    """Dropout of the student in this stage; null: as in its configuration. Students that are small relative to the
    data learn more without dropout."""
    quantize: Annotated[str | None, PluginName("quantizers")] = None
    """Train in the arithmetic of this precision's `onnx` file (`int8-dynamic`, `int8`, `int4`, `int4-tables`, `int2`),
    rounding included, and keep the epoch that is best in it. After the last stage the weights themselves are rounded,
    so that this file loses nothing more."""

    def places(self) -> tuple[Place, ...]:
        """The sources of items: the splits, then the stage's augmented views of them."""
        views = [Place(split, self.name) for split in self.data if self.augment is not None]
        return (*(Place(split) for split in self.data), *views)


Teachers = str | tuple[str, ...]
"""One model, or several whose logits are averaged."""


class TeacherChoice(Spec):
    """Chooses the teacher on validation, after a short trial of each candidate (capacity gap: Mirzadeh et al. 2020)."""

    choose: Annotated[tuple[Teachers, ...], RoundRef()] = Field(min_length=2)
    """At least two candidates: models, or lists of models to average."""
    epochs: int = Field(1, ge=1)
    """Length of each trial, in epochs."""


class SignalSpec(Spec):
    """Which teacher outputs are recorded, and which are recomputed while the student trains."""

    form: Form | Literal["live", "auto"] = "dense"
    """How distributions are recorded: `dense`, all logits; `top-k`, the most likely classes and the remaining mass;
    `hidden`, the last hidden states and the output head, which give exact logits at any temperature; or `live`, not at
    all: the teacher runs while the student trains. With `auto` (short: `signals: auto`) the plan picks the cheapest
    exact form within `max_gb`, and says why."""
    k: int = Field(40, ge=1)
    """Number of classes that `top-k` records."""
    log_p_bits: int = Field(6, ge=1, le=8)
    """Bits per log-probability in `top-k`."""
    hidden_bits: Literal[8, 16] = 16
    """Bits per entry of a hidden state: 16-bit floats, or 8-bit integers with one scale per state."""
    max_gb: Annotated[float, NotInKey()] = Field(4.0, ge=0)
    """Maximum size of one signal of one split, in 10^9 bytes. Hidden states of layers that would exceed it are
    recomputed during training; a distribution that would exceed it is refused before anything is computed."""

    @model_validator(mode="before")
    @classmethod
    def _by_one_word(cls, given: object) -> object:
        return {"form": "auto"} if given == "auto" else given


class Round(Spec):
    """Trains one student from one teacher."""

    id: Name
    """Name by which other parts of the recipe refer to the round's student."""
    teacher: Annotated[Teachers | TeacherChoice, RoundRef()] = "teacher"
    """`teacher`, an earlier round, a list of these (the mean of their logits), or a choice made on validation."""
    student: StudentSpec
    """Architecture and initial weights of the student."""
    stages: tuple[Stage, ...] = Field(min_length=1)
    """Training stages, in order."""
    data: DataSpec | None = None
    """Another data set with its own labels; the head is replaced and the body kept. Default: the recipe's data."""
    fine_tune: Schedule | None = None
    """With `data`: schedule for fine-tuning the recipe's teacher on it, to teach this round."""
    signals: SignalSpec | None = None
    """Signal settings of this round. Default: the recipe's."""

    @model_validator(mode="after")
    def _own_data(self) -> Round:
        if (self.data is None) != (self.fine_tune is None):
            raise ValueError("expected 'data' and 'fine_tune' together: the teacher must know the round's labels")
        return self

    def teachers(self) -> tuple[str, ...]:
        """The ids of all models that this round may learn from."""
        if isinstance(self.teacher, TeacherChoice):
            return tuple(dict.fromkeys(teacher for option in self.teacher.choose for teacher in flat(option)))
        return flat(self.teacher)


def flat(teachers: Teachers) -> tuple[str, ...]:
    """The ids of one or several teachers."""
    return (teachers,) if isinstance(teachers, str) else teachers


class Compute(Spec):
    """Where models are trained, recorded and evaluated, and in what precision they are trained."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` uses an accelerator if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` uses bf16 autocast where it is faster (GPUs, CPUs with AMX); weights stay fp32."""


class ExportSpec(Spec):
    """File formats to export, and whether the teacher is exported too."""

    targets: tuple[str, ...] = Field(("onnx",), min_length=1)
    """File formats to export to."""
    teacher: bool = True
    """Also export and measure the teacher: a quantized teacher is the baseline that students must beat."""
    buckets: tuple[Annotated[int, Field(ge=1)], ...] = Field((16, 32, 64, 128), min_length=1)
    """For targets with fixed shapes: one file for each of these input lengths, up to the longest input's, and one for
    the longest."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(60.0, gt=0)
    """Time limit for exporting one file; beyond it the export fails."""

    @model_validator(mode="after")
    def _rising(self) -> ExportSpec:
        if list(self.buckets) != sorted(set(self.buckets)):
            raise ValueError(f"expected 'buckets' in ascending order, got {list(self.buckets)}")
        return self


class VerifySpec(Spec):
    """How closely an exported file must match its PyTorch model on the validation set."""

    min_agreement: float = Field(0.985, ge=0, le=1)
    """Minimum share of decisions on which they agree; a candidate below it is never chosen."""


class EmulationSpec(Spec):
    """How runtimes for another processor are emulated; native runtimes ignore it."""

    cpu: Literal["cortex-a76", "cortex-a53"] = "cortex-a76"
    """Emulated CPU: `cortex-a76` has the int8 dot product, `cortex-a53` does not."""
    items: int | None = Field(300, ge=1)
    """Number of items of each split to run, evenly spaced, since emulation is slow; null: all."""


class MeasureSpec(Spec):
    """How candidates are benchmarked."""

    runtimes: Annotated[tuple[str, ...] | None, NotInKey()] = Field(None, min_length=1)
    """Runtimes to measure with; each target uses those that can open it. null: the target's default runtime."""
    threads: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Thread counts to benchmark."""
    batch: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    """Batch sizes to benchmark."""
    lengths: Literal["as_is"] | Annotated[int, Field(ge=1)] = "as_is"
    """Real lengths, or every input padded or truncated to this many tokens."""
    prompts: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(None, min_length=1)
    """Prompt lengths in tokens, for tasks that are also timed on prompts; null: the task's default. Prompts longer than
    a model's context are skipped. Limits and choice use the longest prompt on which all candidates were timed."""
    min_seconds: float = Field(5.0, gt=0)
    """Minimum time to benchmark each candidate, in seconds."""
    timeout_minutes: Annotated[float, NotInKey()] = Field(30.0, gt=0)
    """Time limit for one request to a candidate's process (load, predict a split, one timing pass); beyond it the
    candidate fails."""
    emulation: Annotated[EmulationSpec, NotInKey()] = EmulationSpec()
    """Settings of emulated runtimes."""


def _with_drop(content: object) -> object:
    """Accept `accuracy_drop`, the name of `drop` from when accuracy was the only metric."""
    if not isinstance(content, dict) or "accuracy_drop" not in content:
        return content
    if "drop" in content:
        raise ValueError("got both 'drop' and 'accuracy_drop', its older name; expected one of them")
    return {"drop" if key == "accuracy_drop" else key: value for key, value in content.items()}


class Limits(Spec):
    """Limits on a shipped candidate; anything not given is unlimited."""

    file_mb: float | None = Field(None, gt=0)
    """Size of the model's files, in 10^6 bytes."""
    shipped_mb: float | None = Field(None, gt=0)
    """Size of the model's files and the tokenizer that a device needs beside them, in 10^6 bytes."""
    p95_ms: float | None = Field(None, gt=0)
    """95th percentile latency, in milliseconds."""
    peak_rss_mb: float | None = Field(None, gt=0)
    """Peak memory beyond an interpreter with numpy and the inputs, in 10^6 bytes."""
    load_ms: float | None = Field(None, gt=0)
    """Time from opening the file to a session that is ready to run, in milliseconds."""
    ttft_ms: float | None = Field(None, gt=0)
    """Median time to the first token of a language model, in milliseconds."""
    tokens_per_s: float | None = Field(None, gt=0)
    """Median decoding speed after the first token, in tokens per second: a minimum."""
    drop: float | None = Field(None, ge=0)
    """Maximum drop from the teacher on validation, in the metric's units."""

    _older_name = model_validator(mode="before")(_with_drop)


class EvaluateSpec(Spec):
    """Additional test sets for every model."""

    ood: Mapping[Name, DataSource] = Field(default_factory=dict)
    """Out-of-distribution test sets; items without a label, or with one not seen in training, are out of scope."""


class SelectSpec(Spec):
    """How to choose among the candidates within the limits."""

    limits: Limits = Limits()
    """A candidate that exceeds any of them is not chosen."""
    prefer: Annotated[
        Literal["metric", "latency", "size", "peak_rss_mb", "ttft_ms", "tokens_per_s"],
        BeforeValidator(lambda given: "metric" if given == "accuracy" else given),
    ] = "metric"
    """What to optimise among the candidates within the limits; `metric` (formerly `accuracy`) is the task's primary
    metric."""
    tie: float = Field(0.005, ge=0)
    """Validation scores within this distance of the best count as tied; the fastest of them wins."""


class StopConditions(Spec):
    """Stopping conditions; at least one."""

    drop: float | None = Field(None, ge=0)
    """Stop when the drop from the teacher on validation is significantly larger than this."""
    limits_met: bool = False
    """Stop when a file of the round meets the limits on drop and file size, so nothing smaller is needed."""

    _older_name = model_validator(mode="before")(_with_drop)

    @model_validator(mode="after")
    def _one_at_least(self) -> StopConditions:
        if self.drop is None and not self.limits_met:
            raise ValueError("expected 'drop' or 'limits_met: true'")
        return self


class StopSpec(Spec):
    """Decides after every round whether to continue."""

    when: StopConditions
    """Stopping conditions."""
    test: Literal["paired_bootstrap", "mcnemar"] = "paired_bootstrap"
    """Significance test for the drop, paired by example."""
    alpha: float = Field(0.05, gt=0, lt=0.5)
    """Significance level of the test."""


class Recipe(Spec):
    """A recipe, `schema: edgedistill/1`."""

    schema_: Literal["edgedistill/1"] = Field(alias="schema")
    """Version of the recipe format."""
    name: Name
    """Name of the run and its folder."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Base seed; the seed for each purpose is derived from it."""
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = ()
    """Repeat all rounds with these seeds to show the spread; only the models of `seed` are exported."""
    task: TaskSpec
    """The task and its metrics."""
    data: DataSpec
    """The data sets."""
    teacher: TeacherSpec
    """The model to distil."""
    rounds: tuple[Round, ...] = Field(min_length=1)
    """Each round trains one student."""
    control: bool = True
    """Also train each student with the same data and steps but without a teacher, to show the gain."""
    stop: StopSpec | None = None
    """Decide after each round whether to continue."""
    signals: SignalSpec = SignalSpec()
    """How teacher outputs are recorded."""
    compute: Compute = Compute()
    """Where and in what precision training runs."""
    export: ExportSpec = ExportSpec()
    """Export formats for every model."""
    quantize: tuple[QuantizeSpec, ...] = Field((QuantizeSpec(precision="fp32"),), min_length=1)
    """Precisions, and mixes of them by part, for every exported model."""
    verify: VerifySpec = VerifySpec()
    """How closely a file must match its PyTorch model."""
    measure: MeasureSpec = MeasureSpec()
    """How candidates are benchmarked."""
    select: SelectSpec = SelectSpec()
    """How to choose the candidate to ship."""
    evaluate: EvaluateSpec = EvaluateSpec()
    """Additional test sets."""


def source_of(spec: StudentSpec) -> str | None:
    """The id of the model that a student is derived from, or None if there is none."""
    return next((name for _, name in references.rounds(spec)), None)


def signals_of(recipe: Recipe, round_: Round) -> SignalSpec:
    """The signal settings of a round."""
    return recipe.signals if round_.signals is None else round_.signals


def teacher_of(round_: Round) -> str:
    """The baseline of a round: the teacher, or the teacher fine-tuned on the round's own data."""
    return "teacher" if round_.data is None else f"teacher-{round_.id}"


def own_tokenizer(recipe: Recipe, model: str) -> str | None:
    """The model that this model's tokenizer was made for: itself or an ancestor; None for the teacher's tokenizer."""
    for round_ in recipe.rounds:
        if round_.id == model:
            if registry.student(round_.student.init).tokenizer_maker(round_.student) is not None:
                return model
            source = source_of(round_.student)
            return own_tokenizer(recipe, source) if source else None
    return None


def tokenizers(recipe: Recipe, model: str) -> list[str | None]:
    """The models for which this tokenizer and those it was derived from were created; None, the last: the teacher's."""
    owner = own_tokenizer(recipe, model)
    if owner is None:
        return [None]
    made = next(round_ for round_ in recipe.rounds if round_.id == owner)
    return [owner, *tokenizers(recipe, source_of(made.student) or "teacher")]


def projected(recipe: Recipe, round_: Round, teacher: str) -> bool:
    """Whether the teacher's distributions are projected: decisions are tokens, and the student's tokenizer differs."""
    apart = registry.task(recipe.task.type).data.sequences is not None
    return apart and own_tokenizer(recipe, teacher) != own_tokenizer(recipe, round_.id)
