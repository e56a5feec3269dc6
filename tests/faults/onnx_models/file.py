"""The copy of a file that is damaged, and its graph."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..harness import Expected


@dataclass
class File:
    """The copy that is damaged, in a folder with tokenizer and configuration."""

    path: Path
    canary: Path
    expected: Expected = "refused"
    cwd: Path | None = None

    def edit(self, change: Callable[[Any], object], *, keep: bool = True) -> None:
        """Change the model as protobuf."""
        import onnx

        model = onnx.load(self.path)
        changed = change(model)
        onnx.save(changed if isinstance(changed, onnx.ModelProto) and not keep else model, self.path)

    def external(self, name: str) -> None:
        """Move the weights into a file of this name."""
        import onnx

        onnx.save(onnx.load(self.path), self.path, save_as_external_data=True, location=name, size_threshold=1024)


Mutation = Callable[[File, random.Random], None]


def behind_logits(
    file: File, *nodes: Callable[[str, str], Any], kind: int | None = None, width: int | None = None
) -> None:
    """Put nodes between the model's output and its name."""
    import onnx

    def change(model: onnx.ModelProto) -> None:
        output = model.graph.output[0]
        inner = f"{output.name}_before"
        for node in model.graph.node:
            node.output[:] = [inner if name == output.name else name for name in node.output]
        names = [inner, *(f"{output.name}_{i}" for i in range(len(nodes) - 1)), output.name]
        model.graph.node.extend(make(one, other) for make, one, other in zip(nodes, names[:-1], names[1:], strict=True))
        if kind is not None:
            output.type.tensor_type.elem_type = kind
        if width is not None:
            output.type.tensor_type.shape.dim[1].dim_value = width

    file.edit(change)


def constant(file: File, name: str, value: np.ndarray) -> str:
    import onnx

    file.edit(lambda model: model.graph.initializer.append(onnx.numpy_helper.from_array(value, name)))
    return name
