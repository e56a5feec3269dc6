"""How large an ONNX Runtime is that has only some operators: an estimate, of real builds of it.

`reduced_build.json` holds the size of a build without operators, and what operators add to it, in parts: a part is
there as soon as any of its operators is. The C++ library and libcpuinfo are not in it. `bench/reduced_build.py` made
the builds, and its results say how far the estimate is from builds with our students' operators.
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
    """`Sizes` in its file: a part's operators by their places in the list of all."""

    onnxruntime: str
    machine: str
    compiler: str
    empty: int
    operators: list[str]
    parts: list[tuple[int, list[int]]]


@dataclass(frozen=True)
class Part:
    """What a library holds if it has any of these operators."""

    operators: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Sizes:
    """What builds have shown, in bytes; operators are `domain:name`."""

    onnxruntime: str
    machine: str
    compiler: str
    empty: int
    """A build without operators."""
    operators: tuple[str, ...]
    """Those that there were builds with."""
    parts: tuple[Part, ...]

    def runtime(self, required: Mapping[str, Iterable[str]]) -> RuntimeSize:
        """The runtime that has the operators of each domain."""
        names = {f"{domain}:{name}" for domain, found in required.items() for name in found}
        return RuntimeSize(
            bytes=self.empty + sum(part.bytes for part in self.parts if names.intersection(part.operators)),
            operators=len(names),
            unknown=tuple(sorted(names.difference(self.operators))),
            basis=f"builds of ONNX Runtime {self.onnxruntime} for {self.machine} by {self.compiler}",
        )

    def as_json(self) -> Table:
        """As the file holds it."""
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
        """The opposite."""
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
    """The table that comes with edgedistill."""
    return Sizes.of_json(json.loads(FILE.read_text(encoding="utf-8")))
