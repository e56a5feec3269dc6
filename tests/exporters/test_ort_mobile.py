from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import LOGITS, assert_close, file_request

import edgedistill
from edgedistill.contracts import registry
from edgedistill.contracts.target import FileRequest
from edgedistill_exporters.ort_mobile import required_operators

EXPORTER = registry.target("ort-mobile")
RUNTIME = registry.runtime("onnxruntime")


def request(source: Path, precision: str) -> FileRequest:
    def nothing(*asked):
        raise AssertionError("it is made of the ONNX file alone")

    return file_request(precision, nothing, nothing, 32, source=source)


@pytest.mark.parametrize("precision", ["fp32", "int8-dynamic"])
def test_the_answers_are_those_of_the_onnx_file(finished_run, tmp_path, precision):
    source = finished_run.folder / "models" / "r1" / "onnx" / registry.target("onnx").precisions[precision].file
    file = tmp_path / EXPORTER.precisions[precision].file
    made = EXPORTER.make(request(source, precision), file)
    assert file.suffix == ".ort"
    assert file.read_bytes()[4:8] == b"ORTM"
    own, original = RUNTIME.open(file, 1, LOGITS), RUNTIME.open(source, 1, LOGITS)
    for batch, length in ((1, 1), (1, 9), (3, 32)):
        ids = np.random.default_rng(length).integers(5, 100, (batch, length))
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        assert_close(own.run(inputs)["logits"], original.run(inputs)["logits"], atol=2e-5)
    configuration = (tmp_path / made.build_files[0]).read_text()
    assert '"inputs": {"0": ["float"' in configuration  # type reduction: the types that the file needs, not all
    facts: dict[str, Any] = dict(made.facts)
    operators, size = facts["required_operators"], facts["runtime_size"]
    assert size["operators"] == sum(map(len, operators.values()))
    assert size["unknown"] == ()  # all operators of our files have been built
    assert 1e6 < size["bytes"] < 3e6
    assert ("MatMul" in operators["ai.onnx"]) or ("FusedMatMul" in operators["com.microsoft"])
    assert (
        "MatMulIntegerToFloat" in operators["com.microsoft"] or "DynamicQuantizeMatMul" in operators["com.microsoft"]
    ) == (precision == "int8-dynamic")


def test_a_run_reports_the_size_of_the_runtime_beside_the_file(finished_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    change = ["export.targets=[ort-mobile]", "export.teacher=false", "quantize=[{precision: fp32}]"]
    found = edgedistill.run(finished_run.recipe, change, out=folder)
    for row in found.measured:
        assert row.runtime_size is not None
        assert row.runtime_size.model_dump(mode="json") == row.facts["runtime_size"]
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert "| r2/ort-mobile/fp32 |" in text[text.index("### Minimal runtime builds") :]


def test_operators_are_read_without_their_types():
    text = '# about\n!globally_allowed_types;bool,float\nai.onnx;18;Add{"inputs": {"0": ["float", "int64_t"]}},Cast\n'
    text += "ai.onnx;17;Cast,Softmax\ncom.microsoft;1;FusedMatMul\n"
    assert required_operators(text) == {"ai.onnx": ["Add", "Cast", "Softmax"], "com.microsoft": ["FusedMatMul"]}
