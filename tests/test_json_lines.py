"""JSON Lines files: damage, the fields of a file, and reading back what was written."""

import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import AWKWARD, rows_of, write, written

from text.sources import read_labelled

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


class TestDamage:
    def test_lines_that_are_not_objects_are_problems(self, tmp_path):
        lines = [
            '{"text": "好", "label": 1}',
            "",
            "[1]",
            "{",
            "[" * 100_000,
            '{"label": 0}',
            '{"text": 5, "label": 0}',
        ]
        labelled = read_labelled(write(tmp_path / "a.jsonl", "\n".join(lines)))
        assert labelled.problems[1] == "row 3: not a JSON object"
        assert labelled.problems[2].startswith("row 4: not JSON")
        assert labelled.problems[3].startswith("row 5: not JSON")
        assert labelled.problems[4] == "row 6: the row has no column 'text'"
        assert labelled.problems[5] == "row 7: the text is not a string"

    def test_a_field_that_occurs_twice_is_a_problem(self, tmp_path):
        lines = ['{"text": "好", "n": 1, "text": "坏"}', '{"text": "好", "n": {"a": 1, "a": 2}}', '{"text": "好"}']
        _, rows = rows_of(write(tmp_path / "a.jsonl", "\n".join(lines)))
        assert [row.problem for row in rows] == [
            "the field 'text' occurs twice in an object",
            "the field 'a' occurs twice in an object",
            None,
        ]
        assert rows[0].values == {"text": "坏", "n": 1}

    def test_half_of_a_surrogate_pair_is_a_problem(self, tmp_path):
        content = '{"text": "\\ud83d", "label": 1}\n{"text": "\\ud83d\\ude00", "label": 1}'
        labelled = read_labelled(write(tmp_path / "a.jsonl", content))
        assert labelled.problems == {0: "row 1: the text is not valid Unicode"}
        assert labelled.texts[1] == "😀"


class TestLossless:
    def test_all_lines_are_read_to_find_the_columns(self, tmp_path):
        content = "\n" * 200 + '{"text": "好"}\n' * 200 + '{"late": 1}\n{\n'
        columns, rows = rows_of(write(tmp_path / "a.jsonl", content))
        assert columns == ["text", "late"]
        assert [row.number for row in rows] == list(range(1, 403))
        assert rows[0] == (1, {}, "the line is empty")

    def test_json_too_deep_to_be_written_is_a_problem(self, tmp_path):
        lines = ['{"a": ' + "[" * depth + "]" * depth + "}" for depth in (99, 100)]
        lines.append('{"a": "' + "[" * 500 + '"}')
        rows = rows_of(write(tmp_path / "a.jsonl", "\n".join(lines)))[1]
        assert [row.problem for row in rows] == [None, "JSON with more than 100 levels", None]


any_fields = given(
    row=st.dictionaries(
        ANY_TEXT, st.recursive(st.none() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3))
    )
)


class TestWriting:
    def test_fields_are_written_unchanged(self):
        rows = [{"text": text, "other": {"a": [1, None, True]}} for text in AWKWARD]
        content = written("jsonl", rows, ["text", "other"])
        assert content.count(b"\n") == len(rows)
        assert [json.loads(line) for line in content.decode().split("\n")[:-1]] == rows

    def test_a_field_that_a_row_lacks_is_not_written(self):
        assert written("jsonl", [{"text": "好"}, {}], ["text", "other"]).decode() == '{"text": "好"}\n{}\n'

    def test_values_that_json_lacks_become_null_or_strings(self):
        row = {"text": "好\ud83d", "nan": float("nan"), "in": {"a": [float("inf")]}, "map": [("a", float("nan"))]}
        row["map"].append(("b", datetime.date(2024, 5, 6)))
        line = written("jsonl", [row], list(row)).decode("utf-8")
        assert "好" in line and "NaN" not in line and "Infinity" not in line
        assert json.loads(line) == {
            "text": "好\ud83d",
            "nan": None,
            "in": {"a": [None]},
            "map": [["a", None], ["b", "2024-05-06"]],
        }

    @settings(max_examples=50)
    @any_fields
    def test_any_fields_are_read_back(self, row):
        self.check_fields(row)

    @pytest.mark.slow
    @settings(max_examples=200)
    @any_fields
    def test_the_fields_of_hundreds_of_rows_are_read_back(self, row):
        self.check_fields(row)

    def check_fields(self, row):
        # A surrogate pair in two halves, which no reader returns, is one character after it is read.
        expected = json.loads(json.dumps(row))
        assert json.loads(written("jsonl", [row], list(row)).decode("utf-8")) == expected
