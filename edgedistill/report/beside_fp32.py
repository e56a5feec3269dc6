"""Quantized files beside their fp32 files: are they faster here, smaller, and computed in integers?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgedistill.evaluation.results import Results
from edgedistill.evaluation.results_candidates import CandidateResult
from edgedistill.evaluation.results_hosts import INT8_DOT_PRODUCTS, HostResult
from edgedistill.report import formatting as f
from edgedistill.report.markdown_text import escape, table

BESIDE_FP32 = (
    "Speed-up: median latency of the fp32 file of the same model, target, runtime, threads and batch, divided by this "
    "file's; the interval resamples the passes in which both were timed in turns. In integers: the share of "
    "multiply-adds with a constant weight that run in integer kernels, from an ONNX file's graph and shapes, for one "
    "input of 32 tokens; products of two activations, as in attention, are not counted."
)


@dataclass(frozen=True)
class Beside:
    """A quantized file and its fp32 file."""

    candidate: CandidateResult
    fp32: CandidateResult | None
    """None if it was not measured."""

    @property
    def speed_up(self) -> str:
        """With its interval."""
        found = self.candidate.speed_up
        return f.DASH if found is None else f"{found.value:.2f}× {f.interval(found.interval, 2)}"

    @property
    def verdict(self) -> str:
        """`faster, larger`."""
        found = self.candidate.speed_up
        if found is None or self.fp32 is None:
            return f.DASH
        bytes_, fp32 = self.candidate.file_bytes, self.fp32.file_bytes
        return f"{found.verdict}, {'smaller' if bytes_ < fp32 else 'larger' if bytes_ > fp32 else 'of equal size'}"

    @property
    def integer_share(self) -> str:
        """In percent."""
        share = self.candidate.integer_share
        return f.DASH if share is None else f"{100 * share:.1f}%"

    @property
    def float_products(self) -> str:
        """`2 Gemm, 4 MatMul of activations`."""
        found = self.candidate.float_products
        if found is None:
            return f.DASH
        return ", ".join(f"{count} {operator}" for operator, count in found.items()) or "none"


def quantized_files(results: Results) -> list[Beside]:
    """One entry per quantized candidate, in order."""
    measured = {candidate.id: candidate for candidate in results.measured}
    return [
        Beside(candidate, None if candidate.speed_up is None else measured[candidate.speed_up.over])
        for candidate in results.measured
        if candidate.precision != "fp32"
    ]


def instruction_sets(hosts: Mapping[str, HostResult]) -> list[str]:
    """A sentence for each host."""
    found = []
    for name, host in hosts.items():
        where = f"Instruction sets for int8 on {name if len(hosts) > 1 else 'this machine'}"
        if not host.isa:
            found.append(f"{where}: unknown.")
            continue
        dot = any(instructions in INT8_DOT_PRODUCTS for instructions in host.isa)
        slow = "" if dot else "; none has int8 dot products (VNNI, AMX, Arm's dotprod), without which int8 gains little"
        found.append(f"{where}: {', '.join(host.int8_isa) or 'none'}{slow}.")
    return found


def beside_fp32(results: Results) -> list[str]:
    """The section of `report.md`."""
    found = quantized_files(results)
    if not found:
        return []
    names = ["candidate", "speed-up over fp32 [95% CI]", "verdict", "MB", "fp32 MB", "in integers", "products in float"]
    rows = [
        [
            row.candidate.id,
            row.speed_up,
            row.verdict,
            f.megabytes(row.candidate.file_bytes),
            f.megabytes(None if row.fp32 is None else row.fp32.file_bytes),
            row.integer_share,
            row.float_products,
        ]
        for row in found
    ]
    rendered = table(names, rows, text_columns=(0, 2, 6))
    hosts = escape(" ".join(instruction_sets(results.hosts)))
    return [f"### Speed-up over fp32\n\n{rendered}\n\n{BESIDE_FP32} {hosts}"]
