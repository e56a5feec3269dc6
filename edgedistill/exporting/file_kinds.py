"""The kinds of files that a recipe asks for."""

from __future__ import annotations

from edgedistill.contracts import registry
from edgedistill.contracts.file_kind import FileKind
from edgedistill.contracts.precision import BLOCK
from edgedistill.recipe.quantization import QuantizeSpec


def kind_of(target: str, asked: QuantizeSpec) -> FileKind | None:
    """None if the target has no such files, or if the mix is searched."""
    exporter = registry.target(target)
    if asked.precision is not None:
        return FileKind(target, asked.precision) if asked.precision in exporter.precisions else None
    if asked.parts is None or exporter.mix is None:
        return None
    block = (asked.block or BLOCK) if asked.parts_in_blocks else None
    return FileKind(target, None, tuple(asked.parts.by_name().items()), block)
