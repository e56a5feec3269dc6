"""The benches use edgedistill as anyone does, but for what is named here with its reason."""

from __future__ import annotations

import ast
from pathlib import Path

import edgedistill

BENCH = Path(__file__).parents[2] / "bench"
INTERNAL = {
    "claims.py": {"edgedistill.data.views"},  # its test set has the misspellings that a recipe's views have
    "export_matrix.py": {  # verifies every file and measures none, which no command does, and wants every reason
        "edgedistill.contracts",
        "edgedistill.contracts.precision",
        "edgedistill.engine.local",
        "edgedistill.errors",
        "edgedistill.exporting.candidates",
        "edgedistill.planning",
        "edgedistill.recipe",
        "edgedistill.store.handle",
        "edgedistill.store.progress",
        "edgedistill.store.records.files",
        "edgedistill.system",
    },
    "language_arms.py": {  # sets models of several runs side by side with the intervals that our reports have
        "edgedistill.arrays",
        "edgedistill.contracts",
        "edgedistill.contracts.metric",
        "edgedistill.evaluation.results_candidates",
        "edgedistill.evaluation.results_figures",
        "edgedistill.evaluation.statistics",
        "edgedistill.recipe.reading",
    },
    "language_file16.py": {"edgedistill.evaluation.results_candidates"},  # names a type
    "language_rounds.py": {  # finds the shipped recipe, names a type, and counts every kind of signal
        "edgedistill.evaluation.statistics",
        "edgedistill.recipe.reading",
        "edgedistill.store.records.models",
    },
    "language_training.py": {"edgedistill.arrays"},  # names types
    "peers/asking.py": {  # times files of several runtimes in turns, and of peers, which no command does
        "edgedistill.arrays",
        "edgedistill.contracts",
        "edgedistill.contracts.driver",
    },
    "peers/compared.py": {  # compares files that are not ours with the intervals that our reports have
        "edgedistill.arrays",
        "edgedistill.contracts.answers",
        "edgedistill.contracts.metric",
        "edgedistill.evaluation.speed_up",
        "edgedistill.evaluation.statistics",
    },
    "peers/edgedistill_soft_targets.py": {  # times steps of the training loop, without a run
        "edgedistill.arrays",
        "edgedistill.contracts",
        "edgedistill.contracts.items",
        "edgedistill.contracts.metric",
        "edgedistill.models.loading",
        "edgedistill.models.sizes",
        "edgedistill.recipe.schema",
        "edgedistill.recipe.teacher_spec",
        "edgedistill.signals.batching",
        "edgedistill.signals.recording",
        "edgedistill.signals.soft_targets",
        "edgedistill.store.progress",
        "edgedistill.tasks._language_items",
        "edgedistill.training.loop",
        "edgedistill.training.seeds",
        "edgedistill.training.training_data",
        "edgedistill.training.training_module",
    },
    "peers/operator_times.py": {"edgedistill.arrays"},  # names a type
    "peers/own_files.py": {"edgedistill.evaluation.results_candidates"},  # names a type
    "peers_training.py": {  # compares programs that are not ours with the interval that our reports have
        "edgedistill.arrays",
        "edgedistill.contracts.answers",
        "edgedistill.contracts.metric",
        "edgedistill.evaluation.statistics",
    },
    "quantize_peers.py": {"edgedistill.arrays"},  # names a type
    "quickstart_base.py": {"edgedistill.recipe.reading"},  # finds the shipped recipes
    "record.py": {"edgedistill.system.machine"},  # the machine as results.json describes it
    "reduced_build.py": {"edgedistill_exporters.ort_mobile", "edgedistill_exporters.reduced_build"},  # what it measures
    "runtimes_of_language_models.py": {  # asks files token by token, beside torch, which no command does
        "edgedistill.contracts",
        "edgedistill.contracts.driver",
        "edgedistill.device.files",
        "edgedistill.device.generation",
        "edgedistill.errors",
        "edgedistill.isolation",
        "edgedistill.measuring.device_model",
        "edgedistill.models.loading",
        "edgedistill.models.tokenizer_files",
        "edgedistill.recipe.reading",
        "edgedistill.runtimes",
        "edgedistill.runtimes._browser.speaking",
        "edgedistill.vocabulary.token_bytes",
    },
    "small_files.py": {  # finds the shipped recipe, and compares files with the interval that our reports have
        "edgedistill.arrays",
        "edgedistill.evaluation.statistics",
        "edgedistill.recipe.reading",
    },
    "tiled_losses.py": {  # measures the losses themselves, without a run
        "edgedistill.contracts",
        "edgedistill.contracts.distribution",
        "edgedistill.contracts.loss",
        "edgedistill.contracts.model_shape",
    },
}


def internals(file: Path) -> set[str]:
    """Modules of ours below `edgedistill` that a file imports, and names that it takes which are not public."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name != "edgedistill"}
        elif isinstance(node, ast.ImportFrom) and node.module == "edgedistill":
            found |= {f"edgedistill.{alias.name}" for alias in node.names if alias.name not in edgedistill.__all__}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgedistill":
            found |= {f"edgedistill.{node.attr}"} - {f"edgedistill.{name}" for name in edgedistill.__all__}
    return {name for name in found if name.startswith("edgedistill")}


def test_the_benches_import_nothing_internal_but_what_is_listed() -> None:
    found = {str(file.relative_to(BENCH)): internals(file) for file in sorted(BENCH.rglob("*.py"))}
    assert {name: modules for name, modules in found.items() if modules} == INTERNAL


def test_what_is_public_is_there() -> None:
    assert all(hasattr(edgedistill, name) for name in edgedistill.__all__)
