"""Lone ONNX files that don't fit what they are measured for: one sentence instead of figures."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgedistill
from edgedistill import MeasureOptions
from edgedistill.errors import UserError
from edgedistill.exporting.onnx_contents import read_onnx


def classifier(columns=3, *, ids=TensorProto.INT64, batch="batch", length="length", extra=(), value=1.0, rank=2):
    """logits = mean of the token ids, times `value`, in so many columns; `rank` 3 gives one for each token."""
    inputs = [helper.make_tensor_value_info("input_ids", ids, [batch, length])]
    inputs += [helper.make_tensor_value_info(name, TensorProto.INT64, [batch, length]) for name in extra]
    weight = numpy_helper.from_array(np.full((1, columns), value, np.float32), "weight")
    axes = numpy_helper.from_array(np.array([1 if rank == 2 else 2]), "axes")
    nodes = [helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT)]
    if rank == 3:
        nodes.append(helper.make_node("Unsqueeze", ["numbers", "axes"], ["means"]))
    else:
        nodes.append(helper.make_node("ReduceMean", ["numbers", "axes"], ["means"], keepdims=1))
    nodes.append(helper.make_node("MatMul", ["means", "weight"], ["logits"]))
    shape = [batch, columns] if rank == 2 else [batch, length, columns]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [weight, axes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.fixture
def folder(finished_run, tmp_path):
    """A model's folder with its tokenizer and three labels, and no file yet."""
    place = tmp_path / "model"
    shutil.copytree(finished_run.folder / "models" / "r1", place, ignore=shutil.ignore_patterns("onnx"))
    return place


@pytest.fixture
def measured(folder, data_folder):
    def measure(model: onnx.ModelProto | bytes, **options):
        file = folder / "model.onnx"
        file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        asked = MeasureOptions(min_seconds=0.05, **options)
        return edgedistill.measure(file, data_folder / "test.jsonl", asked)

    return measure


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (classifier(2), r"returns 2 logits per item, expected one for each of its 3 labels \(from its config\.json\)"),
        (classifier(500), r"returns 500 logits per item"),
        (
            classifier(rank=3),
            r"cannot be run by onnxruntime: .*the file returns .* numbers, expected one row of logits",
        ),
        (classifier(value=float("nan")), r"returns NaN or infinite numbers for 45 of 45 decisions"),
        (classifier(value=float("inf")), r"returns NaN or infinite numbers for 45 of 45 decisions"),
        (classifier(extra=("position_ids",)), r"has the inputs 'position_ids', which the tokenizer does not produce"),
        (classifier(ids=TensorProto.FLOAT), r"takes 'input_ids' as FLOAT with 2 dimensions; expected token ids"),
        (classifier(batch=4), r"takes exactly 4 items at once; expected a batch size of one or any"),
        (classifier(batch=1, length=32), r"exactly 32 tokens; .* only if one of its inputs is a mask"),
        (
            classifier(batch=1, length=3, extra=("attention_mask",)),
            r"exactly 3 tokens and the longest has \d+; truncate them",
        ),
        (b"not a model", r"is not a readable ONNX file"),
        (b"", r"is not a valid ONNX file: it has no outputs"),
        (classifier().SerializeToString()[:-40], r"is not a readable ONNX file|cannot be run by onnxruntime"),
    ],
)
def test_a_file_that_does_not_fit_is_one_sentence(measured, model, sentence):
    with pytest.raises(UserError, match=sentence):
        measured(model)


def test_without_labels_the_answers_are_looked_at_too(folder, data_folder):
    (folder / "model.onnx").write_bytes(classifier(value=float("nan")).SerializeToString())
    with pytest.raises(UserError, match="NaN or infinite numbers for 32 of 32 decisions"):
        edgedistill.measure(folder / "model.onnx", data_folder / "unlabeled.jsonl", MeasureOptions(min_seconds=0.05))


def test_32_bit_ids_and_a_fixed_length_are_given_what_they_take(measured, finished_run):
    usual = measured(classifier())
    assert measured(classifier(ids=TensorProto.INT32)).figures == usual.figures
    masked = measured(classifier(batch=1, length=32, extra=("attention_mask",)))
    assert masked.items == usual.items


def test_an_operator_that_the_runtime_lacks_is_named(measured):
    model = classifier()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(UserError, match=r"cannot be run by onnxruntime: .*NoSuchOperator"):
        measured(model)


@pytest.mark.parametrize("location", ["model.onnx_data", "weights.bin", "below/weights"])
def test_every_file_that_the_graph_refers_to_counts(folder, data_folder, location):
    (folder / "below").mkdir()
    onnx.save(classifier(value=2.0), folder / "model.onnx")
    whole = onnx.load(folder / "model.onnx")
    onnx.save(whole, folder / "model.onnx", save_as_external_data=True, location=location, size_threshold=43)
    assert [str(path.relative_to(folder)) for path in read_onnx(folder / "model.onnx").weights] == [location]
    found = edgedistill.measure(folder / "model.onnx", data_folder / "test.jsonl", MeasureOptions(min_seconds=0.05))
    assert found.file_bytes == (folder / "model.onnx").stat().st_size + (folder / location).stat().st_size
    (folder / location).unlink()
    with pytest.raises(UserError, match="has weights in '.*', which is missing beside it"):
        read_onnx(folder / "model.onnx")


@pytest.mark.parametrize("location", ["../weights", "/etc/hostname"])
def test_weights_outside_the_folder_are_never_read(folder, location):
    model = classifier()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder.parent / "weights").write_bytes(b"0" * 12)
    with pytest.raises(UserError, match="outside its folder, which is never read"):
        read_onnx(folder / "model.onnx")


def test_more_threads_than_cores_are_said(measured, caplog):
    measured(classifier(), threads=64)
    assert "64 threads on" in caplog.text


def test_a_file_of_the_hubs_cache_is_read_with_its_weights_and_tokenizer(folder, data_folder, tmp_path):
    onnx.save(classifier(value=2.0), folder / "model.onnx", save_as_external_data=True, size_threshold=43, location="w")
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "abc", tmp_path / "models--a--b" / "blobs"
    (snapshot / "onnx").mkdir(parents=True)
    blobs.mkdir()
    for number, name in enumerate(("model.onnx", "w", "config.json", "tokenizer.json", "tokenizer_config.json")):
        shutil.copy(folder / name, blobs / str(number))
        place = snapshot / "onnx" / name if number < 2 else snapshot / name
        place.symlink_to(blobs / str(number))
    found = edgedistill.measure(
        snapshot / "onnx" / "model.onnx", data_folder / "test.jsonl", MeasureOptions(min_seconds=0.05)
    )
    assert found.file_bytes == sum((blobs / name).stat().st_size for name in "01")
    (snapshot / "onnx" / "w").unlink()
    (snapshot / "onnx" / "w").symlink_to(shutil.copy(folder / "w", tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="has weights in 'w', outside its folder"):
        read_onnx(snapshot / "onnx" / "model.onnx")
