"""Contents of an ONNX file without running it: its weight files, inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.errors import UserError
from edgedistill.system.local_files import lies_within

if TYPE_CHECKING:
    import onnx

_INTEGERS = ("INT64", "INT32")
_SHOWN = 200


@dataclass(frozen=True)
class Port:
    """An input or output: its type and shape (None: dynamic)."""

    type: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxContents:
    """The inputs and outputs of an ONNX file, and its external files."""

    inputs: Mapping[str, Port]
    outputs: Mapping[str, Port]
    weights: tuple[Path, ...]

    @property
    def length(self) -> int | None:
        """The fixed number of tokens, or None."""
        fixed = {port.shape[1] for port in self.inputs.values() if len(port.shape) > 1 and port.shape[1] is not None}
        return next(iter(fixed)) if len(fixed) == 1 else None

    @property
    def batch(self) -> int | None:
        """The fixed batch size, or None."""
        fixed = {port.shape[0] for port in self.inputs.values() if port.shape and port.shape[0] is not None}
        return next(iter(fixed)) if len(fixed) == 1 else None


def read_onnx(file: Path) -> OnnxContents:
    """Read the graph without external weights.

    Raises:
        UserError: it is not an ONNX file, or refers to a file that is missing or outside its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(file, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        words = " ".join(str(error).split())[:_SHOWN]
        raise UserError(f"'{file}' is not a readable ONNX file [{type(error).__name__}: {words}]") from error
    if not model.graph.output:
        raise UserError(f"'{file}' is not a valid ONNX file: it has no outputs")
    kept = {initializer.name for initializer in model.graph.initializer}
    return OnnxContents(
        inputs={port.name: _port(port) for port in model.graph.input if port.name not in kept},
        outputs={port.name: _port(port) for port in model.graph.output},
        weights=tuple(_weights(model, file)),
    )


def refuse_unfit(contents: OnnxContents, name: str, given: Sequence[str], batch: int) -> None:
    """Check a file's inputs against the task.

    Args:
        name: the file, for the message.
        given: the inputs that the tokenizer produces.
        batch: the batch size to use.

    Raises:
        UserError: they do not match.
    """
    if unknown := [taken for taken in contents.inputs if taken not in given]:
        raise UserError(
            f"{name} has the inputs {', '.join(map(repr, unknown[:5]))}, which the tokenizer does not produce; "
            f"expected only inputs among {', '.join(given)}"
        )
    for taken, port in contents.inputs.items():
        if port.type not in _INTEGERS or len(port.shape) != 2:
            raise UserError(
                f"{name} takes {taken!r} as {port.type} with {len(port.shape)} dimensions; expected token ids, int64 "
                "or int32 of shape (batch, length)"
            )
    if contents.batch not in (None, 1):
        raise UserError(
            f"{name} takes exactly {contents.batch} items at once; expected a batch size of one or any, since "
            "accuracy is measured one item at a time"
        )
    if contents.batch == 1 != batch:
        raise UserError(f"{name} takes exactly 1 item at once, got --batch {batch}")
    if contents.length is not None and (batch != 1 or len(contents.inputs) < 2):
        raise UserError(
            f"{name} takes inputs of exactly {contents.length} tokens; such a file can only be measured one item at a "
            "time, and only if one of its inputs is a mask that hides the padding"
        )


def _port(value: onnx.ValueInfoProto) -> Port:
    import onnx

    tensor = value.type.tensor_type
    sizes = tuple(size.dim_value if size.HasField("dim_value") else None for size in tensor.shape.dim)
    return Port(onnx.TensorProto.DataType.Name(tensor.elem_type), sizes)


def _weights(model: onnx.ModelProto, file: Path) -> list[Path]:
    from onnx.external_data_helper import _get_all_tensors, uses_external_data

    names: dict[str, None] = {}
    for tensor in _get_all_tensors(model):
        if uses_external_data(tensor):
            names |= {entry.value: None for entry in tensor.external_data if entry.key == "location"}
    for name in names:
        place = file.parent / name
        if not lies_within(place, file.parent):
            raise UserError(f"'{file}' has weights in {name!r:.{_SHOWN}}, outside its folder, which is never read")
        if not place.is_file():
            raise UserError(f"'{file}' has weights in {name!r:.{_SHOWN}}, which is missing beside it")
    return [file.parent / name for name in names]
