"""ExecuTorch (`.pte`) for XNNPACK with `transformers.exporters`: fp32, and int8 with PT2E, with per-channel weights and
activations quantized dynamically or with calibrated ranges. Batch and length are dynamic.

Token and position tables, most of a small model, are int8 as well, with one scale per row. ExecuTorch's XNNPACK does
not support embeddings, so they use its kernel `embedding_byte`: a device must link the library of quantized kernels.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.contracts.driver import PortNames
from edgedistill.contracts.packages import Packages
from edgedistill.contracts.precision import Precision
from edgedistill.contracts.target import FileRequest, MadeFile, Target
from edgedistill.errors import EdgedistillError
from edgedistill.exporting.jobs import compare_with_torch, giving_outputs, refuse_components
from edgedistill.runtimes import executorch as runtime
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel
    from transformers.exporters import PT2EQuantizer

    from edgedistill.contracts.tensors import Tensors

PRECISIONS = {
    "fp32": Precision(file="model.pte", bytes_per_parameter=4.0),
    "int8-dynamic": Precision(file="model_int8.pte", bytes_per_parameter=1.1),
    "int8-static": Precision(file="model_int8_static.pte", bytes_per_parameter=1.1, calibrated=True),
}

LARGEST_BATCH = 64
"""The file reserves room for its largest input, so there must be one."""

_PRODUCTS = ("addmm", "bmm", "convolution", "linear", "mm")


def make(request: FileRequest, file: Path) -> MadeFile:
    """Export, check that XNNPACK computes every matrix product, and compare fp32 with PyTorch at several shapes.

    Raises:
        EdgedistillError: it cannot be traced or lowered, a matrix product is left to the slow kernels, or the file
            differs from PyTorch.
    """
    refuse_components(request, "executorch")
    model = request.model()
    sample = _typed(request, request.samples(2, request.length or min(16, request.max_length)))
    quantized = request.precision != "fp32"
    if quantized:
        model = copy.deepcopy(model)
        quantize_tables(model)
    traced = replace(request, model=lambda: model)
    with giving_outputs(traced, sample) as asked:
        inside = _export(asked, sample, request, file, _linear_quantizer(request, sample) if quantized else None)
    graph = runtime.open(file, 1, PortNames(tuple(sample), request.outputs))
    found = graph.backend()
    outside = found["operators_elsewhere"]
    assert isinstance(outside, int)
    facts = {
        "delegated_share": len(inside) / (len(inside) + outside),
        "operators_delegated": len(inside),
        "operators_elsewhere": outside,
        **_products(inside),
        **({"embedding": "int8" if quantized else "fp32"} if _has_tables(request.model()) else {}),
    }
    checks = () if quantized else compare_with_torch(request, "executorch", graph)
    return MadeFile(checks=checks, inputs=tuple(sample), facts=facts)


def _typed(request: FileRequest, batch: Tensors) -> dict[str, torch.Tensor]:
    """The inputs in the file's types: blocks are float32, whatever the data's type."""
    columns = request.columns()
    return {name: value.float() if columns[name].layout == "block" else value for name, value in batch.items()}


def quantize_tables(model: PreTrainedModel) -> None:
    """Replace, in place, embeddings as wide as the token table; relative position biases are unchanged. Image models
    have none."""
    import torch

    if not _has_tables(model):
        return
    width = model.get_input_embeddings().embedding_dim
    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Embedding) and module.embedding_dim == width:
            model.set_submodule(name, _int8_table(module))


def _has_tables(model: PreTrainedModel) -> bool:
    import torch

    return any(isinstance(module, torch.nn.Embedding) for module in model.modules())


def _int8_table(table: torch.nn.Embedding) -> torch.nn.Module:
    """The same table in int8, symmetric, with one scale per row."""
    import executorch.kernels.quantized  # noqa: F401 - registers the operator's form that the file calls
    import torch
    from executorch.exir.passes import quant_fusion_pass  # noqa: F401 - registers the operator itself

    class Int8Table(torch.nn.Module):
        def __init__(self, weight_VH: torch.Tensor) -> None:  # noqa: N803
            super().__init__()
            scales_V = weight_VH.abs().amax(1).clamp(min=1e-12) / 127  # noqa: N806
            values_VH = (weight_VH / scales_V[:, None]).round().to(torch.int8)  # noqa: N806
            self.register_buffer("scales", scales_V)
            self.register_buffer("values", values_VH)

        def forward(self, indices: torch.Tensor) -> torch.Tensor:
            look_up = torch.ops.quantized_decomposed.embedding_byte.dtype
            rows: torch.Tensor = look_up(self.values, self.scales, None, -128, 127, indices, dtype=torch.float32)
            return rows

    return Int8Table(table.weight.detach())


def _linear_quantizer(request: FileRequest, sample: Tensors) -> PT2EQuantizer:
    """Weights per channel; activations dynamically, or with ranges from calibration.

    Static quantization is limited to linear layers, which are most of the work: XNNPACK supports attention's matrix
    products, softmax and GELU only in fp32, and the mask's -3.4e38 would use up the range of anything it is added to.
    """
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e import MinMaxObserver
    from transformers.exporters import PT2EQuantizer

    class LinearQuantizer(XNNPACKQuantizer):  # type: ignore[misc,unused-ignore]
        def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            """Keep scalars: converting them to fp32 tensors, as for static quantization, would turn the mask indices
            into fractions."""
            return model

    if request.precision == "int8-dynamic":
        settings = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
        # Activations are not observed, but PT2E needs one sample to pass through.
        return PT2EQuantizer(LinearQuantizer().set_global(settings), [sample])
    settings = get_symmetric_quantization_config(is_per_channel=True)
    # The default histogram observer takes minutes; minimum and maximum do as well.
    range_of = replace(settings.input_activation, observer_or_fake_quant_ctr=MinMaxObserver.with_args(eps=2**-12))
    settings = replace(settings, input_activation=range_of, output_activation=range_of)
    seen = [
        _typed(request, {name: torch.from_numpy(arrays[name]) for name in sample}) for arrays in request.calibration
    ]
    return PT2EQuantizer(LinearQuantizer().set_operator_type(torch.ops.aten.linear.default, settings), seen)


def _export(
    model: PreTrainedModel, sample: Tensors, request: FileRequest, file: Path, quantizer: PT2EQuantizer | None
) -> list[torch.fx.Node]:
    """Write the file, and return the operators delegated to XNNPACK."""
    import torch
    from executorch.exir.lowered_backend_module import get_lowered_submodules
    from transformers.exporters import ExecutorchConfig, ExecutorchExporter

    # A batch of one would freeze the batch dimension, so trace with two.
    fixed = torch.export.Dim.STATIC
    batch = {0: torch.export.Dim("batch", max=LARGEST_BATCH)}
    length = {1: fixed if request.length is not None else torch.export.Dim("length", max=request.max_length)}
    columns = request.columns()
    shapes = {name: batch | (length if columns[name].layout == "sequence" else {}) for name in sample}
    settings = ExecutorchConfig(dynamic=True, dynamic_shapes=shapes, quantizer=quantizer)
    try:
        with quiet():
            program = ExecutorchExporter().export(model, sample, settings).program
            ExecutorchExporter.save_program(program, file)
    except Exception as error:
        kind = model.config.model_type
        reason = " ".join(str(error).split())[:300]
        raise EdgedistillError(f"target executorch: this '{kind}' model cannot be lowered: {reason}") from error
    parts = get_lowered_submodules(program.exported_program().graph_module)
    graphs = [part.original_module.graph_module.graph for _, part, _ in parts]
    return [node for graph in graphs for node in graph.nodes if node.op == "call_function"]


def _products(nodes: Sequence[torch.fx.Node]) -> dict[str, object]:
    """Number of matrix products in XNNPACK, of these with int8 weights, and of these with statically quantized
    activations."""
    products = [node for node in nodes if any(f"aten.{name}." in str(node.target) for name in _PRODUCTS)]
    inputs = [[str(given.target) for given in node.all_input_nodes] for node in products]
    int8 = [given for given in inputs if any("dequantize_per_channel" in target for target in given)]
    return {
        "products": len(products),
        "int8_weights": len(int8),
        "int8_activations": sum(any("dequantize_per_tensor.default" in target for target in given) for given in int8),
    }


TARGET = Target(
    api=1,
    version=4,
    precisions=PRECISIONS,
    runtimes=("executorch",),
    packages=Packages(
        imports=("executorch", "torchao"),
        requirements=("executorch>=1.5.1", "torchao>=0.18", "torch>=2.13", "transformers>=5.23", "pydantic>=2.11"),
        environment="executorch",
    ),
    make=make,
    isolated=True,
)
