"""Data files. Oracle: the prepared rows and class numbers are those that `json`, `csv` or pyarrow read from the same
files, text for text; a file that this reader cannot take, or with rows that cannot be meant, is refused."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .harness import Case, Expected, Verdict, judge
from .world import SPLITS, recipe_tree, write_recipe

COUNT = 150
LIMIT_S = 40.0
Row = dict[str, object]
FORMATS = ("jsonl", "csv", "parquet")


@dataclass
class Data:
    """The rows of each split, the format that they are written in, and what is done to the written files."""

    rows: dict[str, list[Row]]
    form: str
    expected: Expected = "works"
    files: list[Callable[[Path], None]] = field(default_factory=list)
    """Each is given the folder."""
    columns: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Other file names than `SPLIT.FORMAT`."""
    folder: str = "data"
    types: dict[str, object] = field(default_factory=dict)
    """Of parquet columns."""

    def name(self, split: str) -> str:
        """The file of a split."""
        return self.names.get(split, f"{split}.{self.form}")


Mutation = Callable[[Data, random.Random], None]

TEXTS = (
    "001", "1.10", "1e5", "0x10", "-0", "+1", "1_000", "None", "NA", "N/A", "null", "nan", "NaN", "true", "False",
    "2020-01-01",
    "2020-01-01T00:00:00Z", "12:30", "inf", "[1, 2]", '{"a": 1}', "#N/A", "-", '"', "'", '""', 'say "hi"', "a,b",
    "a;b\tc", "=1+1",
    " leading", "trailing ", "two  spaces", "tab\there", "\ufeffmark", "zero\u200bwidth", "\u202eright", "é",
    "e\u0301", "日本語", "🙂", "a\\b",
    "\\n", "a\u2028b", "a\u0085b", "\u00a0", "<b>", "%s %d", "{}", "${HOME}",
)  # fmt: skip


def _some(rows: Sequence[Row], rng: random.Random, share: float = 0.1) -> list[Row]:
    return rng.sample(list(rows), max(1, round(len(rows) * share)))


def _split(rng: random.Random) -> str:
    return rng.choice(list(SPLITS))


def texts_that_look_like_values(data: Data, rng: random.Random) -> None:
    for row in _some(data.rows[_split(rng)], rng):
        row["text"] = rng.choice([each for each in TEXTS if each.strip()])
    data.expected = "either"


def texts_all_of_one_look(data: Data, rng: random.Random) -> None:
    make = rng.choice([lambda i: f"{i:03d}", lambda i: f"{i}.10", lambda i: f"2020-01-{i % 28 + 1:02d}",
        lambda i: str(i % 2 == 0).lower(),
                       lambda i: f"2020-01-{i % 28 + 1:02d}T00:00:00Z", lambda i: "NA",
                           lambda i: f"{i}e3"])  # fmt: skip
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row["text"] = make(i)
    data.expected = "either"


def csv_texts_of_one_look(data: Data, rng: random.Random) -> None:
    texts_all_of_one_look(data, rng)
    data.form = "csv"


def texts_with_line_ends(data: Data, rng: random.Random) -> None:
    for row in _some(data.rows["train"], rng):
        row["text"] = str(row["text"]) + rng.choice(["\nmore", "\r\nmore", "\n\nmore", "\nlast\n"])
    data.expected = "either"


def text_empty(data: Data, rng: random.Random) -> None:
    data.rows[_split(rng)][3]["text"] = rng.choice(["", " ", "\t", "\u3000 "])
    data.expected = "refused"


