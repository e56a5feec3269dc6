"""MNN (`.mnn`), converted from the ONNX file with MNN's converter: fp32, weights in fp16, products in int8.

In the int8 file embedding tables are fp16: the converter supports int8 for matrix products, but not for lookups.

The converter is called directly. The command `mnnconvert` and its module `MNN.tools` install a logger that reports each
use to MNN's makers.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import LOADING, compare_with_torch
from edgedistill.exporting.onnx_saving import save_model
from edgedistill.runtimes import mnn as runtime

if TYPE_CHECKING:
    import onnx


PRECISIONS = {
    "fp32": Precision(file="model.mnn", bytes_per_parameter=4.0, made_of=("onnx", "fp32")),
    "fp16": Precision(file="model_fp16.mnn", bytes_per_parameter=2.0, made_of=("onnx", "fp32")),
    "int8-dynamic": Precision(file="model_int8.mnn", bytes_per_parameter=1.5, made_of=("onnx", "fp32")),
}

_CONSTANTS = {"gelu_shrink": math.sqrt(0.5), "gelu_one": 1.0, "gelu_half": 0.5}


def make(request: FileRequest, file: Path) -> MadeFile:
    """Convert; fp32 is compared with PyTorch at several shapes.

    Raises:
        EdgedistillError: the converter wrote nothing, or the file differs from PyTorch.
    """
    assert request.source is not None, "every precision is made from another file"
    with tempfile.TemporaryDirectory() as folder:
        _convert(_written_out(request.source, Path(folder)), file, request.precision)
    if request.precision != "fp32":
        return MadeFile(facts={"embedding": "fp16"})
    checks = compare_with_torch(request, "mnn", runtime.open(file, 1, PortNames(outputs=request.outputs)))
    return MadeFile(checks=checks, facts={"embedding": "fp32"})


def _convert(source: Path, file: Path, precision: str) -> None:
    """The source is an ONNX file in a temporary folder."""
    match precision:
        case "fp32":
            _call("ONNX", source, file, precision)
        case "fp16":
            _call("ONNX", source, file, precision, "--fp16")
        case _:
            # With both options at once, the converter makes everything fp16.
            first = source.with_suffix(".mnn")
            _call("ONNX", source, first, precision, "--weightQuantBits", "8")
            _call("MNN", first, file, precision, "--fp16")


def _call(kind: str, source: Path, file: Path, precision: str, *options: str) -> None:
    """One run of the converter.

    Raises:
        EdgedistillError: it wrote no file.
    """
    import _tools

    arguments = ["-f", kind, "--modelFile", str(source), "--MNNModel", str(file), "--useGeluApproximation", "0"]
    # The only user-defined field of the file: tells the runtime the intended precision.
    _tools.mnnconvert(["mnnconvert", *arguments, "--bizCode", runtime.MARK + precision, *options])
    if not file.is_file():
        raise EdgedistillError(f"target mnn: the converter wrote no file of '{source.name}'")


def _written_out(source: Path, folder: Path) -> Path:
    """The same graph with GELU through the error function: MNN computes its GELU operator with the tanh approximation,
    with errors up to 5e-4, but the error function exactly."""
    import onnx

    model = onnx.load(source)
    graph = model.graph
    nodes = [part for node in graph.node for part in (_gelu(node) if _exact_gelu(node) else [node])]
    if len(nodes) > len(graph.node):
        graph.initializer.extend(
            onnx.helper.make_tensor(name, onnx.TensorProto.FLOAT, [], [value]) for name, value in _CONSTANTS.items()
        )
        kept = list(nodes)
        del graph.node[:]
        graph.node.extend(kept)
    file = folder / "model.onnx"
    save_model(model, file)
    return file


def _exact_gelu(node: onnx.NodeProto) -> bool:
    return node.op_type == "Gelu" and not any(attribute.s == b"tanh" for attribute in node.attribute)


def _gelu(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """x (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016)."""
    import onnx

    (given,), (found,) = node.input, node.output
    steps = [
        ("Mul", [given, "gelu_shrink"], "shrunk"),
        ("Erf", ["shrunk"], "erf"),
        ("Add", ["erf", "gelu_one"], "raised"),
        ("Mul", [given, "raised"], "product"),
        ("Mul", ["product", "gelu_half"], ""),
    ]
    own = {name for _, _, name in steps if name}
    return [
        onnx.helper.make_node(
            kind,
            [f"{found}_{operand}" if operand in own else operand for operand in inputs],
            [f"{found}_{name}" if name else found],
        )
        for kind, inputs, name in steps
    ]


TARGET = Target(
    api=1,
    version=1,
    precisions=PRECISIONS,
    runtimes=("mnn",),
    packages=Packages(
        imports=("MNN", "_tools"),
        requirements=(*LOADING, "onnx>=1.23", "MNN>=3.6.1"),
        environment="mnn",
    ),
    make=make,
    isolated=True,
)
