"""Candidates: one model's files for one target and precision, with one runtime, thread count and batch size. Each is
one row of the report, whether or not it can be exported."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from edgedistill.contracts import registry
from edgedistill.recipe.quantization import QuantizeSpec
from edgedistill.recipe.schema import Recipe
from edgedistill.spec import PluginName, Spec
from edgedistill.store.records.files import FileId, VerifyId


class Candidate(Spec):
    """A combination to measure; `model` is a round id, or `teacher`."""

    id: str
    model: str
    target: str
    precision: str
    """Or the name of a mix."""
    runtime: Annotated[str, PluginName("runtimes")]
    threads: int
    batch: int
    emulated: bool = False
    """Whether its runtime is emulated: it is verified and its instructions are counted, but it is never timed and so
    never chosen."""
    refused: str | None = None
    """Why this combination is unsupported; such a candidate has no files and is only reported."""

    @property
    def file_key(self) -> FileId:
        """Id of the model's files, shared by candidates that differ in runtime, threads or batch."""
        return FileId(self.model, self.target, self.precision)

    @property
    def verify_key(self) -> VerifyId:
        """Id of the files with their runtime, since answers do not depend on the benchmark settings."""
        return VerifyId(self.model, self.target, self.precision, self.runtime)


def candidates(recipe: Recipe) -> tuple[Candidate, ...]:
    """Every candidate of a recipe, round by round, including unsupported ones.

    A round with its own data has no candidates.
    """
    setups = [(threads, batch) for threads in recipe.measure.threads for batch in recipe.measure.batch]
    models = (["teacher"] if recipe.export.teacher else []) + [
        round_.id for round_ in recipe.rounds if round_.data is None
    ]
    found = []
    for model in models:
        for target in recipe.export.targets:
            for quantize in recipe.quantize:
                for runtime in runtimes_of(target, recipe):
                    emulated = registry.runtime(runtime).packages.emulated is not None
                    own = [(1, 1)] if emulated else setups
                    for threads, batch in own:
                        name = f"{model}/{target}/{quantize.id}/{runtime}"
                        suffix = f"@threads={threads},batch={batch}" if len(own) > 1 else ""
                        found.append(
                            Candidate(
                                id=name + suffix,
                                model=model,
                                target=target,
                                precision=quantize.id,
                                runtime=runtime,
                                threads=threads,
                                batch=batch,
                                emulated=emulated,
                                refused=_refusal(target, quantize, batch),
                            )
                        )
    return tuple(found)


def makeable_candidates(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those to export."""
    return tuple(row for row in candidates if row.refused is None)


def native_candidates(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those to export and measure, which can be chosen."""
    return tuple(row for row in makeable_candidates(candidates) if not row.emulated)


def fp32_counterpart(row: Candidate, rows: Iterable[Candidate]) -> Candidate | None:
    """The fp32 candidate with the same model, target, runtime, threads and batch as a quantized one, or None."""
    if row.precision == "fp32":
        return None
    wanted = row.model_dump(exclude={"id", "precision", "refused"})
    others = (other for other in rows if other.precision == "fp32" and other.refused is None)
    return next((other for other in others if other.model_dump(include=set(wanted)) == wanted), None)


def emulated_candidates(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Those to export and run under emulation."""
    return tuple(row for row in makeable_candidates(candidates) if row.emulated)


def runtimes_of(target: str, recipe: Recipe) -> tuple[str, ...]:
    """The recipe's runtimes that can open the target's files; the target's defaults if the recipe names none."""
    own = registry.target(target).runtimes
    asked = recipe.measure.runtimes
    if asked is None:
        return own
    return tuple(name for name in asked if target in registry.runtime(name).targets)


def _refusal(target: str, quantize: QuantizeSpec, batch: int) -> str | None:
    exporter = registry.target(target)
    if quantize.mixed and exporter.mix is None:
        return f"target {target} has no mixes by part, only {', '.join(exporter.precisions)}"
    if not quantize.mixed and quantize.id not in exporter.precisions:
        return f"target {target} has no {quantize.id}, only {', '.join(exporter.precisions)}"
    method = quantize.calibration.method if quantize.calibration is not None else None
    how = exporter.precision(quantize.id)
    assert how is not None, "refused above"
    if method is not None and method not in how.methods:
        return f"target {target} calibrates in its own way, not by {method}; expected no calibration.method for it"
    if exporter.fixed_shapes and batch > 1:
        return f"a file of target {target} takes one item at a time, not a batch of {batch}"
    return None
