"""int8-dynamic: weights in int8 per output channel, embedding tables in 8 bits too; activations quantized dynamically.

The table of a language model, and a tied head, is in blocks of 32 with one scale each: a single scale for the whole
table, as elsewhere, would degrade the likelihood of every token.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgedistill.arrays import Arrays
from edgedistill.contracts.precision import Arithmetic, Grid, Quantizer
from edgedistill.contracts.weights import Graph, by_column
from edgedistill.device.decoding import LAYOUT
from edgedistill.quantizers._blocks import Blocks, quantize_tables
from edgedistill.system.quiet import quiet

if TYPE_CHECKING:
    import onnx


def quantize(source: Path, destination: Path, calibration: Sequence[Arrays]) -> None:
    """Quantize with ONNX Runtime's `quantize_dynamic`."""
    quantize_nodes(_loaded(source), destination)


def _loaded(source: Path) -> onnx.ModelProto:
    """The fp32 model, but for the tables of a language model."""
    import onnx

    model = onnx.load(source)
    if any(port.name == LAYOUT.present(0, "key") for port in model.graph.output):
        quantize_tables(model, Blocks(8))
    return model


def quantize_nodes(model: onnx.ModelProto, destination: Path, names: Sequence[str] | None = None) -> None:
    """Quantize all products and tables of a model, or the nodes with these names, and write the file.

    Signed weights give the same answers on x86 and Arm; unsigned ones differ.
    """
    import onnx
    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from edgedistill.exporting.onnx_saving import fits_inline, save_model

    # quantize_dynamic transposes Gemm weights in place and then trips over the shapes recorded for the old ones.
    weights = {initializer.name for initializer in model.graph.initializer}
    kept = [info for info in model.graph.value_info if info.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(kept)
    with tempfile.TemporaryDirectory() as folder, quiet():
        prepared, made = Path(folder) / "model.onnx", Path(folder) / "made.onnx"
        large = not fits_inline(model)
        save_model(model, prepared)
        del model  # quantize_dynamic loads it once more
        quantize_dynamic(
            prepared,
            made,
            per_channel=True,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=names,
            use_external_data_format=large,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
        save_model(onnx.load(made), destination)


ARITHMETIC = Arithmetic(
    weights=Grid(8, "channel", "symmetric"),
    # A file's scale covers everything that is in the product's input; a device runs one item at a time.
    inputs=Grid(8, "item", "range"),
    # ONNX Runtime quantizes a table like an activation, not like a weight.
    tables=Grid(8, "tensor", "range"),
    vectors=True,
)
"""Of models without a KV cache."""

QUANTIZER = Quantizer(
    api=1,
    version=1,
    file="model_quantized.onnx",
    bytes_per_parameter=1.03,
    quantize=quantize,
    arithmetic=ARITHMETIC,
    sizing=by_column(Graph(around=6110, layer=7810)),
)
