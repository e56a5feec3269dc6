"""Estimates the size of an ONNX Runtime with only some operators, from real builds.

`reduced_build.json` has the size of a build without operators, and the increments of parts, each of which is included
if any of its operators is. The C++ library and libcpuinfo are excluded. `bench/reduced_build.py` made the builds, and
its results show the error of the estimate for our students' operators.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

from edgedistill.contracts.target import RuntimeSize

FILE = Path(__file__).with_name("reduced_build.json")


class Table(TypedDict):
    """`Sizes` in its file: a part's operators as indices into the list of all."""

    onnxruntime: str
    machine: str
    compiler: str
    empty: int
    operators: list[str]
    parts: list[tuple[int, list[int]]]


@dataclass(frozen=True)
class Part:
    """A part that a library contains if it has any of these operators."""

    operators: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """Sizes of builds in bytes; operators are `domain:name`."""

    onnxruntime: str
    machine: str
    compiler: str
    empty: int
    """A build without operators."""
    operators: tuple[str, ...]
    """Operators covered by builds."""
    parts: tuple[Part, ...]

    def runtime(self, required: Mapping[str, Iterable[str]]) -> RuntimeSize:
        """The runtime with these operators by domain."""
        names = {f"{domain}:{name}" for domain, found in required.items() for name in found}
        return RuntimeSize(
            bytes=self.empty + sum(part.bytes for part in self.parts if names.intersection(part.operators)),
            operators=len(names),
            unknown=tuple(sorted(names.difference(self.operators))),
            basis=f"builds of ONNX Runtime {self.onnxruntime} for {self.machine} by {self.compiler}",
        )

    def as_json(self) -> Table:
        """Its form in the file."""
        places = {name: place for place, name in enumerate(self.operators)}
        return Table(
            onnxruntime=self.onnxruntime,
            machine=self.machine,
            compiler=self.compiler,
            empty=self.empty,
            operators=list(self.operators),
            parts=[(part.bytes, [places[name] for name in part.operators]) for part in self.parts],
        )

    @classmethod
    def of_json(cls, table: Table) -> Sizes:
        """The inverse."""
        operators = tuple(table["operators"])
        return cls(
            onnxruntime=table["onnxruntime"],
            machine=table["machine"],
            compiler=table["compiler"],
            empty=table["empty"],
            operators=operators,
            parts=tuple(Part(tuple(operators[place] for place in places), size) for size, places in table["parts"]),
        )


@cache
def sizes() -> Sizes:
    """The table shipped with edgedistill."""
    return Sizes.of_json(json.loads(FILE.read_text(encoding="utf-8")))
