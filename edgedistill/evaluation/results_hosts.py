"""The machines that results were measured on."""

from __future__ import annotations

from pydantic import Field

from edgedistill.evaluation.results_figures import Part

INT8_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
"""Instruction sets with products of int8 that add up in one instruction."""


INT8_ISA = ("avx2", *INT8_DOT_PRODUCTS, "sve")


class HostResult(Part):
    """A machine that measured, and the versions there."""

    cpu: str = "unknown processor"
    isa: tuple[str, ...] = ()
    """Instruction sets that matter to inference."""
    threads: int | None = None
    memory_gb: float | None = None
    system: str = "unknown system"
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def int8_isa(self) -> tuple[str, ...]:
        """Instruction sets that int8 kernels use."""
        return tuple(name for name in self.isa if name in INT8_ISA)

    @property
    def place(self) -> str:
        """Short description of the machine."""
        return f"{self.cpu}, {self.system}"
