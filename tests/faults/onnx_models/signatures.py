"""Inputs and outputs that are others than the task's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from ..world import LABELS
from .file import File, behind_logits, constant


def unchanged_but_for_words(file: File, rng: random.Random) -> None:
    """Names and notes that mean nothing."""

    def change(model: Any) -> None:
        model.doc_string, model.producer_name, model.producer_version = "a note", "someone", "9"
        entry = model.metadata_props.add()
        entry.key, entry.value = "note", "x" * 100
        for number, node in enumerate(model.graph.node):
            node.name, node.doc_string = f"node {number}", "é"

    file.edit(change)
    file.expected = "works"


def initializers_in_another_order(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        every = list(model.graph.initializer)
        del model.graph.initializer[:]
        model.graph.initializer.extend(rng.sample(every, len(every)))

    file.edit(change)
    file.expected = "works"


def output_renamed(file: File, rng: random.Random) -> None:
    name = rng.choice(["output_0", "scores", "é", "a/b:0"])

    def change(model: Any) -> None:
        old = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = [name if output == old else output for output in node.output]
        model.graph.output[0].name = name

    file.edit(change)
    file.expected = "either"


def input_renamed(file: File, rng: random.Random) -> None:
    name = rng.choice(["ids", "input", "tokens", "attention", "x"])

    def change(model: Any) -> None:
        given = rng.choice(list(model.graph.input))
        for node in model.graph.node:
            node.input[:] = [name if operand == given.name else operand for operand in node.input]
        given.name = name

    file.edit(change)


def inputs_in_another_order(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        every = list(model.graph.input)[::-1]
        del model.graph.input[:]
        model.graph.input.extend(every)

    file.edit(change)
    file.expected = "works"


def input_int32(file: File, rng: random.Random) -> None:
    """As other tools write it: the numbers of tokens are 32 bits."""
    import onnx

    def change(model: Any) -> None:
        for given in model.graph.input:
            inner = f"{given.name}_64"
            for node in model.graph.node:
                node.input[:] = [inner if operand == given.name else operand for operand in node.input]
            given.type.tensor_type.elem_type = onnx.TensorProto.INT32
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [given.name], [inner], to=onnx.TensorProto.INT64))

    file.edit(change)
    file.expected = "either"


def input_more(file: File, rng: random.Random) -> None:
    """One that the task doesn't know."""
    import onnx

    name = rng.choice(["position_ids", "token_type_ids", "pixel_values", "decoder_input_ids", "labels"])

    def change(model: Any) -> None:
        if name in [port.name for port in model.graph.input]:
            return
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, ["b", "t"]))
        model.graph.node.append(onnx.helper.make_node("Identity", [name], [f"{name}_out"]))

    file.edit(change)
    file.expected = "either"


def shape_fixed(file: File, rng: random.Random) -> None:
    batch, length = rng.choice([(1, 16), (None, 16), (4, None), (1, 128), (0, 0)])

    def change(model: Any) -> None:
        for given in model.graph.input:
            for dim, value in zip(given.type.tensor_type.shape.dim, (batch, length), strict=False):
                if value is not None:
                    dim.Clear()
                    dim.dim_value = value

    file.edit(change)
    file.expected = "either"


def outputs_of_another_width(file: File, rng: random.Random) -> None:
    import onnx

    width = rng.choice([1, 2, 4, 500])
    if width < len(LABELS):
        kept = constant(file, "kept", np.arange(width, dtype=np.int64))
        behind_logits(
            file, lambda one, other: onnx.helper.make_node("Gather", [one, kept], [other], axis=1), width=width
        )
    else:
        more = constant(file, "pads", np.array([0, 0, 0, width - len(LABELS)], dtype=np.int64))
        low = constant(file, "low", np.array(-9.0, dtype=np.float32))
        behind_logits(file, lambda one, other: onnx.helper.make_node("Pad", [one, more, low], [other]), width=width)


def outputs_not_finite(file: File, rng: random.Random) -> None:
    import onnx

    value = np.array([rng.choice([np.nan, np.inf]), 0, 0], dtype=np.float32)
    added = constant(file, "odd", value)
    behind_logits(file, lambda one, other: onnx.helper.make_node("Add", [one, added], [other]))


def outputs_as_probabilities(file: File, rng: random.Random) -> None:
    import onnx

    behind_logits(file, lambda one, other: onnx.helper.make_node("Softmax", [one], [other], axis=-1))
    file.expected = "either"


def outputs_of_another_type(file: File, rng: random.Random) -> None:
    import onnx

    kind = rng.choice(
        [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.STRING]
    )
    behind_logits(file, lambda one, other: onnx.helper.make_node("Cast", [one], [other], to=kind), kind=kind)
    file.expected = "either"


def outputs_of_another_rank(file: File, rng: random.Random) -> None:
    import onnx

    def change(model: Any) -> None:
        shape = model.graph.output[0].type.tensor_type.shape
        del shape.dim[:]
        for name in ("b", "x", "c") if deeper else ("b",):
            shape.dim.add().dim_param = name

    deeper = rng.choice([True, False])
    axes = constant(file, "axes", np.array([1], dtype=np.int64))
    kind = "Unsqueeze" if deeper else "ReduceMax"
    more = {} if deeper else {"keepdims": 0}
    file.edit(change)
    behind_logits(file, lambda one, other: onnx.helper.make_node(kind, [one, axes], [other], **more))


def outputs_chosen(file: File, rng: random.Random) -> None:
    """The class itself, not what each class scores."""
    import onnx

    behind_logits(
        file,
        lambda one, other: onnx.helper.make_node("ArgMax", [one], [other], axis=1, keepdims=1),
        kind=onnx.TensorProto.INT64,
    )


def outputs_more(file: File, rng: random.Random) -> None:
    """Another output, before or behind the logits."""
    import onnx

    first = rng.choice([True, False])

    def change(model: Any) -> None:
        given = model.graph.input[0].name
        model.graph.node.append(onnx.helper.make_node("Cast", [given], ["echo"], to=onnx.TensorProto.FLOAT))
        own = list(model.graph.output)
        more = onnx.helper.make_tensor_value_info("echo", onnx.TensorProto.FLOAT, ["b", "t"])
        del model.graph.output[:]
        model.graph.output.extend([more, *own] if first else [*own, more])

    file.edit(change)
    file.expected = "either" if first else "works"


def outputs_none(file: File, rng: random.Random) -> None:
    file.edit(lambda model: model.graph.output.pop())
