"""Data files. Oracle: the prepared rows and class numbers are exactly those that `json`, `csv` or pyarrow read from the
same files; a file that this reader cannot parse, or with invalid rows, is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

from .data.columns import (
    column_missing,
    columns_called_otherwise,
    columns_in_another_order,
    columns_more,
    columns_more_of_mixed_types,
)
from .data.content import (
    another_format,
    blank_lines,
    byte_order_mark,
    bytes_flipped,
    compressed,
    csv_dialect,
    csv_fields,
    csv_header,
    csv_quoted,
    cut_short,
    empty_file,
    encoding_other,
    garbage_line,
    json_list,
    key_twice,
    last_line_end_missing,
    line_ends,
    numbers_beyond,
    parquet_metadata,
    parquet_types,
)
from .data.labels import (
    csv_labels_named_oddly,
    few_rows,
    label_missing,
    label_unknown_to_training,
    labels_named_oddly,
    labels_of_another_type,
    labels_of_mixed_types,
    many_labels,
    no_rows,
    one_label,
    rows_repeated,
)
from .data.places import (
    folder_with_pattern_characters,
    link_to_itself,
    link_to_the_file,
    name_odd,
    name_with_pattern_characters,
    not_a_file,
    pipe,
    saved_folder,
)
from .data.rows import Data, Mutation, Row
from .data.texts import (
    csv_texts_of_one_look,
    text_empty,
    text_long,
    text_missing,
    text_odd_characters,
    text_of_another_type,
    texts_all_of_one_look,
    texts_that_look_like_values,
    texts_with_line_ends,
)
from .harness import Case, Verdict, judge
from .world import SPLITS, recipe_tree, write_recipe

COUNT = 150
LIMIT_S = 40.0
FORMATS = ("jsonl", "csv", "parquet")


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
    """Where the prepared data differs from the files."""
    from edgedistill.contracts.items import Items
    from edgedistill.data.prepared import ITEMS, open_table

    facts = json.loads(next(case.path("run").glob("steps/[0-9][0-9]-data/record.json")).read_text(encoding="utf-8"))
    text, label = data.columns.get("text", "text"), data.columns.get("label", "label")
    for split in SPLITS:
        try:
            wanted = _read(folder / data.name(split))
        except (ValueError, OSError, RecursionError, csv.Error) as error:
            return f"{split}: accepted, though it cannot be read: {' '.join(str(error).split())[:120]}"
        stored = open_table(_step_with(case, split) / "rows")
        items = Items.open(_step_with(case, split) / ITEMS)
        if len(stored) != len(wanted) or len(items) != len(wanted):
            return f"{split}: {len(stored)} rows, expected {len(wanted)}"
        numbers = items.values["labels"]
        for number, (given, kept) in enumerate(zip(wanted, stored, strict=True)):
            if not isinstance(given.get(text), str) or str(kept[text]) != given[text]:
                return f"{split}: row {number + 1}: the text {given.get(text)!r:.60} became {kept[text]!r:.60}"
            class_name = facts["labels"][numbers[number]]
            if str(given.get(label)) != class_name or isinstance(given.get(label), bool):
                return f"{split}: row {number + 1}: the label {given.get(label)!r:.60} became {class_name!r:.60}"
    return None


def _step_with(case: Case, split: str) -> Path:
    """Where the rows of a split were published."""
    return next(path.parent for path in case.path("run").glob(f"steps/*/{split}/rows"))


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
