"""The recipe schema: frozen, typed and closed. Defaults are set here or in the specs of plug-ins."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgedistill.contracts import registry
from edgedistill.recipe import references
from edgedistill.recipe.data_spec import DataSpec
from edgedistill.recipe.deployment_spec import EvaluateSpec, ExportSpec, MeasureSpec, SelectSpec, VerifySpec, with_drop
from edgedistill.recipe.plugin_unions import StudentSpec, TaskSpec
from edgedistill.recipe.quantization import QuantizeSpec
from edgedistill.recipe.round_spec import Round, SignalSpec
from edgedistill.recipe.teacher_spec import TeacherSpec
from edgedistill.spec import Name, Spec


class Compute(Spec):
    """Where models are trained, recorded and evaluated, and in what precision they are trained and language models are
    recorded."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """`auto` uses an accelerator if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto` uses bf16 autocast where it is faster: on GPUs, on CPUs with AMX, and on CPUs with AVX-512's bf16
    instructions for models of width 192 or more. Weights stay fp32, and models are evaluated in fp32."""


class StopConditions(Spec):
    """Stopping conditions; at least one."""

    drop: float | None = Field(None, ge=0)
    """Stop when the drop from the teacher on validation is significantly larger than this."""
    limits_met: bool = False
    """Stop when a verified file of the round meets the limits on drop and file size, so nothing smaller is needed."""

    _older_name = model_validator(mode="before")(with_drop)

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
