"""ONNX files whose weights do not fit into them, with that limit lowered to a few bytes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import onnx_graphs
import onnx_ir
import pytest
from helpers import raise_version

import edgedistill
from edgedistill.contracts import registry
from edgedistill.contracts.precision import Mix
from edgedistill.exporting.onnx_contents import read_onnx
from edgedistill.exporting.onnx_saving import save_graph, save_model
from edgedistill.exporting.onnx_sizes import bytes_by_part
from edgedistill.quantizers._mix import quantize_mix

MIXES = {
    "calibrated": {"attention": "int8-static", "feed_forward": "int8-dynamic", "embeddings": "int8"},
    "in blocks": {"attention": "int4", "embeddings": "int8"},
}
CALIBRATION = [{"ids": np.random.default_rng(seed).integers(0, 40, (1, 8))} for seed in range(4)]


@contextmanager
def small_limit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgedistill.exporting.onnx_saving._INLINE_LIMIT", 2_000)
        yield


@pytest.fixture(autouse=True)
def many_words(monkeypatch):
    """A table with more than the 1,024 bytes from which on a weight gets out of the file, in any precision."""
    monkeypatch.setattr("onnx_graphs.WORDS", 200)


def made_twice(folder: Path, make: Callable[[Path, Path], None], tied: bool = False) -> tuple[Path, Path]:
    """What is made of a file, with the weights of both beside them; and of the same file with all weights inside."""
    files = []
    for name, limit in (("beside", small_limit()), ("inside", nullcontext())):
        source, file = folder / name / "model.onnx", folder / name / "made" / "model_made.onnx"
        file.parent.mkdir(parents=True)
        with limit:
            save_model(onnx_graphs.encoder(tied=tied), source)
            before = sorted(source.parent.iterdir())
            make(source, file)
        assert sorted(source.parent.iterdir()) == before
        files.append(file)
    return files[0], files[1]


def assert_alike(beside: Path, inside: Path) -> None:
    """They answer the same, and the weights of one are where transformers.js and optimum look for them."""
    assert read_onnx(inside).weights == ()
    (weights,) = read_onnx(beside).weights
    assert weights.name == f"{beside.name}_data"
    assert set(beside.parent.iterdir()) == {beside, weights}
    assert weights.stat().st_size > beside.stat().st_size / 4
    assert sum(bytes_by_part(beside).values()) == beside.stat().st_size + weights.stat().st_size
    np.testing.assert_array_equal(onnx_graphs.logits(beside), onnx_graphs.logits(inside))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("precision", registry.names("quantizers"))
def test_every_precision_is_made_of_a_file_with_its_weights_beside_it(tmp_path, precision, tied):
    quantize = registry.quantizer(precision).quantize
    assert_alike(*made_twice(tmp_path, lambda source, file: quantize(source, file, CALIBRATION), tied))


@pytest.mark.parametrize("parts", MIXES.values(), ids=MIXES)
def test_so_is_a_mix(tmp_path, parts):
    assert_alike(*made_twice(tmp_path, lambda source, file: quantize_mix(source, file, Mix(parts), CALIBRATION)))


def test_so_is_a_changed_graph(tmp_path):
    assert_alike(*made_twice(tmp_path, lambda source, file: save_graph(onnx_ir.load(source), file)))


@pytest.mark.slow
def test_a_run_takes_the_weights_along(finished_run, tmp_path, monkeypatch):
    """To verification, other targets, measuring, the run's files, and a bundle that tests itself."""
    raise_version(monkeypatch, "exporters", "onnx")
    run = tmp_path / "run"
    shutil.copytree(finished_run.folder, run)
    with small_limit():
        found = edgedistill.run(finished_run.recipe, ["export.targets=[onnx, onnx-fused, ort-mobile]"], out=run)
    assert len(found.measured) == len(found.candidates) == 12
    for row in found.measured:
        if row.target != "ort-mobile":  # whose files hold all
            file = run / "models" / row.model / row.target / registry.target(row.target).precisions[row.precision].file
            (weights,) = read_onnx(file).weights
            assert weights == file.with_name(f"{file.name}_data")
            assert row.file_bytes == file.stat().st_size + weights.stat().st_size
    bundle = edgedistill.bundle(run, "r1/onnx/int8-dynamic/onnxruntime", out=tmp_path / "bundle")
    assert (bundle / "onnx" / "model_quantized.onnx_data").is_file()
    assert edgedistill.measure(bundle).latency_ms is not None
