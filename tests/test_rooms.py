"""The house: what importing a room loads, that no files import each other in a circle, that the root stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import edgedistill

ROOT = Path(edgedistill.__file__).parent
HEAVY = {"torch", "transformers", "datasets", "accelerate", "onnx", "onnxruntime", "matplotlib", "scipy", "pyarrow"}
MAY_LOAD = {
    "losses": {"torch"},  # tiles are a function of autograd
    "models": {"torch", "transformers", "accelerate", "scipy"},  # our own architectures are classes of transformers'
    "training": {"torch"},
}
"""Of `HEAVY`, what importing every module of a room loads; the others load none of it."""
WITHOUT_PYDANTIC = {"device", "isolation", "quantizers", "runtimes", "system", "tasks"}
"""Run in processes that hold one runtime and its packages."""
ROOMS = sorted(place.name for place in ROOT.iterdir() if (place / "__init__.py").is_file())


def modules_of(room: str) -> list[str]:
    return [
        ".".join(("edgedistill", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for file in sorted((ROOT / room).rglob("*.py"))
    ]


def loaded_by(modules: list[str]) -> set[str]:
    code = f"import sys\nfor name in {modules!r}: __import__(name)\nprint(*{{n.split('.')[0] for n in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("room", ROOMS)
def test_importing_a_room_loads_only_what_it_may(room):
    loaded = loaded_by(modules_of(room))
    assert loaded & HEAVY <= MAY_LOAD.get(room, set())
    assert "pydantic" not in loaded or room not in WITHOUT_PYDANTIC


def test_the_root_holds_at_most_eight_modules():
    assert len(list(ROOT.glob("*.py"))) <= 8


def imports_at_the_top(file: Path, known: set[str]) -> set[str]:
    """Modules of ours that a file imports when it is itself imported."""
    package = ("edgedistill", *file.relative_to(ROOT).parent.parts)
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            found |= {name if (name := f"{module}.{alias.name}") in known else module for alias in node.names}
    return found & known


def test_no_files_import_each_other_in_a_circle():
    files = {
        ".".join(("edgedistill", *file.relative_to(ROOT).with_suffix("").parts)): file
        for file in ROOT.rglob("*.py")
        if file.name != "__init__.py"
    }
    graph = {name: imports_at_the_top(file, set(files)) for name, file in files.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"in a circle: {' -> '.join(error.args[1])}")
