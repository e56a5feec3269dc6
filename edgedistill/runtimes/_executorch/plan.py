"""The kernels and delegates that a `.pte` file's method calls.

Read from the file's FlatBuffers (ExecuTorch's `schema/program.fbs`, with stable field numbers), since ExecuTorch's own
reader needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import EdgedistillError

if TYPE_CHECKING:
    from flatbuffers.table import Table

METHOD = "forward"
_IDENTIFIER = b"ET12"
_PROGRAM_PLANS = 1
_PLAN_CHAINS, _PLAN_OPERATORS, _PLAN_DELEGATES = 5, 6, 7
_CHAIN_INSTRUCTIONS = 2
_INSTRUCTION_KIND, _INSTRUCTION_CALL = 0, 1
_KERNEL_CALL, _DELEGATE_CALL = 1, 2
_CALL_INDEX = 0
_NAME = 0
"""Field of a plan, an operator and a delegate alike."""


@dataclass(frozen=True)
class Plan:
    """The calls of a method in order, without moves and jumps."""

    kernels: tuple[str, ...]
    """Operators run by ExecuTorch's own kernels: `aten::linear`."""
    parts: tuple[str, ...]
    """Backends that parts of the graph are delegated to."""


def read(file: Path) -> Plan:
    """The plan of the file's method `forward`.

    Raises:
        EdgedistillError: the file is not an ExecuTorch program, or has no such method.
    """
    from flatbuffers import encode, packer
    from flatbuffers.table import Table

    content = file.read_bytes()
    if content[4:8] != _IDENTIFIER:
        raise EdgedistillError(f"{file.name} is not an ExecuTorch program: expected the identifier ET12")
    program = Table(content, encode.Get(packer.uoffset, content, 0))
    plans = (plan for plan in _tables(program, _PROGRAM_PLANS) if _text(plan, _NAME) == METHOD)
    plan = next(plans, None)
    if plan is None:
        raise EdgedistillError(f"{file.name} has no method '{METHOD}'")
    operators = [_text(operator, _NAME) for operator in _tables(plan, _PLAN_OPERATORS)]
    delegates = [_text(delegate, _NAME) for delegate in _tables(plan, _PLAN_DELEGATES)]
    calls = [
        _call(instruction)
        for chain in _tables(plan, _PLAN_CHAINS)
        for instruction in _tables(chain, _CHAIN_INSTRUCTIONS)
    ]
    return Plan(
        kernels=tuple(operators[index] for kind, index in calls if kind == _KERNEL_CALL),
        parts=tuple(delegates[index] for kind, index in calls if kind == _DELEGATE_CALL),
    )


def _call(instruction: Table) -> tuple[int, int]:
    """Its kind, and the index of the called operator or delegate."""
    from flatbuffers import number_types
    from flatbuffers.table import Table

    kind = instruction.GetSlot(_slot(_INSTRUCTION_KIND), 0, number_types.Uint8Flags)
    arguments = Table(instruction.Bytes, instruction.Indirect(_position(instruction, _INSTRUCTION_CALL)))
    return kind, arguments.GetSlot(_slot(_CALL_INDEX), 0, number_types.Int32Flags)


def _tables(table: Table, field: int) -> Iterator[Table]:
    """The tables of a vector; empty if absent."""
    from flatbuffers.table import Table

    offset = table.Offset(_slot(field))
    if not offset:
        return
    start = table.Vector(offset)
    for index in range(table.VectorLen(offset)):
        yield Table(table.Bytes, table.Indirect(start + 4 * index))


def _text(table: Table, field: int) -> str:
    return bytes(table.String(_position(table, field))).decode()


def _position(table: Table, field: int) -> int:
    return int(table.Pos + table.Offset(_slot(field)))


def _slot(field: int) -> int:
    """Position of this field in the vtable, after its two sizes."""
    return 4 + 2 * field
