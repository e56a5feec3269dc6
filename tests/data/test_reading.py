"""A split is exactly the file that is named, every cell the text that is written, in any format."""

from __future__ import annotations

import csv
import json
import os
import socket
from pathlib import Path

import pyarrow
import pytest
from datasets import ClassLabel, Dataset, DatasetDict
from helpers import write_jsonl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from edgedistill.contracts import registry
from edgedistill.data import prepared
from edgedistill.data.fingerprint import data_fingerprint
from edgedistill.data.reading import read_rows, refuse_changed
from edgedistill.data.row_tables import Wanted
from edgedistill.errors import UserError
from edgedistill.recipe.data_spec import DataSource

TASK = registry.task("text-classification")
COLUMNS = {"text": "text", "label": "label"}
ROWS = [{"text": "wake me at six", "label": "alarm"}, {"text": "is it raining", "label": "weather"}]


def read(path, where="data.train", columns=None, **options):
    wanted = Wanted.of(TASK, columns or COLUMNS)
    return read_rows(DataSource(path=str(path), **options), where, Path(path).parent / "cache", wanted)


def refused(path, content: bytes | str) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError) as caught:
        prepared.check_rows(read(path), TASK, COLUMNS, str(path), labelled=True)
    message = str(caught.value)
    assert str(path) in message
    assert len(message) < 4000
    return message


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "label"])
        writer.writerows([row["text"], row["label"]] for row in rows)
    return path


def write_parquet(path, rows, **options):
    parquet.write_table(pyarrow.Table.from_pylist(rows), path, **options)
    return path


WRITERS = {"jsonl": write_jsonl, "csv": write_csv, "parquet": write_parquet}
WORDS = [
    "None",
    "NA",
    "null",
    "nan",
    "001",
    "1",
    "1.10",
    "true",
    "-0",
    "a,b",
    'say "so"',
    "two\nlines",
    "\r\n",
    "é",
    "# x",
]
TEXTS = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(rows=st.lists(st.fixed_dictionaries({"text": TEXTS, "label": TEXTS}), min_size=1, max_size=8))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_same_rows_in_any_format_are_the_same_data(rows, tmp_path):
    read_as = {}
    for suffix, write in WRITERS.items():
        file = tmp_path / f"rows.{suffix}"
        write(file, rows)
        found = read(file)
        read_as[suffix] = (
            found.to_list(),
            TASK.data.label_names(found, COLUMNS),
            prepared.content_hash(found, TASK, COLUMNS),
        )
    assert read_as["jsonl"][0] == rows
    assert read_as["jsonl"] == read_as["csv"] == read_as["parquet"]


def test_whole_numbers_are_labels_by_their_digits_in_any_format(tmp_path):
    rows = [{"text": "a", "label": 10}, {"text": "b", "label": 2}, {"text": "c", "label": 1}]
    for suffix, write in WRITERS.items():
        file = tmp_path / f"rows.{suffix}"
        write(file, rows)
        assert read(file)["label"] == ["10", "2", "1"]
        assert TASK.data.label_names(read(file), COLUMNS) == ["1", "2", "10"]


@pytest.mark.parametrize("folder", ["batch[12]", "what?", "star*", "a::b", "{x,y}", "zip::data", "hf:"])
@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet", "folder"])
def test_no_path_is_a_pattern(tmp_path, folder, kind):
    for name in (folder, "batch1", "batch2", "whatx", "starfish"):
        (tmp_path / name).mkdir()
        rows = ROWS if name == folder else [{"text": "x", "label": "WRONG"}]
        if kind == "folder":
            Dataset.from_list(rows).save_to_disk(str(tmp_path / "plain"))
            (tmp_path / "plain").rename(tmp_path / name / "rows")
        else:
            WRITERS[kind](tmp_path / name / f"rows.{kind}", rows)
    assert read(tmp_path / folder / ("rows" if kind == "folder" else f"rows.{kind}")).to_list() == ROWS


def test_what_was_prepared_is_read_from_any_folder(tmp_path):
    folder = tmp_path / "a::b[1]*?" / "rows"
    folder.parent.mkdir()
    prepared.save_table(Dataset.from_list(ROWS), folder)
    assert prepared.open_table(folder).to_list() == ROWS


