from __future__ import annotations

import copy
import re

import pytest
from datasets import ClassLabel, Dataset
from helpers import quickstart_rows, record_of, write_jsonl, write_recipe

import edgedistill
from edgedistill.contracts import registry
from edgedistill.data import prepared, reading
from edgedistill.data.row_tables import Wanted
from edgedistill.errors import EdgedistillError, UserError
from edgedistill.recipe.data_spec import DataSource
from edgedistill.store.records.data import PreparedSplit

TASK = registry.task("text-classification")
COLUMNS = {"text": "text", "label": "label"}
ROWS = [{"text": "wake me at six", "label": "alarm"}, {"text": "is it raining", "label": "weather"}]


def read(path, **options):
    wanted = Wanted.of(TASK, COLUMNS)
    return reading.read_rows(DataSource(path=str(path), **options), "data.train", path.parent / "cache", wanted)


@pytest.mark.parametrize("suffix", ["jsonl", "json", "csv", "parquet", "folder"])
def test_every_format_gives_the_same_rows(tmp_path, suffix):
    file = tmp_path / f"rows.{suffix}"
    dataset = Dataset.from_list(ROWS)
    match suffix:
        case "csv":
            dataset.to_csv(file)
        case "parquet":
            dataset.to_parquet(file)
        case "folder":
            dataset.save_to_disk(str(file))
        case _:
            dataset.to_json(file)
    assert read(file).to_list() == ROWS


def test_a_slice_takes_part_of_a_file(tmp_path):
    file = write_jsonl(tmp_path / "rows.jsonl", [{"text": str(i), "label": "a"} for i in range(10)])
    assert read(file, split="train[:30%]")["text"] == ["0", "1", "2"]
    assert read(file, split="train[30%:]")["text"][0] == "3"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"text": "x", "label": ', "row 3: is not JSON"),
        ("[1, 2]", "row 3: got list, expected an object"),
    ],
)
def test_a_broken_line_is_named(tmp_path, line, expected):
    file = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    with file.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(UserError) as caught:
        read(file)
    assert expected in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(("value", "shown"), [('{"a": 1}', "dict {'a': 1}"), ("3", "int 3")])
def test_a_field_of_another_type_is_named(tmp_path, value, shown):
    file = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    with file.open("a") as stream:
        stream.write(f'{{"text": {value}, "label": "weather"}}\n')
    with pytest.raises(UserError, match=re.escape(f"row 3: 'text' is {shown}, expected ")):
        prepared.check_rows(read(file), TASK, COLUMNS, str(file), labelled=True)


def check(rows, labelled=True, known=(), columns=None):
    prepared.check_rows(Dataset.from_list(rows), TASK, columns or COLUMNS, "rows.jsonl", labelled=labelled, known=known)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"text": "", "label": "alarm"}, "rows.jsonl: row 3: 'text' is empty, expected text"),
        ({"text": "  ", "label": "alarm"}, "rows.jsonl: row 3: 'text' is empty, expected text"),
        ({"text": None, "label": "alarm"}, "rows.jsonl: row 3: 'text' is NoneType None, expected text"),
        ({"text": "x", "label": None}, "row 3: 'label' is NoneType None, expected a label name or number"),
        ({"text": "x", "label": ""}, "row 3: 'label' is str '', expected a label name or number"),
        ({"text": "x", "label": "tea"}, "row 3: 'label' is 'tea', which does not occur in the training data"),
    ],
)
def test_a_wrong_row_is_named_with_its_number(row, expected):
    with pytest.raises(UserError) as caught:
        check([*ROWS, row], known=["alarm", "weather"])
    assert expected in str(caught.value)


def test_all_wrong_rows_are_counted():
    with pytest.raises(UserError) as caught:
        check([{"text": "", "label": "a"}] * 30)
    assert len(str(caught.value).splitlines()) == 21
    assert "and 10 more rows" in str(caught.value)


def test_missing_columns_say_what_there_is():
    with pytest.raises(UserError, match=r"has no column 'text' \(it has sentence, label\).*data\.columns\.text"):
        check([{"sentence": "x", "label": "a"}])


