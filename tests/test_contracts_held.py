"""What the code outside of plug-ins must not do: read a spec by the name of an attribute, import a plug-in's module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgedistill

ROOT = Path(edgedistill.__file__).parent
EXPORTERS = ROOT.parent / "exporters"
PLUGINS = ("losses", "students", "tasks", "quantizers", "runtimes")
SPECS = frozenset({"spec", "loss", "student", "each.student", "model.student", "task", "settings.task", "stage"})
OURS = ("arrays", "contracts", "device", "errors", "spec", "system")
"""What a plug-in may import of edgedistill at its top; the rest it imports where it uses it."""


def trees(inside: bool) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(ROOT.rglob("*.py")):
        if (file.relative_to(ROOT).parts[0] in PLUGINS) == inside:
            yield file.relative_to(ROOT), ast.parse(file.read_text(encoding="utf-8"))


LIBRARIES = {
    "edgedistill/models/image_model.py": {"pixel_values", "logits"},
    "edgedistill/models/static_model.py": {"input_ids", "attention_mask"},
    "edgedistill/steps/augment_text.py": {"input_ids", "logits"},
    "edgedistill/device/decoding.py": {"attention_mask", "input_ids", "logits"},
    "edgedistill/device/sampling.py": {"argmax"},
    "edgedistill/runtimes/llama_cpp.py": {"logits"},
    "edgedistill/runtimes/onnxruntime_genai.py": {"logits"},
    "edgedistill/students/_probe.py": {"argmax"},
    "exporters/causal.py": {"logits"},
    "exporters/genai_settings.py": {"logits"},
    "exporters/gguf_vocabulary.py": {"input_ids"},
    "edgedistill/bundling/self_test.py": {"attention_mask"},
    "edgedistill/bundling/version_1.py": {"input_ids"},
    "edgedistill/students/factorise.py": {"input_ids", "token_type_ids", "logits"},
    "edgedistill/students/static.py": {"input_ids"},
    "edgedistill/runtimes/_browser/transformers_js.py": {"argmax"},
    "edgedistill/exporting/trial_encoders.py": {"input_ids", "attention_mask", "token_type_ids"},
    "exporters/plain_attention.py": {"attention_mask"},
    "exporters/plain_graph.py": {"token_type_ids"},
}
"""The words that a file has because a library or an older schema does: models of ours take and give what those of
`transformers` do, a masked language model is asked for words, a tokenizer is read without `transformers`, two
architectures' tables are turned into one another, a client classifies texts, an encoder is timed, a mask's operators
are written out, texts are continued token by token in the layout that clients read."""
OF_TASKS = frozenset({"argmax", "input_ids", "attention_mask", "token_type_ids", "pixel_values", "logits"})
COLUMNS = frozenset({"batch", "inputs", "targets", "outputs", "values", "columns", "encoded", "items", "tokens"})
MODELS = frozenset({"model", "student", "teacher", "source", "each"})


def last_name(node: ast.expr) -> str:
    return ast.unparse(node).split(".")[-1]


def of_a_task(node: ast.AST) -> str | None:
    """The word of one kind of task that a piece of code says, or None: its columns, what its model gives, the ignored
    class. `task.model.logits` is the contract's, and so is the need or signal of that name."""
    match node:
        case ast.Attribute(attr="logits"):
            return None if ast.unparse(node.value) in ("model", "task.model", "self.task.model") else "logits"
        case ast.Attribute(attr=word) | ast.Name(id=word) | ast.arg(arg=word) if word in OF_TASKS - {"logits"}:
            return word
        case ast.keyword(arg="logits", value=value):
            return None if ast.unparse(value) == "logits" else "logits"
        case ast.keyword(arg=str() as word) if word in OF_TASKS:
            return word
        case ast.Constant(value=str() as word) if word in OF_TASKS - {"logits"}:
            return word
        case ast.UnaryOp() if ast.unparse(node) == "-100":
            return "-100"
        case ast.Subscript(value=value, slice=ast.Constant(value="labels" | "logits" as word)):
            return word if last_name(value) in COLUMNS else None
        case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[ast.Constant(value="labels"), *_]):
            return "labels" if last_name(value) in COLUMNS else None
        case ast.Call(func=func, keywords=given) if last_name(func) in MODELS:
            return "labels" if any(argument.arg == "labels" for argument in given) else None
    return None


def words_of_tasks() -> dict[str, set[str]]:
    """By file, inside `tasks` none."""
    found: dict[str, set[str]] = {}
    for file in sorted([*ROOT.rglob("*.py"), *EXPORTERS.glob("*.py")]):
        if file.parent == ROOT / "tasks":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if words := {word for node in ast.walk(tree) if (word := of_a_task(node)) is not None}:
            found[str(file.relative_to(ROOT.parent))] = words
    return found


def test_nothing_outside_of_tasks_knows_one_kind_of_task():
    """Answers are compared by a task's judge, made by its model half or its driver, and never looked into elsewhere."""
    assert words_of_tasks() == LIBRARIES


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("answers.values['logits'].argmax(1)", "argmax"),
        ("batch['labels']", "labels"),
        ("batch.get('labels')", "labels"),
        ("items.values['logits']", "logits"),
        ("model(**inputs).logits", "logits"),
        ("model(**inputs, labels=x)", "labels"),
        ("model(input_ids=ids)", "input_ids"),
        ("inputs['attention_mask']", "attention_mask"),
        ("def forward(input_ids): pass", "input_ids"),
        ("ignored = -100", "-100"),
    ],
)
def test_such_words_are_found(code, word):
    assert word in {of_a_task(node) for node in ast.walk(ast.parse(code))}


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

    Runtimes may import whatever needs numpy only (tests/isolation/test_environments.py).
    """
    found = []
    for file, tree in trees(inside=True):
        group = file.parts[0]
        known = tuple(f"edgedistill.{name}." for name in (*OURS, group))
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module is not None]
        for node in imports if group in ("losses", "students", "quantizers") else ():
            names = [f"{node.module}.{alias.name}." for alias in node.names]
            found += [f"{file}: {name}" for name in names if name.startswith("edgedistill.")]
            found = [line for line in found if not line.partition(": ")[2].startswith(known)]
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
