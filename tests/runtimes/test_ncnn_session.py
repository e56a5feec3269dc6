from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgedistill.contracts import registry
from edgedistill.contracts.driver import Port, PortNames
from edgedistill.errors import EdgedistillError

ncnn = pytest.importorskip("ncnn", reason="the extra 'ncnn' is not installed")

RUNTIME = registry.runtime("ncnn")
TABLE, CLASSES = 6, 2
PARAM = f"""7767517
7 8
Input input_ids 0 1 input_ids
Split copies 1 2 input_ids a b
Embed words 1 1 a words 0=4 1=10 2=0 3=40
MemoryData rows 0 1 rows 0=4 1={TABLE}
Crop cut 2 1 rows b places 19="0" 20="1w" 21="0"
BinaryOp sum 2 1 words places sum 0=0
InnerProduct head 1 1 sum logits 0={CLASSES} 1=0 2={4 * CLASSES}
"""


@pytest.fixture
def file(tmp_path):
    """Words plus positions, and a product over them: what a file by pnnx is made of, by hand. One layer's weights a
    line: a tag of zero says fp32."""
    values = np.random.default_rng(0).normal(size=40 + 4 * TABLE + 4 * CLASSES).astype("<f4")
    words, rows, head = np.split(values, [40, 40 + 4 * TABLE])
    tag = np.zeros(1, "<u4").tobytes()
    (tmp_path / "model.param").write_text(PARAM)
    (tmp_path / "model.bin").write_bytes(b"".join([tag, words.tobytes(), rows.tobytes(), tag, head.tobytes()]))
    return tmp_path / "model.param"


def one(length: int) -> dict[str, np.ndarray]:
    return {"input_ids": np.arange(length, dtype=np.int64)[None], "attention_mask": np.ones((1, length), np.int64)}


def test_each_item_of_a_batch_is_its_own(file):
    session = RUNTIME.open(file, 1, PortNames())
    assert session.inputs == {"input_ids": Port("int32", (1, None))}
    assert list(session.outputs) == ["logits"]
    ids = np.array([[1, 2, 3], [4, 5, 6]])
    both = session.run({"input_ids": ids})["logits"]
    alone = [session.run({"input_ids": ids[i : i + 1]})["logits"] for i in range(2)]
    np.testing.assert_array_equal(both, np.concatenate(alone))
    assert np.abs(both[0] - both[1]).max() > 0.1


def test_outputs_are_the_callers_own(file):
    session = RUNTIME.open(file, 1, PortNames())
    first = session.run(one(3))["logits"]
    kept = first.copy()
    session.run(one(5))
    np.testing.assert_array_equal(first, kept)


def test_an_input_beyond_the_table_is_an_error_and_not_what_lies_behind_it(file):
    session = RUNTIME.open(file, 1, PortNames())
    session.run(one(TABLE))
    with pytest.raises(EdgedistillError, match=f"an input of 7 tokens is longer than the file's maximum, {TABLE}"):
        session.run(one(TABLE + 1))


def test_the_backend_tells_arithmetic_and_threads(file):
    told = RUNTIME.open(file, 2, PortNames()).backend()
    assert told == {"device": "CPU", "arithmetic": "fp32", "layers": 7, "products": 1, "threads": 2}


@pytest.mark.parametrize(("option", "value"), [("use_fp16_storage", True), ("num_threads", 3)])
def test_another_arithmetic_or_number_of_threads_is_refused(file, option, value):
    session: Any = RUNTIME.open(file, 1, PortNames())
    setattr(session._net.opt, option, value)
    with pytest.raises(EdgedistillError, match="expected 32 bits, 1 threads and none"):
        session.backend()


def test_narrow_numbers_between_layers_are_refused(file, monkeypatch):
    """ncnn's own default where the CPU can: bf16 is the one kind that every CPU has."""
    monkeypatch.setattr("edgedistill.runtimes.ncnn.REDUCED", ("use_fp16_arithmetic",))
    original = ncnn.Net

    def net():
        made = original()
        made.opt.use_bf16_storage = True
        return made

    monkeypatch.setattr(ncnn, "Net", net)
    with pytest.raises(EdgedistillError, match="ncnn computes in numbers of 16 bits"):
        RUNTIME.open(file, 1, PortNames()).backend()


def test_a_file_with_unknown_layers_or_without_weights_is_not_opened(file):
    file.with_suffix(".bin").rename(file.with_suffix(".other"))
    with pytest.raises(EdgedistillError, match=r"ncnn does not open 'model\.param' with 'model\.bin'"):
        RUNTIME.open(file, 1, PortNames())
    file.with_suffix(".other").rename(file.with_suffix(".bin"))
    file.write_text(PARAM.replace("BinaryOp", "pnnx.Expression"))
    with pytest.raises(EdgedistillError, match="ncnn does not open"):
        RUNTIME.open(file, 1, PortNames())