def test_unlabeled_rows_need_no_label():
    check([{"text": "x"}], labelled=False)


def test_class_labels_become_names_and_minus_one_none():
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]})
    rows = rows.cast_column("label", ClassLabel(names=["no", "yes"]))
    assert prepared.with_label_names(rows, "label")["label"] == ["yes", "no", None]
    assert TASK.data.label_names(rows, COLUMNS) == ["no", "yes"]


def test_numbers_as_labels_are_ordered_by_value():
    rows = Dataset.from_dict({"text": ["a"] * 3, "label": [10, 2, 1]})
    assert TASK.data.label_names(rows, COLUMNS) == ["1", "2", "10"]


def test_duplicates_ignore_case_and_spacing():
    first = Dataset.from_list([{"text": "Play  Jazz"}, {"text": "stop"}])
    second = Dataset.from_list([{"text": "go"}, {"text": "play jazz"}])
    assert prepared.duplicates(first, second, TASK, COLUMNS) == [(1, 2, "play jazz")]


def test_the_content_hash_is_that_of_the_items_not_of_the_file(tmp_path):
    file = write_jsonl(tmp_path / "rows.jsonl", ROWS)
    Dataset.from_list(ROWS).to_csv(tmp_path / "rows.csv")
    a, b = read(file), read(tmp_path / "rows.csv")
    assert prepared.content_hash(a, TASK, COLUMNS) == prepared.content_hash(b, TASK, COLUMNS)
    assert prepared.content_hash(a.select([0]), TASK, COLUMNS) != prepared.content_hash(b, TASK, COLUMNS)


def test_prepared_data_keeps_rows_tokens_and_labels(finished_run):
    prepared = finished_run.data("unlabeled", "test")
    assert prepared.labels == ["play_music", "set_alarm", "weather"]
    tokens = prepared.items("train")
    assert len(tokens) == len(prepared.rows("train")) == 120
    assert sorted(set(tokens.batch(range(120))["labels"].tolist())) == [0, 1, 2]
    assert set(prepared.items("unlabeled").batch(range(60))["labels"].tolist()) == {-100}
    assert tokens.lengths.max() <= prepared.max_length


def test_duplicates_between_the_splits_are_reported(recipe_tree, tmp_path):
    tree = copy.deepcopy(recipe_tree)
    rows = [row for row in quickstart_rows("test") if row["label"] in ("weather", "play_music", "set_alarm")]
    train = [row for row in quickstart_rows("train") if row["label"] in ("weather", "play_music", "set_alarm")]
    tree["data"]["test"]["path"] = str(write_jsonl(tmp_path / "test.jsonl", [*rows, train[0], train[1]]))
    from edgedistill.engine.local import execute
    from edgedistill.planning import fingerprints, make_plan
    from edgedistill.recipe import reading
    from edgedistill.store.progress import Progress

    recipe = reading.load(write_recipe(tree, tmp_path))
    plan = make_plan(recipe, fingerprints.look_up(recipe))
    done = execute(plan.until("data-test"), tmp_path / "run", Progress())
    report = record_of(PreparedSplit, done["data-test"].folder).facts
    assert report.duplicate_counts["train"] >= 1
    assert report.duplicate_counts["validation"] == 0
    assert list(record_of(PreparedSplit, done["data-validation"].folder).facts.duplicate_counts) == ["train"]


def test_a_data_error_reaches_the_user_as_one_sentence(recipe_tree, tmp_path):
    tree = copy.deepcopy(recipe_tree)
    bad = write_jsonl(tmp_path / "bad.jsonl", [*quickstart_rows("train")[:5], {"text": "", "label": "weather"}])
    tree["data"]["train"]["path"] = str(bad)
    with pytest.raises(EdgedistillError, match=r"step 'data' failed: .*bad\.jsonl: row 6: 'text' is empty") as caught:
        edgedistill.run(write_recipe(tree, tmp_path), out=tmp_path / "run")
    assert caught.value.exit_code == 2
