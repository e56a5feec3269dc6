"""Inside the emulated process: its processor, and the number of executed instructions.

Standard library only: it runs in the emulated environment.
"""

from __future__ import annotations

import ctypes
import os
import platform
from pathlib import Path

from edgedistill.errors import EdgedistillError
from edgedistill.isolation.emulation.cpus import CPUS, named_in

COUNT_CALL = 0x65644943
"""An unused system call number: the plug-in `instructions.c` handles it by writing its count to the given file
descriptor."""
_AT_HWCAP = 16
_HWCAP_ASIMDDP = 1 << 20


def processor(machine: str) -> dict[str, object]:
    """This process's `machine`, `cpu`, and whether it has the int8 dot product.

    Raises:
        EdgedistillError: a different machine, or a different processor from the one in `/proc/cpuinfo`, by which
            libraries choose kernels.
    """
    found = platform.machine()
    if found != machine:
        raise EdgedistillError(f"the process runs on {found}, expected {machine}")
    cpu = named_in(Path("/proc/cpuinfo").read_text(encoding="ascii"))
    if cpu is None:
        raise EdgedistillError(f"/proc/cpuinfo of the emulated process matches none of {', '.join(CPUS)}")
    dot_product = bool(_auxiliary(_AT_HWCAP) & _HWCAP_ASIMDDP)
    if dot_product != CPUS[cpu].dot_product:
        has = "has" if dot_product else "has not"
        raise EdgedistillError(f"/proc/cpuinfo describes {cpu}, but the emulated processor {has} the int8 dot product")
    return {"machine": machine, "cpu": cpu, "dot_product": dot_product}


def instructions() -> int:
    """The number of instructions executed by all threads of this process.

    Raises:
        EdgedistillError: they are not being counted.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_long)
    reading, writing = os.pipe()
    try:
        os.set_blocking(reading, False)
        libc.syscall(COUNT_CALL, writing)
        return int(os.read(reading, 64))
    except BlockingIOError:
        raise EdgedistillError("no instructions are counted: the emulator runs without the plug-in") from None
    finally:
        os.close(reading)
        os.close(writing)


def _auxiliary(kind: int) -> int:
    """An entry of the auxiliary vector, in which the kernel describes the hardware."""
    libc = ctypes.CDLL(None)
    libc.getauxval.argtypes, libc.getauxval.restype = (ctypes.c_ulong,), ctypes.c_ulong
    return int(libc.getauxval(kind))
