"""How large an ONNX Runtime is that has only some operators: an estimate, of real builds of it.

`reduced_build.json` holds the size of a build without operators, and what operators add to it, in parts: a part is
there as soon as any of its operators is. `bench/reduced_build.py` made the builds, and its results say how far the
estimate is from builds with our students' operators.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgedistill.interfaces import RuntimeSize

TABLE = Path(__file__).with_name("reduced_build.json")


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

    def as_json(self) -> dict[str, object]:
        """As the table holds it: a part's operators by their places in the list of all."""
        places = {name: place for place, name in enumerate(self.operators)}
        parts = [[each.bytes, [places[name] for name in each.operators]] for each in self.parts]
        return {**asdict(self), "parts": parts}

    @classmethod
    def of_json(cls, table: Mapping[str, Any]) -> Sizes:
        """The opposite."""
        operators = tuple(table["operators"])
        parts = tuple(Part(tuple(operators[place] for place in places), size) for size, places in table["parts"])
        return cls(**{**table, "operators": operators, "parts": parts})


@cache
def sizes() -> Sizes:
    """The table that comes with edgedistill."""
    return Sizes.of_json(json.loads(TABLE.read_text(encoding="utf-8")))
