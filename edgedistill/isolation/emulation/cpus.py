"""The emulated processors, with QEMU's names and Linux's description of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Cpu:
    """Description of an Arm core for `/proc/cpuinfo`, with the identification of QEMU's model (target/arm/cpu64.c),
    since libraries choose their kernels by both."""

    variant: int
    part: int
    revision: int
    features: tuple[str, ...]

    @property
    def dot_product(self) -> bool:
        """Whether it has the int8 dot product instructions (Armv8.2 `asimddp`), which int8 kernels rely on."""
        return "asimddp" in self.features

    def cpuinfo(self) -> str:
        """The file's contents for a machine with one such core."""
        lines = {
            "processor": "0",
            "BogoMIPS": "50.00",
            "Features": " ".join(self.features),
            "CPU implementer": "0x41",
            "CPU architecture": "8",
            "CPU variant": f"0x{self.variant:x}",
            "CPU part": f"0x{self.part:03x}",
            "CPU revision": str(self.revision),
        }
        return "".join(f"{name}\t: {value}\n" for name, value in lines.items()) + "\n"


_ARMV8 = ("fp", "asimd", "aes", "pmull", "sha1", "sha2", "crc32")
CPUS: Mapping[str, Cpu] = {
    "cortex-a76": Cpu(
        4, 0xD0B, 1, (*_ARMV8, "atomics", "fphp", "asimdhp", "cpuid", "asimdrdm", "lrcpc", "dcpop", "asimddp", "ssbs")
    ),
    "cortex-a53": Cpu(0, 0xD03, 4, (*_ARMV8, "cpuid")),
}
DEFAULT_CPU = "cortex-a76"


def named_in(cpuinfo: str) -> str | None:
    """The name of the processor that this `/proc/cpuinfo` describes, or None."""
    parts = {line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("CPU part")}
    return next((name for name, cpu in CPUS.items() if parts == {f"0x{cpu.part:03x}"}), None)