def text_missing(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.rows[_split(rng)][3]["text"] = None
    data.expected = "refused"


def text_of_another_type(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    value = rng.choice([3, 1.5, True, ["a"], {"a": 1}, [], 2**70])
    split = _split(rng)
    for row in data.rows[split] if rng.random() < 0.5 else data.rows[split][:1]:
        row["text"] = value
    data.expected = "refused"


def text_long(data: Data, rng: random.Random) -> None:
    data.rows[_split(rng)][0]["text"] = rng.choice(["word ", "x", "é "]) * rng.choice([5_000, 100_000, 1_000_000])
    data.expected = "either"


def text_odd_characters(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    data.rows[_split(rng)][0]["text"] = "play " + rng.choice(
        ["\ud800", "\x00", "\x1b[31m", "\x7f", "\ufffe", "\U0010ffff", "\udc00x"]
    )
    data.expected = "either"


def _renamed(data: Data, names: Sequence[object]) -> None:
    known = sorted({str(row["label"]) for rows in data.rows.values() for row in rows})
    for rows in data.rows.values():
        for row in rows:
            row["label"] = names[known.index(str(row["label"]))]


def labels_named_oddly(data: Data, rng: random.Random) -> None:
    sets = [
        ("NA", "None", "null"), ("001", "002", "010"), ("true", "false", "maybe"), ("1.0", "1.10", "1.1"), ("a", "A",
        "á"),
        ("yes", "no", "NaN"), ("0", "10", "9"), (" a", "a ", "a"), ("é", "e\u0301", "e"), ("1e1", "10", "1e01"),
        ("x,y", 'x"y', "x;y"),
        ("nan", "inf", "-inf"), ("2020-01-01", "2020-01-02", "2020-1-1"), ("../x", "/", "CON"),
        ("🙂", "日本", "\u202e"),
    ]  # fmt: skip
    _renamed(data, rng.choice(sets))
    data.expected = "either"


def csv_labels_named_oddly(data: Data, rng: random.Random) -> None:
    labels_named_oddly(data, rng)
    data.form = "csv"


def labels_of_another_type(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    sets: list[tuple[tuple[object, ...], Expected]] = [
        ((0, 1, 2), "works"), ((10, 9, 2), "works"), ((-1, 0, 1), "either"), ((0.0, 1.0, 2.0), "either"), ((0.5, 1.5,
        2.5), "either"),
        ((True, False, True), "refused"), (([1], [2], [3]), "refused"), ((2**40, 1, 2), "either"), ((2**70, 1, 2),
        "either"),
    ]  # fmt: skip
    names, data.expected = rng.choice(sets[:8] if data.form == "parquet" else sets)
    _renamed(data, names)


def labels_of_mixed_types(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    _renamed(data, rng.choice([(1, "1", 2), ("a", 1, 2), (True, 1, 0), (1, 1.0, 2), (None, "a", "b")]))
    data.expected = "either"


def label_missing(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.rows[_split(rng)][2]["label"] = rng.choice([None, ""])
    data.expected = "refused"


def label_unknown_to_training(data: Data, rng: random.Random) -> None:
    label = rng.choice(["other", "Weather", "weather ", "0", "weathe\u0072\u0301"])
    data.rows[rng.choice(["validation", "test"])][2]["label"] = label
    data.expected = "refused" if label != "Weather" else "either"


def one_label(data: Data, rng: random.Random) -> None:
    for row in data.rows["train"]:
        row["label"] = "weather"
    data.expected = "refused"


def many_labels(data: Data, rng: random.Random) -> None:
    for i, row in enumerate(data.rows["train"]):
        row["label"] = f"label {i}"
    for split in ("validation", "test"):
        for i, row in enumerate(data.rows[split]):
            row["label"] = f"label {i * 2}"


def no_rows(data: Data, rng: random.Random) -> None:
    split = _split(rng)
    data.rows[split] = []
    data.expected = "refused"


def few_rows(data: Data, rng: random.Random) -> None:
    data.rows["train"] = [data.rows["train"][0], data.rows["train"][-1]]
    kept = {row["label"] for row in data.rows["train"]}
    for split in ("validation", "test"):
        data.rows[split] = [row for row in data.rows[split] if row["label"] in kept][: rng.choice([1, 2])]


def rows_repeated(data: Data, rng: random.Random) -> None:
    data.rows["train"] *= rng.choice([2, 20])


def columns_more(data: Data, rng: random.Random) -> None:
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row.update({"id": i, "note": "x" if i % 2 else "", "labels": "n", "input_ids": "no"})


def columns_more_of_mixed_types(data: Data, rng: random.Random) -> None:
    data.form = "jsonl"
    for rows in data.rows.values():
        for i, row in enumerate(rows):
            row["meta"] = rng.choice([1, "x", None, [1], {"a": i}, {"b": "c"}, 1.5, []])
    data.expected = "either"


def columns_called_otherwise(data: Data, rng: random.Random) -> None:
    text, label = rng.choice(
        [("utterance", "intent"), ("label", "text"), ("a b", "c.d"), ("ü", "é"), ("Text", "Label")]
    )
    data.columns = {"text": text, "label": label}
    for split, rows in data.rows.items():
        data.rows[split] = [{text: row["text"], label: row["label"]} for row in rows]


def column_missing(data: Data, rng: random.Random) -> None:
    column, split = rng.choice(["text", "label"]), _split(rng)
    for row in data.rows[split]:
        row[rng.choice([column.upper(), f"{column} ", "x"])] = row.pop(column)
    data.expected = "refused"


def columns_in_another_order(data: Data, rng: random.Random) -> None:
    for split, rows in data.rows.items():
        data.rows[split] = [{"label": row["label"], "text": row["text"]} for row in rows]


def _edit(data: Data, rng: random.Random, change: Callable[[bytes], bytes], split: str | None = None) -> None:
    name = split or _split(rng)

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
    split, how = _split(rng), rng.choice(["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "mac-roman"])
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


def _put(data: Data, change: Callable[[Path], None]) -> None:
    data.files.append(change)


def name_with_pattern_characters(data: Data, rng: random.Random) -> None:
    """A name that reads as a pattern, and neighbours that match it."""
    data.form = rng.choice(["jsonl", "csv"])
    name, neighbour = rng.choice(
        [("t[12]", "t1"), ("t?", "tx"), ("t*", "tall"), ("[a-z]", "q"), ("t[!x]", "ty"), ("**", "deep"), ("a::b", "b")]
    )
    data.names["train"] = f"{name}.{data.form}"

    def decoy(folder: Path) -> None:
        raw = (folder / data.name("train")).read_bytes().replace(b"weather", b"WRONG_FILE")
        (folder / f"{neighbour}.{data.form}").write_bytes(raw)

    if rng.random() < 0.7:
        _put(data, decoy)


def folder_with_pattern_characters(data: Data, rng: random.Random) -> None:
    data.form = rng.choice(["jsonl", "parquet"])
    data.folder = rng.choice(
        ["batch[12]", "da?a", "d*", "x::y", "a b", "train[:5%]", "ü", ".hidden", "{a,b}", "%20", "a#b"]
    )


def name_odd(data: Data, rng: random.Random) -> None:
    data.names["train"] = (
        rng.choice(["a b", "ü", "train[:10%]", "-x", "a\nb", "a'b", "rows", "x" * 200, "data.tar"]) + f".{data.form}"
    )
    data.expected = "either" if "\n" in data.names["train"] else "works"


def not_a_file(data: Data, rng: random.Random) -> None:
    _not_a_file(data, rng.choice(["folder", "dangling", "socket", "device"]))


def link_to_itself(data: Data, rng: random.Random) -> None:
    _not_a_file(data, "loop")


def pipe(data: Data, rng: random.Random) -> None:
    _not_a_file(data, "fifo")


def _not_a_file(data: Data, how: str) -> None:
    data.expected = "refused"

    def change(folder: Path) -> None:
        file = folder / data.name("train")
        file.unlink()
        if how == "folder":
            file.mkdir()
            (file / "x.txt").write_text("x")
        elif how == "fifo":
            os.mkfifo(file)
        elif how == "socket":
            import socket

            at_home = os.getcwd()
            os.chdir(folder)
            socket.socket(socket.AF_UNIX).bind(file.name)
            os.chdir(at_home)
        else:
            file.symlink_to({"loop": file.name, "dangling": "nothing", "device": "/dev/zero"}[how])

    _put(data, change)


def link_to_the_file(data: Data, rng: random.Random) -> None:
    def change(folder: Path) -> None:
        file = folder / data.name("train")
        file.rename(folder / "elsewhere")
        file.symlink_to("elsewhere")

    _put(data, change)


def saved_folder(data: Data, rng: random.Random) -> None:
    """A folder as `datasets` saves it, sound or damaged; with a script that nothing may run."""
    how = rng.choice(["sound", "state", "info", "arrow cut", "other file", "script", "features", "no state"])
    data.names["train"] = "saved"
    # The rows and their types stand in the Arrow files; what is said of them beside may be passed over.
    data.expected = {"sound": "works", "script": "works", "info": "either", "features": "either"}.get(how, "refused")  # type: ignore[assignment]

    def change(folder: Path) -> None:
        from datasets import Dataset

        rows = data.rows["train"]
        Dataset.from_list([dict(row) for row in rows]).save_to_disk(str(folder / "saved"))
        saved = folder / "saved"
        arrow = next(saved.glob("*.arrow"))
        if how == "state":
            (saved / "state.json").write_text(rng.choice(["{", "[]", "{}", "null"]))
        elif how == "info":
            (saved / "dataset_info.json").write_text(rng.choice(["{", "[]", "null"]))
        elif how == "arrow cut":
            arrow.write_bytes(arrow.read_bytes()[: rng.choice([0, 10, arrow.stat().st_size // 2])])
        elif how == "other file":
            state = json.loads((saved / "state.json").read_text())
            state["_data_files"] = [{"filename": rng.choice(["../other.arrow", "/etc/passwd", "missing.arrow"])}]
            (folder / "other.arrow").write_bytes(arrow.read_bytes())
            (saved / "state.json").write_text(json.dumps(state))
        elif how == "script":
            (saved / "saved.py").write_text("open('../canary/script', 'w')\n")
        elif how == "features":
            info = json.loads((saved / "dataset_info.json").read_text())
            info["features"] = {"text": {"dtype": "int64", "_type": "Value"}, "label": {"_type": "nothing"}}
            (saved / "dataset_info.json").write_text(json.dumps(info))
        elif how == "no state":
            (saved / "state.json").unlink()

    _put(data, change)


MUTATIONS: tuple[Mutation, ...] = (
    texts_that_look_like_values, texts_all_of_one_look, csv_texts_of_one_look, csv_labels_named_oddly,
        texts_with_line_ends, text_empty, text_missing, text_of_another_type,
    text_long, text_odd_characters, labels_named_oddly, labels_of_another_type, labels_of_mixed_types, label_missing,
    label_unknown_to_training, one_label, many_labels, no_rows, few_rows, rows_repeated, columns_more,
    columns_more_of_mixed_types, columns_called_otherwise, column_missing, columns_in_another_order, line_ends,
    last_line_end_missing, blank_lines, byte_order_mark, encoding_other, bytes_flipped, cut_short, empty_file,
        another_format,
    compressed, garbage_line, key_twice, json_list, numbers_beyond, csv_fields, csv_dialect, csv_quoted, csv_header,
    parquet_types, parquet_metadata, name_with_pattern_characters, folder_with_pattern_characters, name_odd, not_a_file,
    link_to_itself, pipe, link_to_the_file, saved_folder,
)  # fmt: skip


def run_case(case: Case) -> tuple[str, Verdict]:
    """One mutated data set: `run`, its data steps only."""
    mutation, rng = MUTATIONS[case.seed % len(MUTATIONS)], case.rng
    rows: dict[str, list[Row]] = {split: [dict(row) for row in case.world.rows(split)] for split in SPLITS}
    data = Data(rows, rng.choice(FORMATS))
    mutation(data, rng)
    folder = case.path(data.folder)
    folder.mkdir()
    for split in SPLITS:
        if data.name(split) != "saved":
            _write(data, split, folder)
    for change in data.files:
        change(folder)
    tree = recipe_tree(case.world, tuned=True)
    spec = tree["data"]
    assert isinstance(spec, dict)
    spec |= {split: {"path": str(folder / data.name(split))} for split in SPLITS}
    spec |= {"columns": data.columns} if data.columns else {}
    recipe = write_recipe(tree, case.path("recipe.yaml"))
    outcome = case.command("run", recipe, "--out", case.path("run"), only="data.*")
    verdict = judge(case, outcome, data.expected, lambda: case.isolated(lambda: _differs(case, data, folder)))
    return mutation.__name__, verdict


def _write(data: Data, split: str, folder: Path) -> None:
    file, rows = folder / data.name(split), data.rows[split]
    if data.form in ("jsonl", "json"):
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif data.form == "csv":
        names = list(dict.fromkeys(key for row in rows for key in row)) or ["text", "label"]
        with file.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(dict.fromkeys(key for row in rows for key in row)) or ["text", "label"]
        columns = {name: pa.array([row.get(name) for row in rows], type=data.types.get(name)) for name in names}
        pq.write_table(pa.table(columns), file)


def _differs(case: Case, data: Data, folder: Path) -> str | None:
    """What the prepared data has otherwise than the files."""
    from edgedistill.data import open_table

    facts = json.loads(next(case.path("run").glob("steps/*/data.json")).read_text(encoding="utf-8"))
    text, label = data.columns.get("text", "text"), data.columns.get("label", "label")
    for split in SPLITS:
        try:
            wanted = _read(folder / data.name(split))
        except (ValueError, OSError, RecursionError, csv.Error) as error:
            return f"{split}: accepted, though it cannot be read: {' '.join(str(error).split())[:120]}"
        stored = open_table(_step_with(case, split) / "rows")
        tokens = open_table(_step_with(case, split) / "tokens")
        if len(stored) != len(wanted) or len(tokens) != len(wanted):
            return f"{split}: {len(stored)} rows, expected {len(wanted)}"
        numbers = tokens["labels"]
        for number, (given, kept) in enumerate(zip(wanted, stored, strict=True)):
            if not isinstance(given.get(text), str) or str(kept[text]) != given[text]:
                return f"{split}: row {number + 1}: the text {given.get(text)!r:.60} became {kept[text]!r:.60}"
            class_name = facts["labels"][numbers[number]]
            if str(given.get(label)) != class_name or isinstance(given.get(label), bool):
                return f"{split}: row {number + 1}: the label {given.get(label)!r:.60} became {class_name!r:.60}"
    return None


def _step_with(case: Case, split: str) -> Path:
    """Where the rows of a split were published."""
    return next(each.parent for each in case.path("run").glob(f"steps/*/{split}/rows"))


def _read(file: Path) -> list[Row]:
    """The rows by the standard library, or by pyarrow alone.

    Raises:
        ValueError: they can't be read.
    """
    if file.is_dir():
        import pyarrow as pa

        with pa.OSFile(str(next(file.glob("*.arrow")))) as source:
            return pa.ipc.open_stream(source).read_all().to_pylist()
    raw = file.read_bytes()
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(file).to_pylist()
        return [{k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()} for row in rows]
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    content = raw.decode("utf-8-sig")
    if file.suffix == ".csv":
        return _read_csv(content)
    if content.lstrip().startswith("["):
        return list(json.loads(content))
    return [json.loads(line) for line in content.split("\n") if line.strip()]


def _read_csv(content: str) -> list[Row]:
    rows = list(csv.reader(io.StringIO(content, newline=""), strict=True))
    header, body = rows[0], [row for row in rows[1:] if row]
    if any(len(row) != len(header) for row in body):
        raise ValueError("a row has more or fewer fields than the header")
    return [dict(zip(header, row, strict=True)) for row in body]
