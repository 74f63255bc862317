"""CSV and TSV files: damaged ones, quotation marks of all kinds, and what is written is read back."""

import csv
import datetime
import decimal
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_files import AWKWARD, csv_of, labelled_rows, rows_of, write, written

from system.errors import InputError
from text.sources import read_labelled
from text.tables import delimited as tables
from text.tables import kinds
from text.tables.rows import as_text


def read_csv(content, delimiter=","):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=delimiter))


class TestDamage:
    def test_unclosed_quote_costs_its_own_row_only(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,label\n好,1\n"没有结束,1\n' + "坏,0\n" * 5000)
        labelled = read_labelled(path)
        assert len(labelled.texts) == 5002
        assert labelled.problems == {1: "row 3: a quotation mark opens here that nothing closes"}
        assert (labelled.labels == 0).sum() == 5000

    def test_unclosed_quote_ends_where_the_next_one_opens(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,label\n"没有结束,1\n坏,0\n"好,\n真好",1\n')
        labelled = read_labelled(path)
        assert labelled.texts == ["", "坏", "好,\n真好"]
        assert labelled.problems == {0: "row 2: a quotation mark opens here that nothing closes"}

    def test_unclosed_quote_in_the_last_row(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", 'text,label\n好,1\n"坏,0'))
        assert labelled.problems == {1: "row 3: a quotation mark opens here that nothing closes"}

    def test_text_after_a_closing_quote(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", 'text,label\n"好"的,1\n坏,0\n'))
        assert labelled.texts == ["", "坏"]
        assert labelled.problems[0].startswith("row 2: not valid CSV")

    def test_lines_are_not_read_again_without_end(self, tmp_path):
        # Each line opens a quotation mark, whether read within one or not: without a bound, quadratic time.
        labelled = read_labelled(write(tmp_path / "a.csv", "text,label\n好,1\n" + '",a",b"c,"\n' * 5000))
        assert labelled.usable.sum() == 1
        assert "lines after it could not be read" in labelled.problems[len(labelled.texts) - 1]

    def test_wrong_number_of_columns(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", "text,label\n好,1\n贵,但是好,1\n坏\n"))
        assert labelled.problems == {
            1: "row 3: 3 columns where the first row has 2",
            2: "row 4: 1 columns where the first row has 2",
        }

    def test_large_fields(self, tmp_path):
        fits = "好" * (tables.MAX_FIELD_CHARACTERS - 1)
        labelled = read_labelled(write(tmp_path / "a.csv", f"text,label\n{fits},1\n{fits}好好,1\n坏,0\n"))
        assert labelled.texts[0] == fits
        assert list(labelled.problems) == [1]
        assert "field larger than field limit" in labelled.problems[1]

    def test_blank_lines_are_counted_but_are_no_rows(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", "\ntext,label\n\n好,1\n\n坏,\n"))
        assert labelled.texts == ["好", "坏"]
        assert labelled.problems == {1: "row 6: no label"}


class TestTsvQuotes:
    def test_quotes_are_ordinary_characters(self, tmp_path):
        content = 'label\ttext\n1\t"开头有引号\n0\t"全部在引号里"\n1\t他说""好""\n'
        labelled = read_labelled(write(tmp_path / "a.tsv", content))
        assert labelled.texts == ['"开头有引号', '"全部在引号里"', '他说""好""']

    def test_a_field_that_a_csv_writer_quoted(self, tmp_path):
        texts = ['他说"好"', '"好"', '"']
        content = csv_of([("text", "label"), *labelled_rows(texts)], delimiter="\t")
        assert read_labelled(write(tmp_path / "a.tsv", content)).texts == texts

    def test_a_tab_is_a_problem_unless_it_is_quoted(self, tmp_path):
        content = csv_of([("text", "label"), ("好", 1), ("有\t制表符", 1)], delimiter="\t")
        labelled = read_labelled(write(tmp_path / "a.tsv", content))
        assert (labelled.texts, labelled.problems) == (["好", "有\t制表符"], {})
        labelled = read_labelled(write(tmp_path / "b.tsv", content.replace('"', "")))
        assert labelled.problems == {1: "row 3: 3 columns where the first row has 2"}


class TestLossless:
    def test_blank_lines_are_rows_after_the_header(self, tmp_path):
        path = write(tmp_path / "a.csv", "\n\ntext,n\n\n好,1\n\n")
        columns, rows = rows_of(path)
        assert columns == ["text", "n"]
        assert rows == [
            (4, {}, "the line is empty"),
            (5, {"text": "好", "n": "1"}, None),
            (6, {}, "the line is empty"),
        ]
        assert len(list(kinds.open_table(Path(path)).rows)) == 1

    @pytest.mark.parametrize(("name", "end"), [("a.tsv", "\t1"), ("a.csv", ",1")])
    def test_returns_alone_end_lines(self, tmp_path, name, end):
        path = write(tmp_path / name, f"text{end}\r好{end}\r\r坏{end}")
        assert [(row.number, row.values.get("text")) for row in rows_of(path)[1]] == [(2, "好"), (3, None), (4, "坏")]

    def test_a_problem_keeps_what_can_be_told(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,n\n"没有结束,1\n一\n一,二,三\n')
        assert rows_of(path)[1] == [
            (2, {"text": '"没有结束,1'}, tables.UNCLOSED_QUOTE),
            (3, {"text": "一"}, "1 columns where the first row has 2"),
            (4, {"text": "一", "n": "二,三"}, "3 columns where the first row has 2"),
        ]
        path = write(tmp_path / "a.tsv", "text\tn\n一\t二\t三\n")
        assert rows_of(path)[1] == [(2, {"text": "一", "n": "二\t三"}, "3 columns where the first row has 2")]

    def test_lines_that_are_not_read_again_are_rows_all_the_same(self, tmp_path):
        lines = ['",a",b"c,"'] * 5000
        _, rows = rows_of(write(tmp_path / "a.csv", "\n".join(["text,label", *lines])))
        assert len(rows) == 5000
        assert {row.values["text"] for row in rows} == {lines[0]}
        assert any(row.problem.startswith("in a row above") for row in rows)

    def test_undecodable_bytes_are_kept(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes("text,n\n好".encode() + b"\xff,1\n")
        assert rows_of(path)[1] == [(2, {"text": "好\\xff", "n": "1"}, None)]
        with pytest.raises(InputError, match="byte 10 cannot be decoded"):
            kinds.open_table(path)

    def test_a_kind_that_the_name_does_not_tell(self, tmp_path):
        assert rows_of(write(tmp_path / "a", "text\tn\n好\t1\n"), kind="tsv")[0] == ["text", "n"]


class TestWriting:
    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    def test_any_csv_reader_reads_awkward_texts_back(self, kind):
        rows = read_csv(written(kind, [{"text": text} for text in AWKWARD]), "," if kind == "csv" else "\t")
        assert [row["text"] for row in rows] == AWKWARD

    @settings(deadline=None, max_examples=200)
    @given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
    def test_any_text(self, texts):
        assert [row["text"] for row in read_csv(written("csv", [{"text": text} for text in texts]))] == texts

    def test_header_and_missing_values(self):
        rows = [{"text": "好", "label": "正面"}, {"problem": "row 3: no"}]
        assert written("csv", rows).decode() == (
            "text,label,probability,confidence,problem\n好,正面,,,\n,,,,row 3: no\n"
        )

    def test_mark_of_spreadsheets_stands_once_and_in_csv_alone(self):
        rows = [{"text": "好"}, {"text": "坏"}]
        content = written("csv", rows, byte_order_mark=True)
        assert content.startswith(b"\xef\xbb\xbftext") and content.count(b"\xef\xbb\xbf") == 1
        assert b"\xef\xbb\xbf" not in written("tsv", rows, byte_order_mark=True)

    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            (None, ""),
            (5, "5"),
            (True, "true"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            ([1, {"好": None}], '[1, {"好": null}]'),
            ({"a": float("nan"), "好": "x"}, '{"a": null, "好": "x"}'),
            (datetime.datetime(2024, 5, 6, 7, 8), "2024-05-06 07:08:00"),
            ([datetime.date(2024, 5, 6)], '["2024-05-06"]'),
            (decimal.Decimal("1.10"), "1.10"),
            (b"\xff", "b'\\xff'"),
        ],
    )
    def test_what_is_no_text(self, value, cell):
        assert as_text(value) == cell
        assert read_csv(written("csv", [{"text": value}]))[0]["text"] == cell