def test_a_prepared_table_has_the_same_bytes_whatever_was_sliced(tmp_path):
    prepared.save_table(Dataset.from_list(ROWS), tmp_path / "a")
    prepared.save_table(Dataset.from_list([*ROWS, *ROWS]).select([2, 3]), tmp_path / "b")
    assert (tmp_path / "a" / "data.arrow").read_bytes() == (tmp_path / "b" / "data.arrow").read_bytes()


@pytest.mark.parametrize("format_", WRITERS)
@pytest.mark.parametrize("split", ["train[:1]", "validation[:50%]"])
def test_the_rows_of_a_file_are_a_split_of_either_name(tmp_path, format_, split):
    file = WRITERS[format_](tmp_path / f"rows.{format_}", ROWS)
    assert read(file, "data.validation", split=split).to_list() == ROWS[:1]
    with pytest.raises(UserError, match=r"got 'test\[:1\]', expected one of train, validation, or a slice of it"):
        read(file, "data.validation", split="test[:1]")


def test_a_saved_folder_gives_its_split_and_slices(tmp_path):
    splits = DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])})
    splits.save_to_disk(str(tmp_path / "both"))
    assert len(read(tmp_path / "both", "data.test")) == 1
    assert len(read(tmp_path / "both", "data.test", split="train[:50%]")) == 1
    with pytest.raises(UserError, match="got 'validation', expected one of train, test"):
        read(tmp_path / "both", "data.validation")
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "one"))
    assert len(read(tmp_path / "one", "data.validation")) == 2
    for split in ("train[1:]", "validation[1:]"):
        assert read(tmp_path / "one", "data.validation", split=split).to_list() == ROWS[1:]


@pytest.mark.parametrize("name", ["../other/data-00000-of-00001.arrow", "/etc/hostname", ".."])
def test_a_saved_folder_leads_nowhere_else(tmp_path, name):
    for folder in ("rows", "other"):
        Dataset.from_list(ROWS).save_to_disk(str(tmp_path / folder))
    state = tmp_path / "rows" / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "_data_files": [{"filename": name}]}))
    with pytest.raises(UserError, match="expected files inside the folder"):
        read(tmp_path / "rows")


