"""ncnn (`.param` and `.bin`) through pnnx, with weights in fp32 or fp16. Any length, one item at a time."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.exporting.jobs import LOADING, TOLERANCE, compare_with_torch, refuse_components
from edgedistill.runtimes import ncnn as runtime
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import torch

    from edgedistill.contracts.tensors import Tensors

PRECISIONS = {
    "fp32": Precision(file="model.param", bytes_per_parameter=4.0),
    "fp16": Precision(file="model_fp16.param", bytes_per_parameter=2.0),
}

_TOLERANCE = {"fp32": TOLERANCE, "fp16": 0.1}
"""Rounding weights moves logits by hundredths; a wrong graph by far more."""
_LENGTHS = (16, 29)
"""Two lengths, from which pnnx infers dynamic dimensions."""


def make(request: FileRequest, file: Path) -> MadeFile:
    """Convert, check that ncnn has every layer, name inputs and output, and compare with PyTorch.

    Raises:
        RefusedError: the model needs a layer that ncnn does not have.
        EdgedistillError: pnnx failed, or the file differs from PyTorch.
    """
    refuse_components(request, "ncnn")
    with tempfile.TemporaryDirectory() as folder, quiet():
        names = _convert(request, Path(folder), file)
    layers = _finish(request, file, names)
    facts = {"weights": request.precision, "layers": layers}
    checks = compare_with_torch(request, "ncnn", runtime.open(file, 1, PortNames()), _TOLERANCE[request.precision])
    return MadeFile(checks=checks, facts=facts)


def _convert(request: FileRequest, folder: Path, file: Path) -> tuple[str, ...]:
    """Trace the model and run pnnx on it; returns the names of the inputs in order."""
    import pnnx
    import torch

    from edgedistill_exporters.plain_graph import PlainGraph

    model = request.model()
    kind = model.config.model_type
    samples = _samples(request)
    try:
        graph = PlainGraph(request, samples)
        with torch.no_grad():
            traced = torch.jit.trace(graph, graph.arguments(samples[0]), check_trace=False)
    except RefusedError as error:
        raise RefusedError(f"target ncnn: this '{kind}' model cannot be expressed: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise EdgedistillError(f"target ncnn: torch cannot trace this '{kind}' model: {reason}") from error
    traced.save(str(folder / "model.pt"))
    shapes = [_shapes(graph.arguments(batch)) for batch in samples]
    command = [
        pnnx.EXEC_PATH,
        "model.pt",
        f"inputshape={shapes[0]}",
        *[f"inputshape2={shape}" for shape in shapes[1:]],
        f"fp16={int(request.precision == 'fp16')}",
        f"ncnnparam={file.resolve()}",
        f"ncnnbin={file.with_suffix('.bin').resolve()}",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not file.is_file():
        words = " ".join((done.stderr or done.stdout).split())[-300:]
        raise EdgedistillError(f"target ncnn: pnnx ended with exit code {done.returncode}: {words}")
    return graph.names


def _samples(request: FileRequest) -> list[Tensors]:
    """One item at each of the lengths to trace at."""
    if request.length is not None:
        return [request.samples(1, request.length)]
    second = min(_LENGTHS[1], request.max_length)
    first = min(_LENGTHS[0], max(1, second // 2))
    return [request.samples(1, length) for length in dict.fromkeys((first, second))]


def _shapes(arguments: tuple[torch.Tensor, ...]) -> str:
    """Shapes in pnnx's format: `[1,16]i64,[1,16]f32`."""
    return ",".join(
        f"[{','.join(map(str, argument.shape))}]{'f32' if argument.is_floating_point() else 'i64'}"
        for argument in arguments
    )


def _finish(request: FileRequest, file: Path, names: tuple[str, ...]) -> int:
    """Replace pnnx's names, and set the length of the inputs if it is fixed; returns the number of layers.

    pnnx keeps torch's names for layers that it could not convert, and exits successfully.
    """
    import ncnn

    layers = runtime.read_layers(file)
    unknown = sorted({layer.kind for layer in layers if ncnn.layer_to_index(layer.kind) < 0})
    if unknown:
        kind = request.model().config.model_type
        raise RefusedError(f"target ncnn: ncnn has no layers for {', '.join(unknown)}, which this '{kind}' model needs")
    called = {f"in{number}": name for number, name in enumerate(names)}
    called |= {f"out{number}": name for number, name in enumerate(request.outputs)}
    # A fixed length is declared at the inputs.
    sizes = {} if request.length is None else {name: batch[0].numel() for name, batch in _samples(request)[0].items()}
    renamed = [
        replace(
            layer,
            name=called.get(layer.name, layer.name),
            inputs=tuple(called.get(name, name) for name in layer.inputs),
            outputs=tuple(called.get(name, name) for name in layer.outputs),
            settings=layer.settings + ((f"0={sizes[called[layer.name]]}",) if layer.kind == "Input" and sizes else ()),
        )
        for layer in layers
    ]
    head = file.read_text(encoding="utf-8").splitlines()[:2]
    file.write_text("\n".join([*head, *map(str, renamed)]) + "\n", encoding="utf-8")
    return len(layers)


TARGET = Target(
    api=1,
    version=2,
    precisions=PRECISIONS,
    runtimes=("ncnn",),
    packages=Packages(
        imports=("ncnn", "pnnx"),
        requirements=(*LOADING, "ncnn>=1.0.20261020", "pnnx>=20261020"),
        environment="ncnn",
    ),
    make=make,
    isolated=True,
)
