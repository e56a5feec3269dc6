"""Writes a bench's rows and goals to `bench/results/NAME.json`, and prints them as a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from edgedistill.system.machine import describe, versions

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Goal:
    """A goal, the measured value, and whether the goal is met."""

    goal: str
    measured: str
    met: bool


def record(
    name: str,
    rows: Sequence[Mapping[str, object]],
    goals: Sequence[Goal],
    further: Mapping[str, object] | None = None,
) -> None:
    """Print the rows and goals, and write them with the command and the machine.

    Args:
        further: what is written and not printed.
    """
    table = Table(title=name)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(_shown(value) for value in row.values()))
    console = Console(width=200)
    console.print(table)
    for goal in goals:
        console.print(f"{'met   ' if goal.met else 'MISSED'} {goal.goal}: {goal.measured}")
    content = {
        **circumstances(name),
        "rows": list(rows),
        "goals": [asdict(goal) for goal in goals],
        **(further or {}),
    }
    RESULTS.mkdir(exist_ok=True)
    partial = RESULTS / f"{name}.json.partial"
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(RESULTS / f"{name}.json")


def circumstances(name: str) -> dict[str, object]:
    """The command, the date and the machine."""
    given = ("PLACE" if "/" in argument else argument for argument in sys.argv[1:])
    return {
        "command": " ".join(["python -m", _program(name), *given]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "environment": {**describe(), "versions": versions()},
    }


def _program(name: str) -> str:
    """The module that is run; results of another name may be its."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec is not None else f"bench.{name}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return "" if value is None else str(value)
