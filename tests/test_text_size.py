"""How much text a plan takes a data set to have."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import write_jsonl

from edgedistill.data.text_size import text_bytes
from edgedistill.recipe.data_spec import DataSource

TEXTS = [f"{number:05}" * 100 for number in range(200)]


@pytest.fixture
def parquet(tmp_path):
    table = pa.table({"text": TEXTS, "shelf": [f"{number:050}" for number in range(200)]})
    pq.write_table(table, tmp_path / "books.parquet", compression="zstd", use_dictionary=False)
    return tmp_path / "books.parquet"


def test_of_parquet_the_columns_that_are_read_count_before_compression(parquet):
    whole = DataSource(path=str(parquet))
    assert parquet.stat().st_size < 30_000
    assert text_bytes(whole, {"text"}) == pytest.approx(200 * 504, rel=0.02)
    assert text_bytes(whole, ()) == pytest.approx(200 * (504 + 54), rel=0.02)


@pytest.mark.parametrize(
    ("split", "share"),
    [
        ("train", 1),
        ("train[:10%]", 0.1),
        ("train[90%:]", 0.1),
        ("train[:-25%]", 0.75),
        ("train[20:60]", 0.2),
        ("train[-20:]", 0.1),
        ("train[:900]", 1),
    ],
)
def test_a_slice_counts_for_its_share(parquet, tmp_path, split, share):
    lines = write_jsonl(tmp_path / "books.jsonl", [{"text": text} for text in TEXTS])
    for file in (parquet, lines):
        whole = text_bytes(DataSource(path=str(file)), {"text"})
        assert text_bytes(DataSource(path=str(file), split=split), {"text"}) == pytest.approx(share * whole, abs=1)


def test_a_file_that_is_no_parquet_counts_as_it_is(tmp_path):
    (tmp_path / "books.parquet").write_bytes(b"no parquet")
    assert text_bytes(DataSource(path=str(tmp_path)), ()) == 10
