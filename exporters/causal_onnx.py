"""Exports a causal language model as one ONNX graph with a KV cache: inputs are tokens and the past cache, outputs
logits and the new cache. An empty past is the prefill, a non-empty one decoding.

Names and shapes are those of transformers.js and optimum: `past_key_values.N.key` and `.value` with (B, key-value
heads, P, head size), `present.N.key` and `.value` with (B, key-value heads, P + T, head size).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgedistill.device.decoding import LAYOUT
from edgedistill.errors import EdgedistillError, RefusedError
from edgedistill.system.quiet import quiet
from edgedistill_exporters.causal import tie
from edgedistill_exporters.onnx_notes import drop_notes, drop_unread, values
from edgedistill_exporters.onnx_rotary import rotate_apart

if TYPE_CHECKING:
    import onnx_ir
    import torch
    from transformers import DynamicCache, PreTrainedModel

    from edgedistill.contracts.target import FileRequest

_BATCH, _PAST, _NEW = 2, 5, 3
"""Sizes of the traced sample; a size of 1 would be frozen."""
_LEAF = re.compile(r"(input|output)\.past_key_values\.layers\.(\d+)\.(key|value)s")
_ONE = "1"
"""A name for the batch axis that the fusions treat as one item, but as dynamic in shape computations."""


def graph_of(request: FileRequest) -> onnx_ir.Model:
    """Trace the model with a cache, and fuse norms, rotary embeddings and grouped-query attention into ONNX Runtime's
    operators.

    Raises:
        RefusedError: the model's cache contains something other than keys and values.
    """
    from transformers.exporters import OnnxConfig, OnnxExporter
    from transformers.exporters.onnxruntime_fusions import fuse_for_onnxruntime

    model = request.model()
    tie(model)
    tokens = request.samples(_BATCH, _PAST + _NEW)[model.main_input_name]
    inputs, shapes = _sample(model, tokens)
    with quiet():
        exported = OnnxExporter().export(model, inputs, OnnxConfig(dynamic=True, dynamic_shapes=shapes))
        graph: onnx_ir.Model = exported.program
        _name_ports(graph)
        _name_axes(graph, _ONE)
        # ONNX Runtime's grouped-query attention only supports several new tokens after a past for one text;
        # the fusions skip it if there could be more texts. Prompts and single tokens may be batched, and nothing needs
        # more of a cache.
        fuse_for_onnxruntime(graph, "cpu")
        rotate_apart(graph)
        _rename(graph, {_ONE: LAYOUT.batch})
    drop_notes(graph)
    return graph


def _sample(model: PreTrainedModel, tokens: torch.Tensor) -> tuple[dict[str, object], dict[str, object]]:
    """Inputs for tracing, and their dynamic axes."""
    import torch
    from transformers.cache_utils import DynamicCache, DynamicLayer

    with torch.no_grad():
        cache = _keys_and_values(model, getattr(model(tokens[:, :_PAST], use_cache=True), "past_key_values", None))
        if any(type(layer) is not DynamicLayer for layer in cache.layers):
            # Sliding-window layers keep the whole text, as the layout requires; the mask hides the rest.
            cache = model(tokens[:, :_PAST], use_cache=True, past_key_values=DynamicCache()).past_key_values
    free = torch.export.Dim.AUTO
    inputs: dict[str, object] = {
        LAYOUT.tokens: tokens[:, _PAST:],
        LAYOUT.mask: torch.ones_like(tokens),
        LAYOUT.positions: torch.arange(_PAST, _PAST + _NEW).expand(_BATCH, -1).clone(),
        "past_key_values": cache,
        "use_cache": True,
    }
    rows = {0: free, 1: free}
    shapes: dict[str, object] = {
        LAYOUT.tokens: rows,
        LAYOUT.mask: rows,
        LAYOUT.positions: rows,
        "past_key_values": [{0: free, 2: free}] * (2 * len(cache.layers)),
    }
    return inputs, shapes


def _keys_and_values(model: PreTrainedModel, cache: object) -> DynamicCache:
    """The cache, if it holds keys and values of each token only.

    Raises RefusedError for any other kind.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    layers = cache.layers if isinstance(cache, DynamicCache) else []
    if layers and all(isinstance(layer, DynamicLayer) and layer.keys.ndim == 4 for layer in layers):
        return cache
    raise RefusedError(
        f"target onnx: the cache of a '{model.config.model_type}' model holds more than keys and values, "
        "which the layout does not support"
    )


def _name_ports(graph: onnx_ir.Model) -> None:
    """Apply the layout's names, and drop unused inputs (positions, if a model counts them itself)."""
    drop_unread(graph)
    for value in [*graph.graph.inputs, *graph.graph.outputs]:
        if found := _LEAF.fullmatch(str(value.name)):
            way, layer, what = found.groups()
            value.name = (LAYOUT.past if way == "input" else LAYOUT.present)(int(layer), what)


def _name_axes(graph: onnx_ir.Model, batch: str) -> None:
    """Give the dynamic axes meaningful names instead of `s7`."""
    inputs = {str(value.name): value for value in graph.graph.inputs}
    tokens, mask, past = (inputs[name].shape for name in (LAYOUT.tokens, LAYOUT.mask, LAYOUT.past(0, "key")))
    assert tokens is not None
    assert mask is not None
    assert past is not None
    frozen = [dim for dim in (tokens[0], tokens[1], mask[1], past[2]) if isinstance(dim, int)]
    if frozen:
        raise EdgedistillError(f"target onnx: the trace is only valid for inputs of {tokens}, {mask} and {past}")
    names = {tokens[0]: batch, mask[0]: batch, past[0]: batch, tokens[1]: LAYOUT.new, past[2]: LAYOUT.kept}
    _rename(graph, {str(dim.value): name for dim, name in names.items()} | {str(mask[1].value): LAYOUT.total})


def _rename(graph: onnx_ir.Model, names: dict[str, str]) -> None:
    """Rename axes in the shapes of all values, also inside expressions such as `s7 + s10`."""
    import onnx_ir

    words = re.compile("|".join(rf"\b{re.escape(name)}\b" for name in names))
    for value in values(graph):
        if value.shape is not None:
            value.shape = onnx_ir.Shape(
                [
                    dim if isinstance(dim, int) else words.sub(lambda found: names[found[0]], str(dim.value))
                    for dim in value.shape
                ]
            )