def test_class_labels_of_a_parquet_file_keep_their_names(tmp_path):
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}).cast_column(
        "label", ClassLabel(names=["z", "a"])
    )
    rows.to_parquet(tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet")
    assert TASK.data.label_names(found, COLUMNS) == ["z", "a"]
    assert prepared.with_label_names(found, "label")["label"] == ["a", "z", None]


def test_columns_that_nobody_asked_for_may_hold_anything(tmp_path):
    file = write_jsonl(tmp_path / "rows.jsonl", [{**ROWS[0], "more": 1}, {**ROWS[1], "more": {"a": [None]}}])
    assert read(file).to_list() == ROWS
    assert read(write_csv(tmp_path / "rows.csv", ROWS)).column_names == ["text", "label"]


def test_an_array_of_objects_is_read_as_lines_are(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text("\ufeff \n" + json.dumps(ROWS, indent=2))
    assert read(file).to_list() == ROWS


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_byte_order_mark_and_carriage_returns_are_no_text(tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    WRITERS[suffix](file, ROWS)
    lines = b"\r\n".join(file.read_bytes().splitlines())
    file.write_bytes(b"\xef\xbb\xbf" + lines + b"\r\n\r\n")
    assert read(file).to_list() == ROWS


GOOD = '{"text": "x", "label": "a"}\n'
WRONG_JSONL = [
    (GOOD.encode() + '{"text": "é", "label": "a"}'.encode("latin-1"), "row 2: is not UTF-8 (byte 0xe9 at position 10)"),
    (GOOD.encode("utf-16"), "row 1: is UTF-16, expected UTF-8"),
    (GOOD.encode("utf-16-le"), "row 1: has a NUL character (is it UTF-16?)"),
    (GOOD + '{"a": ' + "[" * 100_000, "row 2: is nested too deeply"),
    (
        GOOD + "\n\n" + '{"text": "x", "label": 1.0}',
        "row 2 (line 4): 'label' is float 1.0, expected a label name or whole",
    ),
    (GOOD + '{"text": "x", "label": true}', "row 2: 'label' is bool True"),
    (GOOD + '{"text": "x", "label": -1}', "row 2: 'label' is -1, which means no label"),
    (GOOD + '{"text": "x", "label": ""}', "row 2: 'label' is str ''"),
    (GOOD + '{"text": "x", "label": 1e999}', "row 2: 'label' is float inf"),
    (GOOD + f'{{"text": "x", "label": {"9" * 30}}}', "row 2: 'label' is a number of more than 18 digits"),
    (GOOD + f'{{"text": "x", "label": {"9" * 9000}}}', "row 2: is not JSON"),
    (GOOD + r'{"text": "\ud800", "label": "a"}', r"row 2: 'text' has an unpaired surrogate ('\ud800')"),
    (GOOD + r'{"text": "\u0000", "label": "a"}', "row 2: 'text' has a NUL character"),
    (GOOD + '{"text": "x", "text": "y", "label": "a"}', "row 2: is not JSON (the key str 'text' is given twice)"),
    (GOOD + '{"text": ["x"], "label": "a"}', "row 2: 'text' is list ['x'], expected text"),
    (GOOD + '{"text": "x", "label": {"a": 1}}', "row 2: 'label' is dict"),
    (GOOD + GOOD.strip() + " 1", "row 2: is not JSON (text after the end"),
    (
        GOOD + '{"text": "' + "word " * 400_000 + '", "label": "a"}',
        "row 2: 'text' has 2,000,000 characters, expected at most",
    ),
    ("", "has no rows"),
    ("\n\n", "has no rows"),
    ("[]", "has no rows"),
    ("[1]", "row 1: got int, expected an object"),
    ("[" + GOOD + "," + GOOD, "row 3: is not JSON"),
    ("[" + GOOD + GOOD + "]", "row 2: is not JSON (expected ',' or ']'"),
    ("[" + GOOD + "] x", "row 2: comes after the end of the array"),
    (b"[" + GOOD.encode() + b',{"text": "\xff", "label": "a"}]', "row 2: is not UTF-8"),
    ("[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("content", "expected"), WRONG_JSONL, ids=[expected for _, expected in WRONG_JSONL])
def test_a_wrong_row_of_jsonl_is_named(tmp_path, content, expected):
    assert expected in refused(tmp_path / "rows.jsonl", content)


HEAD = "text,label\n"
WRONG_CSV = [
    (HEAD.encode() + b"x,a\n\xe9,a\n", "row 2 (line 3): is not UTF-8 (byte 0xe9 at position 0)"),
    ((HEAD + "x,a\n").encode("utf-16"), "row 1: is UTF-16"),
    ((HEAD + "x,a\n").encode("utf-16-le"), "row 1: has a NUL character"),
    (HEAD + '"two\nlines",a\nx,a,b\n', "row 2 (line 4): has 3 cells, the header has 2"),
    (HEAD + "x,a\nx\n", "row 2 (line 3): has 1 cells, the header has 2"),
    (HEAD + "x,a\ny,\n", "row 2: 'label' is str ''"),
    (HEAD + "x,a\n,b\n", "row 2: 'text' is empty"),
    (HEAD + "x,a\ny,-1\n", "row 2: 'label' is -1"),
    (HEAD + 'x,a\n"never closed,b\n', "row 2 (line 3): is not csv: unexpected end of data"),
    (HEAD + 'x,a\n"y"z,b\n', "row 2 (line 3): is not csv: "),
    (HEAD + f"x,a\n{'y' * 2_000_000},b\n", "'text' has 2,000,000 characters, expected at most 1,000,000"),
    (HEAD + f"x,a\n{'y' * 5_000_000},b\n", "row 2 (line 3): is not csv: a cell has more than 1,000,000 characters"),
    ("text,label,label\nx,a,b\n", "the header has label more than once"),
    ("text,label\rx,a\ry,b\r", "is not csv: a carriage return outside quotation marks"),
    (HEAD, "has no rows"),
    ("", "has no rows"),
    ("a;b\nx;y\n", "has no column 'text' (it has a;b)"),
]


@pytest.mark.parametrize(("content", "expected"), WRONG_CSV, ids=[expected for _, expected in WRONG_CSV])
def test_a_wrong_row_of_csv_is_named(tmp_path, content, expected):
    assert expected in refused(tmp_path / "rows.csv", content)


def test_many_wrong_rows_are_counted_in_few_words(tmp_path):
    message = refused(tmp_path / f"{'long' * 40}.jsonl", b'{"text": "\xff"}\n' * 5000)
    shown = len(message.splitlines()) - 1
    assert 5 <= shown <= 20
    assert message.endswith(f"and {5000 - shown} more rows")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"text": "x", "label": 1.0}], "row 1: 'label' is float 1.0"),
        ([{"text": "x", "label": True}], "row 1: 'label' is bool True"),
        ([{"text": 3, "label": "a"}], "row 1: 'text' is int 3, expected text"),
        ([{"text": b"x", "label": "a"}], "row 1: 'text' is bytes"),
        ([{"text": None, "label": "a"}], "row 1: 'text' is NoneType"),
        ([{"text": "x", "label": "a"}, {"text": "a\0b", "label": "a"}], "row 2: 'text' has a NUL character"),
        ([], "has no rows"),
    ],
)
def test_a_wrong_row_of_parquet_is_named(tmp_path, rows, expected):
    schema = None if rows else pyarrow.schema([("text", pyarrow.string()), ("label", pyarrow.string())])
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), sink)
    assert expected in refused(tmp_path / "rows.parquet", sink.getvalue().to_pybytes())


