"""What the code outside of plug-ins must not do: read a spec by the name of an attribute, import a plug-in's module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import edgedistill

ROOT = Path(edgedistill.__file__).parent
PLUGINS = ("losses", "students", "tasks", "quantizers", "runtimes")
SPECS = frozenset({"spec", "loss", "student", "each.student", "model.student", "task", "settings.task", "stage"})
OURS = ("arrays", "contracts", "errors", "packages", "spec")
"""What a plug-in may import of edgedistill at its top; the rest it imports where it uses it."""


def trees(inside: bool) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(ROOT.rglob("*.py")):
        if (file.relative_to(ROOT).parts[0] in PLUGINS) == inside:
            yield file.relative_to(ROOT), ast.parse(file.read_text(encoding="utf-8"))


MODELS = frozenset({"static_model.py", "image_model.py"})
"""Models of ours, which have the inputs and outputs of their kind."""
TEXT = frozenset(
    {
        "masking.py",
        "steps/augment_text.py",
        "bundling/self_test.py",
        "bundling/version_1.py",
        "device/decoding.py",
        "device/sampling.py",
    }
)
"""What masks tokens or asks a masked language model, what reads a text model's inputs in a file's or library's own
words, and what continues texts token by token."""
OF_TASKS = frozenset({"argmax", "input_ids", "attention_mask", "token_type_ids", "pixel_values"})


def of_a_task(node: ast.AST) -> str | None:
    """What a piece of code knows of one kind of task, or None: its columns, a model's logits, classes, the ignored
    class."""
    if isinstance(node, ast.Attribute) and node.attr in {*OF_TASKS, "logits"}:
        return None if ast.unparse(node.value).split(".")[-1] == "model" else f".{node.attr}"
    if isinstance(node, ast.Name) and node.id in OF_TASKS:
        return node.id
    if isinstance(node, ast.Constant) and node.value in OF_TASKS:
        return repr(node.value)
    if isinstance(node, ast.UnaryOp) and ast.unparse(node) == "-100":
        return "-100"
    if isinstance(node, ast.Subscript) and ast.unparse(node.slice) == "'labels'":
        return ast.unparse(node) if ast.unparse(node.value).split(".")[-1] in COLUMNS else None
    return None


COLUMNS = frozenset({"batch", "inputs", "targets", "outputs", "values", "columns", "encoded", "items", "tokens"})


def test_nothing_outside_of_plugins_knows_one_kind_of_task():
    """Answers are compared by a task's judge, made by its model half or its driver, and never looked into elsewhere."""
    found = [
        f"{file}:{getattr(node, 'lineno', 0)}: {known}"
        for file, tree in trees(inside=False)
        if str(file) not in MODELS | TEXT
        for node in ast.walk(tree)
        if (known := of_a_task(node)) is not None
    ]
    assert found == []


def test_no_spec_is_read_by_the_name_of_an_attribute():
    found = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for file, tree in trees(inside=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr")
        and ast.unparse(node.args[0]) in SPECS
    ]
    assert found == []


def test_no_plugin_is_asked_for_what_it_may_not_have():
    """Everything optional is a field that may be None."""
    found = [
        f"{file}:{node.lineno}"
        for file, tree in trees(inside=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node).startswith(("getattr(plugins.", "hasattr(plugins."))
    ]
    assert found == []


def test_plugins_import_contracts_at_their_top_and_little_else_of_ours():
    """So that reading what a plug-in is loads nothing. What those of one group share, they may share.

    Runtimes may import whatever needs numpy only (tests/test_environments.py).
    """
    found = []
    for file, tree in trees(inside=True):
        group = file.parts[0]
        known = tuple(f"edgedistill.{name}." for name in (*OURS, group))
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module is not None]
        for node in imports if group in ("losses", "students", "quantizers") else ():
            names = [f"{node.module}.{each.name}." for each in node.names]
            found += [f"{file}: {name}" for name in names if name.startswith("edgedistill.")]
            found = [each for each in found if not each.partition(": ")[2].startswith(known)]
    assert found == []


def test_only_the_registry_imports_a_plugin():
    names = tuple(f"edgedistill.{group}" for group in PLUGINS)
    found = [
        f"{file}:{node.lineno}: {ast.unparse(node)}"
        for file, tree in trees(inside=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and (text := ast.unparse(node).replace("from .", "from edgedistill."))
        and any(f"{name}." in text or f"{name} " in text for name in names)
        and "._" not in text  # what plug-ins share
    ]
    assert found == []
