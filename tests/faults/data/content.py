"""What is in the written files."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

from ..harness import Expected
from ..world import SPLITS
from .rows import Data, any_split


def _edit(data: Data, rng: random.Random, change: Callable[[bytes], bytes], split: str | None = None) -> None:
    name = split or any_split(rng)

    def edit(folder: Path) -> None:
        file = folder / data.name(name)
        file.write_bytes(change(file.read_bytes()))

    data.files.append(edit)


def _as_text(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "csv"])


def line_ends(data: Data, rng: random.Random) -> None:
    _as_text(data, rng)
    _edit(data, rng, lambda raw: raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


def last_line_end_missing(data: Data, rng: random.Random) -> None:
    _as_text(data, rng)
    _edit(data, rng, lambda raw: raw.rstrip(b"\r\n"))


def blank_lines(data: Data, rng: random.Random) -> None:
    _as_text(data, rng)
    _edit(data, rng, lambda raw: raw.replace(b"\n", b"\n\n", 3) + b"\n\n")


def byte_order_mark(data: Data, rng: random.Random) -> None:
    _as_text(data, rng)
    data.expected = "either"
    _edit(data, rng, lambda raw: codecs.BOM_UTF8 + raw)


def encoding_other(data: Data, rng: random.Random) -> None:
    _as_text(data, rng)
    split, how = any_split(rng), rng.choice(["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "mac-roman"])
    data.rows[split][5]["text"] = "café crème"
    data.expected = "refused"
    _edit(data, rng, lambda raw: raw.decode().replace("\\u00e9", "é").replace("\\u00e8", "è").encode(how), split)


def bytes_flipped(data: Data, rng: random.Random) -> None:
    data.expected = "either"

    def flip(raw: bytes) -> bytes:
        content = bytearray(raw)
        for _ in range(rng.choice([1, 1, 3])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        return bytes(content)

    _edit(data, rng, flip)


def cut_short(data: Data, rng: random.Random) -> None:
    data.expected = "either"
    _edit(data, rng, lambda raw: raw[: rng.randrange(1, len(raw) - 2)])


def empty_file(data: Data, rng: random.Random) -> None:
    data.expected = "refused"
    _edit(data, rng, lambda raw: rng.choice([b"", b"\n", b" ", b"\x00"]))


def another_format(data: Data, rng: random.Random) -> None:
    _edit(
        data,
        rng,
        lambda raw: rng.choice(
            [b"PK\x03\x04" + raw, b"%PDF-1.7\n", b"PAR1", b"<html></html>", b"\x89PNG\r\n", b"null\n", b"3\n", b'"x"\n']
        ),
    )
    data.expected = "refused"


def compressed(data: Data, rng: random.Random) -> None:
    data.expected = "either"
    _as_text(data, rng)
    _edit(data, rng, gzip.compress)


def garbage_line(data: Data, rng: random.Random) -> None:
    data.form, data.expected = "jsonl", "refused"
    line = rng.choice(["{", "not json", "{'text': 'a', 'label': 'weather'}", "[]", "3", '"x"', "{}",
        '{"text": "a", "label": "weather",}',
                       '{"text": "a"}', "// comment", '{"text": NaN, "label": "weather"}', "{" * 5000,
                       '{"a":' * 5000 + "1" + "}" * 5000])  # fmt: skip
    number = rng.randrange(1, 30)
    _edit(data, rng, lambda raw: b"\n".join([*raw.split(b"\n")[:number], line.encode(), *raw.split(b"\n")[number:]]))


def key_twice(data: Data, rng: random.Random) -> None:
    data.form, data.expected = "jsonl", "either"
    _edit(data, rng, lambda raw: raw.replace(b'{"text"', b'{"text": "another", "text"', 1))


def json_list(data: Data, rng: random.Random) -> None:
    """One list of rows, in a file that says lines (`.jsonl`) or doesn't (`.json`)."""
    data.form, data.expected = rng.choice(["jsonl", "json"]), "either"
    for split in SPLITS:
        _edit(data, rng, lambda raw: json.dumps([json.loads(line) for line in raw.splitlines()]).encode(), split)


def numbers_beyond(data: Data, rng: random.Random) -> None:
    data.form, data.expected = "jsonl", "refused"
    raw = rng.choice([b"1e400", b"1" * 5000, b"NaN", b"Infinity", b"-1e999"])
    _edit(data, rng, lambda content: content.replace(b'"label": "weather"', b'"label": ' + raw, 2))


def csv_fields(data: Data, rng: random.Random) -> None:
    """A row with too many or too few fields, a quote that never closes."""
    data.form, data.expected = "csv", "refused"
    line = rng.choice(["a,weather,more", "onlytext", '"open,weather', "a,weather,,", ","])
    _edit(data, rng, lambda raw: raw + line.encode() + b"\n", "train")


def csv_dialect(data: Data, rng: random.Random) -> None:
    data.form, data.expected = "csv", "refused"
    old, new = rng.choice([(b",", b";"), (b",", b"\t"), (b",", b"|")])
    _edit(data, rng, lambda raw: raw.replace(old, new))


def csv_quoted(data: Data, rng: random.Random) -> None:
    data.form = "csv"

    def quote(raw: bytes) -> bytes:
        rows = list(csv.reader(io.StringIO(raw.decode(), newline="")))
        out = io.StringIO(newline="")
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
        return out.getvalue().encode()

    _edit(data, rng, quote)


def csv_header(data: Data, rng: random.Random) -> None:
    data.form, data.expected = "csv", "refused"
    header = rng.choice([b"text,text", b"", b"Text,Label", b"text", b"a,b,c", b" text, label"])
    _edit(data, rng, lambda raw: header + b"\n" + raw.split(b"\n", 1)[1], "train")


def parquet_types(data: Data, rng: random.Random) -> None:
    import pyarrow as pa

    data.form = "parquet"
    kinds: list[tuple[dict[str, object], Expected]] = [
        ({"text": pa.large_string()}, "works"), ({"text": pa.dictionary(pa.int32(), pa.string())}, "either"),
        ({"label": pa.dictionary(pa.int8(), pa.string())}, "either"), ({"text": pa.binary()}, "either"),
        ({"label": pa.binary()}, "either"),
        ({"text": pa.string_view()}, "either"), ({"label": pa.large_string()}, "works"),
    ]  # fmt: skip
    data.types, data.expected = rng.choice(kinds)


def _features(**columns: object) -> bytes:
    return json.dumps({"info": {"features": columns}}).encode()


def parquet_metadata(data: Data, rng: random.Random) -> None:
    """What the writing library says of the columns is wrong."""
    import pyarrow.parquet as pq

    data.form, data.expected = "parquet", "either"
    value = rng.choice(
        [
            b"{",
            b"null",
            _features(text={"dtype": "int64", "_type": "Value"}, label={"dtype": "string", "_type": "Value"}),
            _features(text={"_type": "Image"}, label={"dtype": "string", "_type": "Value"}),
            _features(text={"_type": "nothing"}),
            b'{"info": []}',
        ]
    )

    def change(folder: Path) -> None:
        file = folder / data.name("train")
        pq.write_table(pq.read_table(file).replace_schema_metadata({b"huggingface": value}), file)

    data.files.append(change)