def test_parquet_that_is_none_or_not_utf8_is_said(tmp_path):
    assert "cannot be read: " in refused(tmp_path / "rows.parquet", GOOD)
    texts = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, [None, pyarrow.py_buffer(b"\0\0\0\0\1\0\0\0"), pyarrow.py_buffer(b"\xff")]
    )
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table({"text": texts, "label": ["a"]}), sink)
    assert "row 1: 'text' is not UTF-8" in refused(tmp_path / "rows.parquet", sink.getvalue().to_pybytes())


def test_one_long_text_in_many_rows_of_a_small_parquet_file_costs_its_length_once(tmp_path):
    texts = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 3000, pyarrow.int32()), ["word " * 1_000_000])
    parquet.write_table(
        pyarrow.table({"text": texts, "label": ["a"] * 3000}), tmp_path / "rows.parquet", compression="zstd"
    )
    assert (tmp_path / "rows.parquet").stat().st_size < 1 << 20
    before = pyarrow.total_allocated_bytes()
    with pytest.raises(UserError, match="row 1: 'text' has 5,000,000 characters"):
        read(tmp_path / "rows.parquet")
    assert pyarrow.default_memory_pool().max_memory() - before < 500_000_000  # 15 GB written out


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "loop", "nothing", "NUL"])
def test_what_is_no_regular_file_is_refused_unopened(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "x.jsonl"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            socket.socket(socket.AF_UNIX).bind("x.jsonl")
        case "device":
            path.symlink_to("/dev/zero")
        case "loop":
            path.symlink_to(path)
        case "NUL":
            path = tmp_path / "x\0.jsonl"
    with pytest.raises(UserError, match=r"data\.train"):
        data_fingerprint("data.train", DataSource(path=str(path)))
    with pytest.raises(UserError, match=r"data\.train"):
        read(path)


def test_a_folder_that_datasets_did_not_save_is_said(tmp_path):
    (tmp_path / "x.jsonl").mkdir()
    with pytest.raises(UserError, match=r"data\.train: .* has no state.json"):
        read(tmp_path / "x.jsonl")


def test_a_pipe_in_a_folder_is_refused_unopened(tmp_path):
    Dataset.from_list(ROWS).save_to_disk(str(tmp_path / "rows"))
    os.mkfifo(tmp_path / "rows" / "more.arrow")
    with pytest.raises(UserError, match="which is a pipe"):
        data_fingerprint("data.train", DataSource(path=str(tmp_path / "rows")))


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "link.jsonl").symlink_to(write_jsonl(tmp_path / "rows.jsonl", ROWS))
    assert read(tmp_path / "link.jsonl").to_list() == ROWS


def test_a_file_that_changes_after_it_was_planned_is_refused(tmp_path):
    source = DataSource(path=str(write_jsonl(tmp_path / "rows.jsonl", ROWS)))
    planned = data_fingerprint("data.train", source)
    refuse_changed("data.train", source, planned)
    write_jsonl(tmp_path / "rows.jsonl", ROWS[:1])
    with pytest.raises(UserError, match=r"data.train: .* changed while it was being read"):
        refuse_changed("data.train", source, planned)


def test_a_hub_id_that_is_a_folder_here_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "squad").mkdir()
    with pytest.raises(UserError, match="is also a local file or folder"):
        read_rows(DataSource(hub="squad"), "data.train", tmp_path / "cache", Wanted.of(TASK, COLUMNS))
