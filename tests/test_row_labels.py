"""Rows that may have several labels, or none: how they are read from cells and columns."""

import json

import datasets
import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from system.errors import InputError
from text.dataset.labelled_texts import LabelOptions
from text.dataset.labels.row_labels import index_rows, row_labels
from text.labels import CONTROL_CHARACTERS, SEPARATOR, UNDECIDED_NAME
from text.sources import read_labelled

SEVERAL = LabelOptions(multi_label=True)
NAME = st.text(
    st.characters(exclude_characters=[*CONTROL_CHARACTERS, SEPARATOR], exclude_categories=["Cs"]),
    min_size=1,
    max_size=6,
).filter(lambda name: name == name.strip() and not name.replace(".", "").isdecimal() and name != UNDECIDED_NAME)


def labels_of(value, **options):
    """Return the labels and the problem of a row with one cell."""
    return row_labels({"label": value}, ["label"], LabelOptions(multi_label=True, **options))


def index(labels, **options):
    """Return the names of the labels, those of each row, and the rare ones, for rows with usable texts."""
    options = LabelOptions(multi_label=True, **options)
    label_set, indicators, problems, rare = index_rows(labels, [True] * len(labels), options)
    assert label_set.multi_label and indicators.dtype == np.int8 and problems == {}
    return label_set.names, [label_set.name(row) for row in indicators], rare


def indicators_in(path, **options):
    """Return the names of the labels of a file and the labels of its rows, -1 for unusable ones."""
    labelled = read_labelled(path, label_options=LabelOptions(multi_label=True, **options))
    return labelled.label_set.names, labelled.labels.tolist(), labelled.problems


class TestCells:
    @pytest.mark.parametrize(
        ("value", "labels"),
        [
            ("动力|油耗", ["动力", "油耗"]),
            (" 动力 | 油耗 |动力||", ["动力", "油耗"]),
            ("", []),
            ("|", []),
            (None, []),
            (float("nan"), []),
            (3, ["3"]),
            ("1.0|2", ["1", "2"]),
            (["动力", "油耗 ", "动力", None, ""], ["动力", "油耗"]),
            ([1.0, 2], ["1", "2"]),
            ([], []),
        ],
    )
    def test_the_labels_of_a_cell(self, value, labels):
        assert labels_of(value) == (labels, None)

    def test_another_separator(self):
        assert labels_of("动力, 油耗", separator=",") == (["动力", "油耗"], None)
        assert labels_of("动力；；油耗；内饰", separator="；；") == (["动力", "油耗；内饰"], None)

    @pytest.mark.parametrize("value", [["a", ["b"]], [{"a": 1}], {"a": 1}])
    def test_what_is_no_list_of_labels(self, value):
        labels, problem = labels_of(value)
        assert labels == [] and problem

    def test_without_several_labels_a_list_names_the_option(self):
        assert "--multi-label" in row_labels({"label": ["a"]}, ["label"], LabelOptions())[1]
        assert row_labels({"label": "a|b"}, ["label"], LabelOptions()) == (["a|b"], None)

    @given(st.lists(NAME), st.sampled_from(["|", " | ", "||"]))
    def test_joined_names_are_read_back(self, names, joint):
        assert labels_of(joint.join(names)) == (list(dict.fromkeys(names)), None)
        assert labels_of(names) == (list(dict.fromkeys(names)), None)


class TestColumns:
    OPTIONS = LabelOptions(multi_label=True, columns=("动力", "油耗"))

    def labels_of(self, first, second):
        return row_labels({"动力": first, "油耗": second}, ["动力", "油耗"], self.OPTIONS)

    @pytest.mark.parametrize("cell", [1, 1.0, True, "1", " 1.0 ", "true", "TRUE"])
    def test_cells_that_give_the_label(self, cell):
        assert self.labels_of(cell, 0) == (["动力"], None)
        assert self.labels_of(cell, cell) == (["动力", "油耗"], None)

    @pytest.mark.parametrize("cell", [0, 0.0, False, "0", "False", "", " ", None, float("nan")])
    def test_cells_that_do_not(self, cell):
        assert self.labels_of(cell, cell) == ([], None)

    @pytest.mark.parametrize("cell", [2, -1, 0.5, "yes", [1]])
    def test_another_cell_makes_the_row_unusable(self, cell):
        labels, problem = self.labels_of(1, cell)
        assert labels == []
        assert problem == f"column '油耗' has '{cell}', which is neither 0 nor 1"


