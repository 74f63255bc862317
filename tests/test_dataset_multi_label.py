"""The splits of a data set whose texts may have several labels."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_splits import labelled_texts
from tiny import tokenizer_of

from system.errors import InputError
from text.dataset.draws.drawing import split_rows
from text.dataset.labelled_texts import LabelOptions
from text.dataset.options import DataOptions
from text.dataset.saving import print_splits, save_splits, write_rows
from text.dataset.splits import load_splits, read_rows
from text.labels import LabelSet
from text.sources import read_labelled

TOKENIZER = tokenizer_of(("文", *"0123456789"))
ROWS = ["动力"] * 40 + ["动力|油耗"] * 30 + ["油耗|内饰"] * 10 + ["动力|油耗|外观"] * 5 + [""] * 15
NAMES = ("内饰", "动力", "外观", "油耗")


@pytest.fixture
def path(tmp_path):
    return write_labels(tmp_path / "cars.csv", ROWS)


def write_labels(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label", "group"])
        writer.writerows((f"文{number}", labels, number % 2) for number, labels in enumerate(rows))
    return path


def load(path, **options):
    plan = DataOptions(dataset=str(path), test_size=0.2, multi_label=True, **options)
    return load_splits(plan, TOKENIZER, max_seq_len=6)


@pytest.mark.parametrize("group_column", [None, "group"])
def test_every_split_has_the_same_fraction_of_each_label(path, group_column):
    splits = load(path, group_column=group_column)
    assert splits.label_set == LabelSet(NAMES, multi_label=True)
    parts = (splits.train, splits.validation, splits.test)
    assert sum(len(part.texts) for part in parts) == len(ROWS)
    expected = np.mean([[name in row.split("|") for name in NAMES] for row in ROWS], axis=0)
    for part in parts:
        assert part.targets.dtype == np.float32 and part.targets.shape == (len(part.texts), 4)
        np.testing.assert_allclose(part.labels.mean(axis=0), expected, atol=0.15)
        by_text = {f"文{number}": row for number, row in enumerate(ROWS)}
        assert [splits.label_set.name(row) for row in part.labels] == [
            "|".join(sorted(filter(None, by_text[text].split("|")))) for text in part.texts
        ]


@given(
    labels=st.lists(st.lists(st.integers(0, 5), max_size=4), min_size=8, max_size=40),
    test_size=st.floats(0.1, 0.6),
    seed=st.integers(0, 100),
)
def test_the_training_rows_have_every_label(labels, test_size, seed):
    label_set = LabelSet(tuple("abcdef"), multi_label=True)
    indicators = np.array([np.isin(np.arange(6), of_row) for of_row in labels], np.int8)
    labelled = labelled_texts(indicators, label_set)
    train, test = split_rows(labelled, test_size, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert np.all(np.diff(train) > 0) and np.all(np.diff(test) > 0)
    is_missing = indicators.any(axis=0) & ~indicators[train].any(axis=0)
    assert not is_missing.any() or len(test) == 1


def test_a_label_may_be_absent_from_validation_and_test_only(tmp_path):
    rows = ["甲", "乙"] * 20 + ["甲|丙"]
    splits = load(write_labels(tmp_path / "a.csv", rows), labels=["甲", "乙", "丙"])
    assert splits.train.labels[:, 2].sum() == 1
    assert splits.validation.labels[:, 2].sum() == splits.test.labels[:, 2].sum() == 0


def test_the_printed_lines_name_the_labels_and_those_left_out(tmp_path, capsys):
    print_splits(load(write_labels(tmp_path / "cars.csv", [*ROWS, "空间|动力", "空间"])))
    first, left_out, train, *_ = capsys.readouterr().out.splitlines()
    assert first == "cars.csv: 102 rows, 0 unusable"
    assert left_out == "1 rare label is left out (rows): '空间' (2)"
    assert train.startswith("training: 7") and "% 动力, " in train and "% without a label, " in train


def test_saved_splits_are_read_back_to_the_same_data(path, tmp_path):
    options = DataOptions(dataset=str(path), test_size=0.2, multi_label=True, save_splits=str(tmp_path / "saved"))
    labelled = read_rows(options)
    save_splits(load_splits(options, TOKENIZER, max_seq_len=6), options)
    for name, rows in zip(("train.csv", "test.csv"), split_rows(labelled, 0.2), strict=True):
        saved = read_labelled(tmp_path / "saved" / name, label_options=LabelOptions(names=NAMES, multi_label=True))
        assert saved.texts == [labelled.texts[row] for row in rows]
        np.testing.assert_array_equal(saved.labels, labelled.labels[rows])
        assert saved.usable.all()


def test_a_saved_row_without_a_label_has_an_empty_cell(path, tmp_path):
    labelled = read_labelled(path, label_options=LabelOptions(multi_label=True))
    write_rows(labelled, np.array([40, 99]), tmp_path / "some.csv")
    assert (tmp_path / "some.csv").read_text(encoding="utf-8") == "text,label\n文40,动力|油耗\n文99,\n"


def test_other_ways_to_read_labels_reach_the_reader(tmp_path):
    rows = [row.replace("|", "；") for row in ROWS]
    path = write_labels(tmp_path / "a.csv", rows)
    (tmp_path / "map.csv").write_text("label,new_label\n外观,内饰\n", encoding="utf-8")
    splits = load(path, label_separator="；", label_map=str(tmp_path / "map.csv"), labels=["油耗", "内饰"])
    assert splits.label_set.names == ("油耗", "内饰")
    parts = (splits.train, splits.validation, splits.test)
    assert np.sum([part.labels.sum(axis=0) for part in parts], axis=0).tolist() == [45, 15]


def test_columns_of_labels_reach_the_reader(tmp_path):
    (tmp_path / "a.csv").write_text("text,甲,乙,label\n" + "文,1,0,x\n文,,1,y\n" * 3, encoding="utf-8")
    labelled = read_rows(
        DataOptions(dataset=str(tmp_path / "a.csv"), test_size=0.2, multi_label=True, label_columns=["乙", "甲"])
    )
    assert labelled.label_set.names == ("乙", "甲") and labelled.labels.tolist() == [[0, 1], [1, 0]] * 3


def test_columns_of_something_else_are_named(path):
    words = "85 rows are unusable, the first: row 2: column 'label' has '动力', which is neither 0 nor 1"
    with pytest.raises(InputError, match=words):
        load(path, label_columns=["group", "label"])


def test_one_label_is_too_few(tmp_path):
    with pytest.raises(InputError, match="fewer than two labels have 3 rows"):
        load(write_labels(tmp_path / "a.csv", ["甲"] * 9))
