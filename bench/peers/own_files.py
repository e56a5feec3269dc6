"""The product's own files of the three students: one run for each of a few ways to export, at each length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import edgedistill
from bench.peers.students import STUDENTS
from edgedistill.evaluation.results_candidates import CandidateResult


@dataclass(frozen=True)
class Variant:
    """A way to export, as overrides of the recipe."""

    name: str
    overrides: tuple[str, ...]


def _precisions(*names: str) -> str:
    return f"quantize=[{', '.join(f'{{precision: {name}}}' for name in names)}]"


def _mix(products: str, block: int = 32, feed_forward: str | None = None) -> str:
    """Tables in 4 bits, all products in the same precision unless told otherwise."""
    by_part = {"attention": products, "feed_forward": feed_forward or products, "head": products}
    parts = ", ".join(f"{part}: {precision}" for part, precision in by_part.items())
    name = "-".join(["int4-tables", products, *([feed_forward] if feed_forward else [])])
    return f"{{name: {name}, parts: {{embeddings: int4, {parts}}}, block: {block}}}"


VARIANTS = (
    Variant("onnx", ("export.targets=[onnx]", _precisions("fp32", "fp16", "int8-dynamic"))),
    Variant("onnx-fused", ("export.targets=[onnx-fused]", _precisions("fp32", "int8-dynamic"))),
    Variant("openvino", ("export.targets=[openvino]", _precisions("fp32", "int8-static"))),
)
"""One line each. fp16 is there for its verdict: on a processor without fp16 arithmetic it is slower than fp32."""
MIXES = (
    Variant(
        "onnx, mixes by part",
        (
            "export.targets=[onnx]",
            f"quantize=[{{precision: fp32}}, {_mix('int8-dynamic')}, {_mix('int4', block=64)}, "
            f"{_mix('int8-dynamic', feed_forward='int4')}]",
        ),
    ),
)
"""Those whose smallest accurate file is measured against the goal on size."""


@dataclass(frozen=True)
class OwnFile:
    """A measured candidate of one run."""

    student: str
    variant: str
    length: int
    run: Path
    candidate: CandidateResult

    @property
    def file(self) -> Path:
        """What its runtime opens."""
        return (self.run / self.candidate.file).resolve()

    @property
    def system(self) -> str:
        """A name that is unique within a student."""
        return f"edgedistill, {self.variant}, {self.candidate.precision}"


@dataclass(frozen=True)
class OwnFiles:
    """All files, and the reason for each that isn't there."""

    files: Sequence[OwnFile]
    skipped: Mapping[str, str]
    """`VARIANT` or `VARIANT, CANDIDATE` -> reason."""


def make_own(recipe: Path, lengths: Sequence[int], seconds: float, out: Path, store: Path) -> OwnFiles:
    """Run every variant at every length; a variant that the recipe refuses is skipped, with its sentence."""
    files: list[OwnFile] = []
    skipped: dict[str, str] = {}
    models = {model: student for student, model in STUDENTS.items()}
    for variant in (*VARIANTS, *MIXES):
        for length in lengths:
            run = out / variant.name.replace(", ", "-").replace(" ", "-") / str(length)
            overrides = [*variant.overrides, f"measure.lengths={length}", f"measure.min_seconds={seconds}"]
            try:
                edgedistill.plan(str(recipe), overrides, out=run, store=store)
            except edgedistill.UserError as error:
                skipped[variant.name] = " ".join(str(error).split("yaml: ", 1)[-1].split())
                break
            results = edgedistill.run(str(recipe), overrides, out=run, store=store)
            files += [OwnFile(models[row.model], variant.name, length, run, row) for row in results.measured]
            skipped |= {f"{variant.name}, {row.id}": row.reason for row in results.unmeasured}
    return OwnFiles(files, skipped)