class TestLabelsOfTheData:
    def test_they_are_sorted_and_rows_may_have_none(self):
        names, labels, rare = index([["b", "a"], [], ["a", "c"], ["c", "b"]] * 3)
        assert names == ("a", "b", "c") and rare == {}
        assert labels == ["a|b", "", "a|c", "b|c"] * 3

    def test_numbers_are_sorted_as_numbers(self):
        assert index([["10", "9"]] * 3)[0] == ("9", "10")

    def test_words_for_positive_and_negative_are_labels_as_others(self):
        assert index([["1", "0"], ["1"]] * 3)[0] == ("0", "1")

    def test_a_rare_label_is_left_out_of_its_rows(self):
        names, labels, rare = index([["a", "b"]] * 3 + [["a", "x"], ["x"], ["y"]])
        assert names == ("a", "b")
        assert labels == ["a|b"] * 3 + ["a", "", ""]
        assert rare == {"x": 2, "y": 1}

    def test_rows_without_a_text_do_not_count(self):
        label_set, indicators, _, rare = index_rows([["a", "b", "c"]] * 4, [True, True, True, False], SEVERAL)
        assert label_set.names == ("a", "b", "c") and indicators[:3].tolist() == [[1, 1, 1]] * 3
        with pytest.raises(InputError, match=r"fewer than two labels have 3 rows; the labels are 'a' \(2\), 'b' \(2\)"):
            index_rows([["a", "b"]] * 3, [True, True, False], SEVERAL)

    def test_named_labels_keep_their_order_and_rows_lose_others(self):
        names, labels, rare = index([["a", "b", "c"], ["c"]], names=("b", "a"))
        assert (names, labels, rare) == (("b", "a"), ["b|a", ""], {})
        with pytest.raises(InputError, match="no row has the label 'd'"):
            index([["a", "b"]], names=("a", "d"))

    def test_a_map_renames_merges_and_leaves_out_single_labels(self):
        names, labels, _ = index([["a", "b", "c"], ["b", "d"]] * 3, new_labels={"a": "x", "b": "x", "c": ""})
        assert (names, labels) == (("d", "x"), ["x", "d|x"] * 3)

    def test_a_label_that_contains_the_separator_of_answers(self):
        with pytest.raises(InputError, match="'a|b' contains '|', which separates labels; rename it with --label-map"):
            index([["a|b", "c"]] * 3)

    @given(st.lists(st.lists(NAME, max_size=4), min_size=1, max_size=8))
    def test_every_row_keeps_its_frequent_labels(self, rows):
        rows = rows * 3
        known = {name for row in rows for name in row}
        if len(known) < 2:
            return
        label_set, indicators, _, rare = index_rows(rows, [True] * len(rows), SEVERAL)
        assert set(label_set.names) == known and rare == {}
        for row, names in zip(indicators, rows, strict=True):
            assert {name for name, has in zip(label_set.names, row, strict=True) if has} == set(names)


class TestOneLabel:
    def test_a_column_without_any_1_is_named(self):
        options = LabelOptions(multi_label=True, columns=("a", "z", "b"))
        label_set, _, _, rare = index_rows([["a"], ["b"]] * 3, [True] * 6, options)
        assert label_set.names == ("a", "b") and rare == {"z": 0}

    def test_rare_labels_are_counted(self):
        rows = [["a"], ["b"]] * 3 + [["c"], ["c"], []]
        label_set, indices, problems, rare = index_rows(rows, [True] * 9, LabelOptions())
        assert label_set.names == ("a", "b") and indices[-3:].tolist() == [-1, -1, -1]
        assert list(problems) == [6, 7, 8] and rare == {"c": 2}

    def test_not_where_labels_are_named_or_positive_and_negative(self):
        rows = [["1"], ["0"]] * 3 + [["c"]]
        assert index_rows(rows, [True] * 7, LabelOptions())[3] == {}
        assert index_rows(rows, [True] * 7, LabelOptions(names=("0", "1")))[3] == {}


class TestFiles:
    ROWS = [("a", ["动力", "油耗"]), ("b", []), ("c", ["油耗"]), ("d", ["内饰", "动力"])] * 3
    EXPECTED = [[0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 1, 0]] * 3

    def test_a_cell_of_a_csv_file(self, tmp_path):
        lines = [f"{text},{'|'.join(labels)}" for text, labels in self.ROWS]
        (tmp_path / "a.csv").write_text("\n".join(["text,labels", *lines, ",动力"]), encoding="utf-8")
        assert indicators_in(tmp_path / "a.csv") == (
            ("内饰", "动力", "油耗"),
            [*self.EXPECTED, [-1, -1, -1]],
            {12: "row 14: the text is empty"},
        )

    def test_columns_of_a_csv_file(self, tmp_path):
        lines = [
            f"{text},{','.join(str(int(name in labels)) for name in ('油耗', '内饰', '动力'))}"
            for text, labels in self.ROWS
        ]
        (tmp_path / "a.csv").write_text("\n".join(["text,油耗,内饰,动力", *lines, "e,1,x,0"]), encoding="utf-8")
        columns = ("动力", "油耗", "内饰")
        names, labels, problems = indicators_in(tmp_path / "a.csv", columns=columns)
        in_order_of_columns = [[row[1], row[2], row[0]] for row in self.EXPECTED]
        assert (names, labels) == (columns, [*in_order_of_columns, [-1, -1, -1]])
        assert problems == {12: "row 14: column '内饰' has 'x', which is neither 0 nor 1"}
        with pytest.raises(InputError, match="no column '外观'; its columns are .*; name one with --label-columns"):
            indicators_in(tmp_path / "a.csv", columns=("动力", "外观"))

    def test_lists_of_a_json_lines_file(self, tmp_path):
        lines = [
            json.dumps({"text": text, "labels": labels} if labels else {"text": text}) for text, labels in self.ROWS
        ]
        (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
        assert indicators_in(tmp_path / "a.jsonl")[1] == self.EXPECTED

    def test_lists_of_a_parquet_file_and_of_a_saved_folder(self, tmp_path):
        columns = {"text": [text for text, _ in self.ROWS], "labels": [labels for _, labels in self.ROWS]}
        parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
        datasets.Dataset.from_dict(columns).save_to_disk(tmp_path / "folder")
        for name in ("a.parquet", "folder"):
            assert indicators_in(tmp_path / name)[1] == self.EXPECTED

    def test_the_hash_covers_the_labels_and_that_there_are_several(self, tmp_path):
        rows = "a,甲\nb,乙\nc,\n" * 3
        (tmp_path / "a.csv").write_text("text,label\n" + rows, encoding="utf-8")
        (tmp_path / "b.csv").write_text("text,label\n" + rows.replace("c,", "c,甲"), encoding="utf-8")
        hashes = {
            read_labelled(tmp_path / name, label_options=LabelOptions(multi_label=multi_label)).sha256
            for name in ("a.csv", "b.csv")
            for multi_label in (False, True)
        }
        assert len(hashes) == 4
