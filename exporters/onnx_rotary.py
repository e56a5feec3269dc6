"""Rotary embeddings apart from the attention over a cache.

ONNX Runtime's `GroupQueryAttention` rotates a single new token at the position after the whole past, whatever
`position_ids` say (1.32, CPU; on WebGPU every token): in a batch padded on the left, where shorter texts are at earlier
positions, it continues them wrongly. The operator `RotaryEmbedding` reads its positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir

_DOMAIN = "com.microsoft"
_PAST_KEY, _CACHES, _POSITIONS = 3, (7, 8), 9
"""Inputs of `GroupQueryAttention`, after query, key and value: its first are all three at once, or one each."""


def rotate_apart(graph: onnx_ir.Model) -> None:
    """Give every attention over a cache queries and keys that are rotated already."""
    for node in list(graph.graph):
        if node.op_type == "GroupQueryAttention" and node.attributes.get_int("do_rotary", 0):
            _rotate_before(graph, node)


def _rotate_before(graph: onnx_ir.Model, attention: onnx_ir.Node) -> None:
    import onnx_ir

    heads, key_heads = (attention.attributes.get_int(name, 0) for name in ("num_heads", "kv_num_heads"))
    packed, key, value = attention.inputs[:3]
    states = [packed, key, value]
    if key is None:
        past = attention.inputs[_PAST_KEY]
        assert past is not None
        assert past.shape is not None
        size = past.shape[3]
        assert isinstance(size, int), "the layout's caches have a known head size"
        widths = np.array([heads * size, key_heads * size, key_heads * size], np.int64)
        sizes = onnx_ir.val(f"{attention.outputs[0].name}_widths", const_value=onnx_ir.tensor(widths))
        graph.graph.register_initializer(sizes)
        split = onnx_ir.node("Split", [packed, sizes], {"axis": -1}, num_outputs=3)
        graph.graph.insert_before(attention, split)
        states = list(split.outputs)
    interleaved = attention.attributes.get_int("rotary_interleaved", 0)
    caches, positions = [attention.inputs[place] for place in _CACHES], attention.inputs[_POSITIONS]
    for place, count in enumerate((heads, key_heads)):
        attributes = {"interleaved": interleaved, "num_heads": count}
        inputs = [states[place], positions, *caches]
        rotated = onnx_ir.node("RotaryEmbedding", inputs, attributes, domain=_DOMAIN)
        graph.graph.insert_before(attention, rotated)
        states[place] = rotated.outputs[0]
    for place, given in enumerate(states):
        attention.replace_input_with(place, given)
    for place in (*_CACHES, _POSITIONS):
        attention.replace_input_with(place, None)
    for name in ("do_rotary", "rotary_interleaved"):
        attention.attributes.pop(name, None)
