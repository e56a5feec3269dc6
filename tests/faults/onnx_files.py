"""ONNX files. Oracle: ONNX Runtime itself, driven by a script of a few lines, answers the test texts with the accuracy
that is reported, one finite output a class; the bytes reported are those of all files that hold the model."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .harness import Case, Expected, Verdict, judge
from .world import LABELS

COUNT = 75
LIMIT_S = 60.0
NEEDS = ("finished",)


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


def _behind_logits(
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


def _constant(file: File, name: str, value: np.ndarray) -> str:
    import onnx

    file.edit(lambda model: model.graph.initializer.append(onnx.numpy_helper.from_array(value, name)))
    return name


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
            node.output[:] = [name if each == old else each for each in node.output]
        model.graph.output[0].name = name

    file.edit(change)
    file.expected = "either"


def input_renamed(file: File, rng: random.Random) -> None:
    name = rng.choice(["ids", "input", "tokens", "attention", "x"])

    def change(model: Any) -> None:
        given = rng.choice(list(model.graph.input))
        for node in model.graph.node:
            node.input[:] = [name if each == given.name else each for each in node.input]
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
                node.input[:] = [inner if each == given.name else each for each in node.input]
            given.type.tensor_type.elem_type = onnx.TensorProto.INT32
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [given.name], [inner], to=onnx.TensorProto.INT64))

    file.edit(change)
    file.expected = "either"


def input_more(file: File, rng: random.Random) -> None:
    """One that the task doesn't know."""
    import onnx

    name = rng.choice(["position_ids", "token_type_ids", "pixel_values", "decoder_input_ids", "labels"])

    def change(model: Any) -> None:
        if name in [each.name for each in model.graph.input]:
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
        kept = _constant(file, "kept", np.arange(width, dtype=np.int64))
        _behind_logits(
            file, lambda one, other: onnx.helper.make_node("Gather", [one, kept], [other], axis=1), width=width
        )
    else:
        more = _constant(file, "pads", np.array([0, 0, 0, width - len(LABELS)], dtype=np.int64))
        low = _constant(file, "low", np.array(-9.0, dtype=np.float32))
        _behind_logits(file, lambda one, other: onnx.helper.make_node("Pad", [one, more, low], [other]), width=width)


def outputs_not_finite(file: File, rng: random.Random) -> None:
    import onnx

    value = np.array([rng.choice([np.nan, np.inf]), 0, 0], dtype=np.float32)
    added = _constant(file, "odd", value)
    _behind_logits(file, lambda one, other: onnx.helper.make_node("Add", [one, added], [other]))


def outputs_as_probabilities(file: File, rng: random.Random) -> None:
    import onnx

    _behind_logits(file, lambda one, other: onnx.helper.make_node("Softmax", [one], [other], axis=-1))
    file.expected = "either"


def outputs_of_another_type(file: File, rng: random.Random) -> None:
    import onnx

    kind = rng.choice(
        [onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.INT64, onnx.TensorProto.STRING]
    )
    _behind_logits(file, lambda one, other: onnx.helper.make_node("Cast", [one], [other], to=kind), kind=kind)
    file.expected = "either"


def outputs_of_another_rank(file: File, rng: random.Random) -> None:
    import onnx

    def change(model: Any) -> None:
        shape = model.graph.output[0].type.tensor_type.shape
        del shape.dim[:]
        for name in ("b", "x", "c") if deeper else ("b",):
            shape.dim.add().dim_param = name

    deeper = rng.choice([True, False])
    axes = _constant(file, "axes", np.array([1], dtype=np.int64))
    kind = "Unsqueeze" if deeper else "ReduceMax"
    more = {} if deeper else {"keepdims": 0}
    file.edit(change)
    _behind_logits(file, lambda one, other: onnx.helper.make_node(kind, [one, axes], [other], **more))


