from __future__ import annotations

import onnx
import pytest
from onnx_graphs import LABELS, WIDE, WIDTH, WORDS, encoder

from edgedistill.contracts.precision import Mix
from edgedistill.exporting.onnx_sizes import bytes_by_part
from edgedistill.quantizers._mix import quantize_mix

WEIGHTS = {
    "embeddings": WORDS * WIDTH,
    "attention": 4 * WIDTH * WIDTH,
    "feed_forward": 2 * WIDTH * WIDE,
    "head": LABELS * WIDTH + LABELS,  # the product adds its bias itself
}


@pytest.mark.parametrize("external", [False, True])
def test_every_byte_is_somewhere(tmp_path, external):
    file = tmp_path / "model.onnx"
    onnx.save(encoder(), file, save_as_external_data=external, location="model.onnx.data", size_threshold=100)
    found = bytes_by_part(file)
    assert {part: found[part] for part in WEIGHTS} == {part: 4 * count for part, count in WEIGHTS.items()}
    assert sum(found.values()) == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert 0 < found["graph"] < 3000


def test_scales_and_zero_points_belong_to_their_part(tmp_path):
    onnx.save(encoder(), tmp_path / "model.onnx")
    mix = Mix({"embeddings": "int4", "attention": "int8-dynamic", "feed_forward": "int2", "head": "int8"})
    quantize_mix(tmp_path / "model.onnx", tmp_path / "mixed.onnx", mix)
    found = bytes_by_part(tmp_path / "mixed.onnx")
    assert sum(found.values()) == (tmp_path / "mixed.onnx").stat().st_size
    # A block of 32 weights has a scale of 4 bytes (in a table 2) and, unless in 8 bits, a zero point of a byte at most.
    assert found["embeddings"] == WEIGHTS["embeddings"] / 2 + 3 * WORDS + 16  # and the shape of the rows
    assert found["attention"] == WEIGHTS["attention"] + 4 * WIDTH * 5  # a scale and a zero point per channel
    assert found["feed_forward"] == WEIGHTS["feed_forward"] / 4 + 4 * WIDE + 4 * 2 * WIDTH + WIDE + WIDTH
    assert found["head"] == LABELS * WIDTH + 4 * LABELS + 4 * LABELS


def test_a_table_that_is_the_head_counts_once(tmp_path):
    onnx.save(encoder(tied=True), tmp_path / "model.onnx")
    found = bytes_by_part(tmp_path / "model.onnx")
    assert found["embeddings"] == 4 * WORDS * WIDTH
    assert found["head"] == 0
