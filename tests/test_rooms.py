"""The house: what importing a room loads, that no files import each other in a circle, that the root stays small."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path

import pytest

import edgedistill

ROOT = Path(edgedistill.__file__).parent
HEAVY = {"torch", "transformers", "datasets", "accelerate", "onnx", "onnxruntime", "matplotlib", "scipy", "pyarrow"}
MAY_LOAD = {
    "losses": {"torch"},  # tiles are a function of autograd
    "models": {"torch", "transformers", "accelerate", "scipy"},  # our own architectures are classes of transformers'
    "training": {"torch", "transformers", "accelerate", "scipy"},
    "steps": {"torch", "transformers", "accelerate", "scipy"},  # not their kinds, which are all that a plan knows
}
"""Of `HEAVY`, what importing every module of a room loads; the others load none of it."""
WITHOUT_PYDANTIC = {"device", "isolation", "quantizers", "runtimes", "system", "tasks"}
"""Run in processes that hold one runtime and its packages."""
ROOMS = [*sorted(place.name for place in ROOT.iterdir() if (place / "__init__.py").is_file()), "steps/kinds"]
PLUGINS = ("edgedistill.losses.", "edgedistill.students.", "edgedistill.quantizers.")
"""Import contracts at their top, as those of others do (tests/test_contracts_held.py)."""
WITH_A_GPU = {"edgedistill.losses._kl_kernels"} if find_spec("triton") is None else set[str]()
"""Triton comes with PyTorch for GPUs; where it is missing, nothing imports these."""
WHEN_USED = {"edgedistill", "edgedistill.cli.app", "edgedistill.cli.entry"}
"""Import what a command needs when it is given: `--help` waits for nothing."""


def modules_of(room: str) -> list[str]:
    found = [
        ".".join(("edgedistill", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for file in sorted((ROOT / room).rglob("*.py"))
    ]
    return [module for module in found if module not in WITH_A_GPU]


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


def test_a_plan_loads_nothing_heavy(tmp_path):
    code = (
        "import sys, edgedistill\n"
        f"edgedistill.plan('quickstart', out={str(tmp_path / 'run')!r})\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) & HEAVY == set()


def test_the_root_holds_at_most_eight_modules():
    assert len(list(ROOT.glob("*.py"))) <= 8


TREES = {
    ".".join(("edgedistill", *file.relative_to(ROOT).with_suffix("").parts)): ast.parse(file.read_text("utf-8"))
    for file in sorted(ROOT.rglob("*.py"))
    if file.name != "__init__.py"
}


def imported(node: ast.AST) -> set[str]:
    """Modules of ours, and other packages, that a statement imports."""
    if isinstance(node, ast.Import):
        found = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        modules = {f"{node.module}.{alias.name}" for alias in node.names} & set(TREES)
        found = modules or {node.module}
    else:
        return set()
    return {name if name in TREES else name.split(".")[0] for name in found} - {"edgedistill"}


IMPORTS = {name: set().union(*map(imported, tree.body)) for name, tree in TREES.items()}
"""What each of our modules imports when it is itself imported."""


def reached(names: set[str]) -> set[str]:
    """All that is imported with these."""
    found: set[str] = set()
    left = list(names)
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            left += IMPORTS.get(name, ())
    return found


def others(names: set[str]) -> set[str]:
    """The packages of others among them, but for numpy, which is everywhere."""
    return names - set(TREES) - sys.stdlib_module_names - {"numpy"}


def imports_inside_functions(tree: ast.Module) -> list[ast.stmt]:
    """Those of our own modules."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {node for function in functions for node in ast.walk(function) if isinstance(node, ast.stmt)}
    return [node for node in inside if imported(node) & set(TREES)]


def test_no_files_import_each_other_in_a_circle():
    try:
        TopologicalSorter({name: found & set(TREES) for name, found in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(f"in a circle: {' -> '.join(error.args[1])}")


def test_an_import_inside_a_function_keeps_its_module_light_or_breaks_a_circle():
    needless = []
    for name in sorted(name for name in set(TREES) - WHEN_USED if not name.startswith(PLUGINS)):
        body_of_step = name.startswith("edgedistill.steps.") and ".kinds." not in name
        light = others(reached({name}))
        for node in imports_inside_functions(TREES[name]):
            found = reached(imported(node))
            if name not in found and (body_of_step or others(found) <= light):
                needless.append(f"{name}:{node.lineno}: {ast.unparse(node)}")
    assert needless == []