def outputs_chosen(file: File, rng: random.Random) -> None:
    """The class itself, not what each class scores."""
    import onnx

    _behind_logits(
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


def external_weights(file: File, rng: random.Random) -> None:
    """Weights in a file beside it, under any name: they are part of the model's size."""
    file.external(rng.choice(["model.onnx_data", "model.onnx.data", "weights.bin", "model.bin", "x"]))
    file.expected = "works"


def external_weights_damaged(file: File, rng: random.Random) -> None:
    file.external("model.onnx_data")
    data = file.path.with_name("model.onnx_data")
    how = rng.choice(["gone", "cut", "empty", "folder"])
    content = data.read_bytes()
    data.unlink()
    if how == "folder":
        data.mkdir()
    elif how != "gone":
        data.write_bytes(content[: len(content) // 2] if how == "cut" else b"")


def external_weights_elsewhere(file: File, rng: random.Random) -> None:
    """Out of the folder."""
    file.external("model.onnx_data")
    outside = file.path.parent.parent / "outside.bin"
    shutil.move(file.path.with_name("model.onnx_data"), outside)
    place = rng.choice(["../outside.bin", str(outside), "sub/../../outside.bin"])

    def change(model: Any) -> None:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place

    import onnx

    model = onnx.load(file.path, load_external_data=False)
    change(model)
    file.path.write_bytes(model.SerializeToString())
    file.expected = "either"


def weight_not_finite(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        tensor = max(model.graph.initializer, key=lambda each: len(each.raw_data))
        tensor.raw_data = np.full(len(tensor.raw_data) // 4, np.nan, np.float32).tobytes()

    file.edit(change)


def version_unknown(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        if rng.random() < 0.5:
            model.opset_import[0].version = rng.choice([99, 10**6])
        else:
            model.ir_version = 99

    file.edit(change)


def operator_unknown(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        node = rng.choice(list(model.graph.node))
        node.op_type, node.domain = rng.choice(
            [("Evil", ""), ("Evil", "com.evil"), ("FusedMatMul", "com.microsoft.x"), ("", "")]
        )

    file.edit(change)


def graph_broken(file: File, rng: random.Random) -> None:
    def change(model: Any) -> None:
        nodes = model.graph.node
        how = rng.choice(["loop", "missing", "gone", "twice"])
        if how == "loop":
            nodes[0].input[0] = nodes[-1].output[0]
        elif how == "missing":
            nodes[3].input[0] = "nowhere"
        elif how == "gone":
            del nodes[rng.randrange(len(nodes))]
        else:
            nodes.append(nodes[2])

    file.edit(change)
    file.expected = "either"


def cut_short(file: File, rng: random.Random) -> None:
    raw = file.path.read_bytes()
    file.path.write_bytes(raw[: rng.choice([0, 1, 100, len(raw) // 2, len(raw) - 5])])


def other_bytes(file: File, rng: random.Random) -> None:
    content = rng.choice(
        [
            b"",
            b"garbage" * 50,
            b"ORTM" + b"\x00" * 64,
            b"PK\x03\x04",
            b"\x80\x04N.",
            b"version https://git-lfs.github.com/spec/v1\n",
            b"\x08\x08",
            b"<html>",
        ]
    )
    file.path.write_bytes(content)


def bytes_flipped(file: File, rng: random.Random) -> None:
    raw = bytearray(file.path.read_bytes())
    for _ in range(rng.choice([1, 4, 40])):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    file.path.write_bytes(bytes(raw))
    file.expected = "either"


def suffix_odd(file: File, rng: random.Random) -> None:
    new = file.path.with_name(rng.choice(["model.ort", "model.bin", "model", "model.onnx.txt", "model.ONNX"]))
    file.path.rename(new)
    file.path = new
    file.expected = "either"


def not_a_file(file: File, rng: random.Random) -> None:
    file.path.unlink()
    how = rng.choice(["folder", "dangling", "loop", "gone"])
    if how == "folder":
        file.path.mkdir()
    elif how != "gone":
        file.path.symlink_to("nothing" if how == "dangling" else file.path.name)


def neighbours_missing(file: File, rng: random.Random) -> None:
    """No tokenizer or configuration beside it."""
    (file.path.parent / rng.choice(["tokenizer.json", "config.json"])).unlink()
    file.expected = "refused"


def classes_of_the_config(file: File, rng: random.Random) -> None:
    """The configuration beside it has other classes than the file."""
    config = file.path.parent / "config.json"
    content = json.loads(config.read_text())
    more = rng.choice([["more"], ["a", "b", "c", "d"], []])
    names = [*LABELS, *more] if more else list(LABELS)[:2]
    content["id2label"] = {str(i): name for i, name in enumerate(names)}
    content["label2id"] = {name: i for i, name in enumerate(names)}
    config.write_text(json.dumps(content))


def modules_of_the_working_folder(file: File, rng: random.Random) -> None:
    for name in ("numpy", "json", "onnxruntime", "safetensors", "edgedistill", "sitecustomize"):
        (file.path.parent / f"{name}.py").write_text(f"open({str(file.canary / name)!r}, 'w').close()\n")
    file.cwd, file.expected = file.path.parent, "works"


MUTATIONS: tuple[Mutation, ...] = (
    unchanged_but_for_words, initializers_in_another_order, output_renamed, input_renamed, inputs_in_another_order,
        input_int32,
    input_more, shape_fixed, outputs_of_another_width, outputs_not_finite, outputs_as_probabilities,
        outputs_of_another_type,
    outputs_of_another_rank, outputs_chosen, outputs_more, outputs_none, external_weights, external_weights_damaged,
    external_weights_elsewhere, weight_not_finite, version_unknown, operator_unknown, graph_broken, cut_short,
        other_bytes,
    bytes_flipped, suffix_odd, not_a_file, neighbours_missing, classes_of_the_config, modules_of_the_working_folder,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated file: `measure FILE --data test.jsonl`."""
    mutation = MUTATIONS[case.seed % len(MUTATIONS)]
    case.canary.mkdir()
    folder = case.path("model")
    folder.mkdir()
    published = case.world.finished / "models" / "r1"
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(published / name, folder / name)
    file = File(Path(shutil.copy(published / "onnx" / "model.onnx", folder / "model.onnx")), case.canary)
    mutation(file, case.rng)
    test = case.world.data / "test.jsonl"
    outcome = case.command(
        "measure", file.path, "--data", test, "--min-seconds", "0.1", "--max-length", 32, "--json", cwd=file.cwd
    )
    return mutation.__name__, judge(
        case, outcome, file.expected, lambda: case.isolated(lambda: _differs(case, file, outcome.out))
    )


def _differs(case: Case, file: File, out: str) -> str | None:
    """What of the report isn't what ONNX Runtime itself says of the file."""
    found = json.loads(out)
    rows = case.world.rows("test")
    right, finite, widths = _answers(file.path, [row["text"] for row in rows])
    if widths != {len(LABELS)} or not finite:
        return (
            f"scored, though its outputs are {widths} wide, expected {len(LABELS)}"
            if finite
            else "scored outputs that are no numbers"
        )
    names = [each for _, each in sorted(json.loads((file.path.parent / "config.json").read_text())["id2label"].items())]
    accuracy = float(np.mean([names[one] == row["label"] for one, row in zip(right, rows, strict=True)]))
    if abs(accuracy - found["accuracy"]) > 1e-9:
        return f"accuracy {found['accuracy']}, ONNX Runtime says {accuracy}"
    size = sum(each.stat().st_size for each in (file.path, *_weights(file.path)))
    return None if size == found["file_bytes"] else f"{found['file_bytes']} bytes, its files have {size}"


def _answers(file: Path, texts: list[str]) -> tuple[list[int], bool, set[int]]:
    """For each text alone the class of the largest logit; whether all are finite; how wide the outputs are."""
    import onnxruntime as ort
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file.parent / "tokenizer.json"))
    tokenizer.enable_truncation(32)
    tokenizer.no_padding()
    session = ort.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    kinds = {each.name: np.int32 if "int32" in each.type else np.int64 for each in session.get_inputs()}
    outputs = [each.name for each in session.get_outputs()]
    chosen = "logits" if "logits" in outputs else outputs[0]
    answers, finite, widths = [], True, set[int]()
    for text in texts:
        encoded = tokenizer.encode(text)
        given = {"input_ids": encoded.ids, "attention_mask": encoded.attention_mask, "token_type_ids": encoded.type_ids}
        feeds = {name: np.array([given[name]], dtype=kind) for name, kind in kinds.items()}
        logits = np.asarray(session.run([chosen], feeds)[0], dtype=np.float64)
        finite = finite and bool(np.isfinite(logits).all())
        widths.add(logits.shape[1] if logits.ndim == 2 else -logits.ndim)
        answers.append(int(logits.reshape(len(logits), -1).argmax(axis=1)[0]))
    return answers, finite, widths


def _weights(file: Path) -> list[Path]:
    """The files that the model's tensors name."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    names = {
        entry.value for tensor in model.graph.initializer for entry in tensor.external_data if entry.key == "location"
    }
    return [file.parent / name for name in names]
