"""What verification found in a language model's file rules it out, or is told."""

from __future__ import annotations

import pytest

from edgedistill.contracts import registry
from edgedistill.evaluation.file_checks import faults, shortfalls
from edgedistill.store.records.files import TextsRead

JUDGE = registry.task("text-generation").judge(registry.task_as("text-generation", "bits_per_byte", {}))
RIGHT = {"greedy_tokens": 1.0, "greedy_texts": 1.0, "padded_tokens": 1.0, "uncached_tokens": 1.0}


def read(otherwise=0, bytes_otherwise=0, in_data=0, shown=()):
    return TextsRead(
        by="its own tokenizer", texts=10_256, otherwise=otherwise, bytes_otherwise=bytes_otherwise, in_data=in_data,
        shown=shown,
    )  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-dynamic", "int4"])
def test_a_right_file_has_no_faults(precision):
    assert faults(JUDGE, precision, RIGHT, read()) == ()
    assert faults(JUDGE, precision, {}, None) == ()
    assert shortfalls(JUDGE, RIGHT) == shortfalls(JUDGE, {}) == {}


def test_an_early_tie_of_one_text_in_sixteen_blocks_no_fp32_file():
    tie = RIGHT | {"padded_tokens": 15 / 16, "uncached_tokens": 1023 / 1024, "greedy_tokens": 15 / 16}
    assert faults(JUDGE, "fp32", tie, None) == ()
    assert shortfalls(JUDGE, tie) == {"tokens in a padded batch equal to alone": 15 / 16}


@pytest.mark.parametrize(
    ("name", "share", "sentence"),
    [
        ("padded_tokens", 0.75, "tokens in a padded batch equal to alone: 0.7500, below the 0.9 that an fp32 file "),
        ("uncached_tokens", 0.75, "tokens without cache equal to with cache: 0.7500, below the 0.9 that an fp32 file "),
        ("greedy_tokens", 0.25, "greedy tokens equal to PyTorch's: 0.2500, below the 0.5 that an fp32 file "),
    ],
)
def test_a_lossless_file_must_decode_as_it_reads(name, share, sentence):
    found = faults(JUDGE, "fp32", RIGHT | {name: share}, read())
    assert found == (f"{sentence}must reach",)
    assert faults(JUDGE, "int8-dynamic", RIGHT | {name: share}, read()) == ()


def test_little_is_demanded_of_a_quantized_file_and_the_rest_is_told():
    shares = RIGHT | {"padded_tokens": 0.085, "uncached_tokens": 0.896, "greedy_tokens": 0.2}
    assert faults(JUDGE, "int8-dynamic", shares, read()) == ()
    assert shortfalls(JUDGE, shares) == {
        "tokens in a padded batch equal to alone": 0.085,
        "tokens without cache equal to with cache": 0.896,
    }
    assert faults(JUDGE, "int8-dynamic", shares | {"uncached_tokens": 0.49}, read()) == (
        "tokens without cache equal to with cache: 0.4900, below the 0.5 that every file must reach",
    )


def test_only_texts_of_the_data_that_are_read_otherwise_are_a_fault():
    assert faults(JUDGE, "int4", RIGHT, read(8, 7, 0, ("'\\x00'",))) == ()
    assert faults(JUDGE, "int4", RIGHT, read(8, 0, 3, ("'ﬁne'", "'\\x00'"))) == (
        "its own tokenizer gives different tokens from the model's tokenizer for text that occurs in the data: 3 of "
        "10256 strings, such as 'ﬁne'",
    )
