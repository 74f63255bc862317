"""CSV and TSV files: damage, quotation marks of all kinds, and reading back what was written."""

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
from text.tables import delimited, kinds
from text.tables.delimited import DelimitedFormat
from text.tables.input import limits
from text.tables.rows import as_text


def read_csv(content, delimiter=","):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=delimiter))


class TestDamage:
    def test_an_unclosed_quote_costs_its_own_row_only(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,label\n好,1\n"没有结束,1\n' + "坏,0\n" * 5000)
        labelled = read_labelled(path)
        assert len(labelled.texts) == 5002
        assert labelled.problems == {1: "row 3: a quotation mark is never closed"}
        assert (labelled.labels == 0).sum() == 5000

    def test_an_unclosed_quote_ends_where_the_next_one_opens(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,label\n"没有结束,1\n坏,0\n"好,\n真好",1\n')
        labelled = read_labelled(path)
        assert labelled.texts == ["", "坏", "好,\n真好"]
        assert labelled.problems == {0: "row 2: a quotation mark is never closed"}

    def test_an_unclosed_quote_in_the_last_row_is_a_problem(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", 'text,label\n好,1\n"坏,0'))
        assert labelled.problems == {1: "row 3: a quotation mark is never closed"}

    def test_text_after_a_closing_quote_is_a_problem(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", 'text,label\n"好"的,1\n坏,0\n'))
        assert labelled.texts == ["", "坏"]
        assert labelled.problems[0].startswith("row 2: not valid CSV")

    def test_lines_are_not_read_again_without_end(self, tmp_path):
        # Each line opens a quotation mark, whether read within one or not: without a bound, quadratic time.
        labelled = read_labelled(write(tmp_path / "a.csv", "text,label\n好,1\n" + '",a",b"c,"\n' * 5000))
        assert labelled.usable.sum() == 1
        assert "lines after it could not be read" in labelled.problems[len(labelled.texts) - 1]

    def test_a_wrong_number_of_columns_is_a_problem(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", "text,label\n好,1\n贵,但是好,1\n坏\n"))
        assert labelled.problems == {
            1: "row 3: the row has 3 columns but the header has 2",
            2: "row 4: the row has 1 column but the header has 2",
        }

    def test_a_field_beyond_the_limit_is_a_problem(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "MAX_ROW_CHARACTERS", 10_000)
        fits = "好" * (limits.MAX_ROW_CHARACTERS - 3)
        labelled = read_labelled(write(tmp_path / "a.csv", f"text,label\n{fits},1\n{fits}好好,1\n坏,0\n"))
        assert labelled.texts[0] == fits
        assert list(labelled.problems) == [1]
        assert "the row has more than 10,000 characters" in labelled.problems[1]

    def test_blank_lines_are_counted_but_are_not_rows(self, tmp_path):
        labelled = read_labelled(write(tmp_path / "a.csv", "\ntext,label\n\n好,1\n\n坏,\n"))
        assert labelled.texts == ["好", "坏"]
        assert labelled.problems == {1: "row 6: no label"}


class TestTsvQuotes:
    def test_quotes_are_ordinary_characters(self, tmp_path):
        content = 'label\ttext\n1\t"开头有引号\n0\t"全部在引号里"\n1\t他说""好""\n'
        labelled = read_labelled(write(tmp_path / "a.tsv", content))
        assert labelled.texts == ['"开头有引号', '"全部在引号里"', '他说""好""']

    def test_the_quotes_of_a_csv_writer_are_removed(self, tmp_path):
        texts = ['他说"好"', '"好"', '"']
        content = csv_of([("text", "label"), *labelled_rows(texts)], delimiter="\t")
        assert read_labelled(write(tmp_path / "a.tsv", content)).texts == texts

    def test_a_tab_is_a_problem_unless_it_is_quoted(self, tmp_path):
        content = csv_of([("text", "label"), ("好", 1), ("有\t制表符", 1)], delimiter="\t")
        labelled = read_labelled(write(tmp_path / "a.tsv", content))
        assert (labelled.texts, labelled.problems) == (["好", "有\t制表符"], {})
        labelled = read_labelled(write(tmp_path / "b.tsv", content.replace('"', "")))
        assert labelled.problems == {1: "row 3: the row has 3 columns but the header has 2"}


CELLS = st.text(st.sampled_from('"\t\n\r好1,') | st.characters(exclude_categories=["Cs"]), max_size=12)
REVIEWS = st.text(st.sampled_from('"好坏,'), max_size=8)


@st.composite
def tables(draw):
    """Draw column names and rows, at least two columns wide."""
    columns = draw(st.lists(CELLS.filter(bool), min_size=2, max_size=5, unique=True))
    width = len(columns)
    return columns, draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8))


any_table = given(table=tables(), lossless=st.booleans())


class TestTsvOfOurOwn:
    def write(self, path, columns, rows):
        file_format = DelimitedFormat(columns, "\t")
        named = [dict(zip(columns, row, strict=True)) for row in rows]
        path.write_bytes(file_format.encode(named[:1], True) + file_format.encode(named[1:], False))

    @settings(max_examples=200)
    @any_table
    def test_any_table_is_read_back(self, tmp_path_factory, table, lossless):
        self.check_table(tmp_path_factory, table, lossless)

    @pytest.mark.slow
    @settings(max_examples=1000)
    @any_table
    def test_a_thousand_tables_are_read_back(self, tmp_path_factory, table, lossless):
        self.check_table(tmp_path_factory, table, lossless)

    def check_table(self, tmp_path_factory, table, lossless):
        path = tmp_path_factory.getbasetemp() / "own.tsv"
        columns, rows = table
        self.write(path, columns, rows)
        found = kinds.open_table(path, lossless=lossless)
        assert found.columns == columns
        assert [(list(row.values.values()), row.problem) for row in found.rows] == [(row, None) for row in rows]

    @pytest.mark.parametrize(
        "text", ["a\tb\nc", "a\nb\tc", '"\t"\n"', "a\rb", "a\r\n\tb", "\t\n" * 9, '1\t"2"\n"3"\t4']
    )
    def test_lines_with_the_right_number_of_columns_by_chance_are_one_record(self, tmp_path, text):
        rows = [["好", "1"], [text, "2"], ["坏", "3"]]
        self.write(tmp_path / "a.tsv", ["text", "n"], rows)
        assert [list(row.values.values()) for row in kinds.open_table(tmp_path / "a.tsv").rows] == rows

    def test_a_text_of_thousands_of_lines_is_read_back(self, tmp_path):
        rows = [["一行\n" * 5000, "1"], ["坏", "0"]]
        self.write(tmp_path / "a.tsv", ["text", "n"], rows)
        assert [list(row.values.values()) for row in kinds.open_table(tmp_path / "a.tsv").rows] == rows

    def test_a_file_of_another_csv_writer_is_read(self, tmp_path):
        texts = ["一\n二", "有\t制表符", "三\r\n\r\n四", '他说"好"\n"坏"', "五"]
        content = csv_of([("text", "label"), *labelled_rows(texts)], delimiter="\t")
        assert read_labelled(write(tmp_path / "a.tsv", content)).texts == texts


any_reviews = given(
    reviews=st.lists(REVIEWS, min_size=1, max_size=10), label_first=st.booleans(), lossless=st.booleans()
)
any_content = given(content=st.text(st.sampled_from('"\t\n\r1好'), max_size=40))


class TestTsvOfReviews:
    """Files that no CSV writer wrote: a line is a row."""

    @settings(max_examples=200)
    @any_reviews
    def test_lines_with_the_right_number_of_columns_are_never_joined(
        self, tmp_path_factory, reviews, label_first, lossless
    ):
        self.check_reviews(tmp_path_factory, reviews, label_first, lossless)

    @pytest.mark.slow
    @settings(max_examples=1000)
    @any_reviews
    def test_in_a_thousand_files_no_lines_are_joined(self, tmp_path_factory, reviews, label_first, lossless):
        self.check_reviews(tmp_path_factory, reviews, label_first, lossless)

    def check_reviews(self, tmp_path_factory, reviews, label_first, lossless):
        path = tmp_path_factory.getbasetemp() / "reviews.tsv"
        cells = [["1", text] if label_first else [text, "1"] for text in reviews]
        header = "label\ttext\n" if label_first else "text\tlabel\n"
        path.write_text(header + "".join("\t".join(row) + "\n" for row in cells), encoding="utf-8")
        rows = list(kinds.open_table(path, lossless=lossless).rows)
        assert [row.number for row in rows] == list(range(2, len(reviews) + 2))
        assert [row.values["label"] for row in rows] == ["1"] * len(reviews)
        assert [row.values["text"] for row in rows] == [without_csv_quotes(text) for text in reviews]

    @settings(max_examples=200)
    @any_content
    def test_no_character_of_a_file_is_lost(self, tmp_path_factory, content):
        self.check_characters(tmp_path_factory, content)

    @pytest.mark.slow
    @settings(max_examples=500)
    @any_content
    def test_no_character_of_hundreds_of_files_is_lost(self, tmp_path_factory, content):
        self.check_characters(tmp_path_factory, content)

    def check_characters(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "any.tsv"
        path.write_text("text\tn\n" + content + "\n", encoding="utf-8", newline="")
        found = "".join("".join(row.values.values()) for row in kinds.open_table(path, lossless=True).rows)
        for character in "1好":
            assert found.count(character) == content.count(character)

    def test_a_row_of_one_column_is_not_joined(self, tmp_path):
        path = write(tmp_path / "a.tsv", 'text\n"一\n二"\n')
        assert [row.values["text"] for row in kinds.open_table(Path(path)).rows] == ['"一', '二"']

    def test_a_damaged_line_does_not_swallow_others(self, tmp_path):
        lines = ["text\tlabel", '"没有标签', "好\t1", '他说"好"\t0', "坏\t0"]
        labelled = read_labelled(write(tmp_path / "a.tsv", "\n".join(lines)))
        assert labelled.texts == ["", "好", '他说"好"', "坏"]
        assert labelled.problems == {0: "row 2: the row has 1 column but the header has 2"}

    def test_time_and_memory_are_bounded(self, tmp_path):
        # Each line opens a quotation mark that is never closed: without a bound, quadratic time.
        path = write(tmp_path / "a.tsv", "text\tlabel\n" + '"a\n' * 50_000)
        assert sum(1 for _ in kinds.open_table(Path(path), lossless=True).rows) == 50_000


def without_csv_quotes(text):
    """Return a field of a TSV file without its outer quotation marks if it has doubled ones inside."""
    inner = text[1:-1]
    is_quoted = len(text) > 2 and text[0] == text[-1] == '"' and '""' in inner and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if is_quoted else text


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
    def test_carriage_returns_alone_end_lines(self, tmp_path, name, end):
        path = write(tmp_path / name, f"text{end}\r好{end}\r\r坏{end}")
        assert [(row.number, row.values.get("text")) for row in rows_of(path)[1]] == [(2, "好"), (3, None), (4, "坏")]

    def test_a_damaged_row_keeps_the_values_that_could_be_read(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,n\n"没有结束,1\n一\n一,二,三\n')
        assert rows_of(path)[1] == [
            (2, {"text": '"没有结束,1'}, delimited.UNCLOSED_QUOTE),
            (3, {"text": "一"}, "the row has 1 column but the header has 2"),
            (4, {"text": "一", "n": "二,三"}, "the row has 3 columns but the header has 2"),
        ]
        path = write(tmp_path / "a.tsv", "text\tn\n一\t二\t三\n")
        assert rows_of(path)[1] == [(2, {"text": "一", "n": "二\t三"}, "the row has 3 columns but the header has 2")]

    def test_lines_that_are_not_read_again_are_still_rows(self, tmp_path):
        lines = ['",a",b"c,"'] * 5000
        _, rows = rows_of(write(tmp_path / "a.csv", "\n".join(["text,label", *lines])))
        assert len(rows) == 5000
        assert {row.values["text"] for row in rows} == {lines[0]}
        assert any(row.problem.endswith("in an earlier row") for row in rows)

    def test_undecodable_bytes_are_kept(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes("text,n\n好".encode() + b"\xff,1\n")
        assert rows_of(path)[1] == [(2, {"text": "好\\xff", "n": "1"}, None)]
        with pytest.raises(InputError, match="byte 10 cannot be decoded"):
            kinds.open_table(path)

    def test_a_given_kind_needs_no_suffix(self, tmp_path):
        assert rows_of(write(tmp_path / "a", "text\tn\n好\t1\n"), kind="tsv")[0] == ["text", "n"]


any_texts = given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))


class TestWriting:
    @pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("tsv", "\t")])
    def test_any_csv_reader_reads_awkward_texts_back(self, kind, delimiter):
        rows = read_csv(written(kind, [{"text": text} for text in AWKWARD]), delimiter)
        assert [row["text"] for row in rows] == AWKWARD

    @settings(max_examples=100)
    @any_texts
    def test_any_text_is_read_back(self, texts):
        self.check_texts(texts)

    @pytest.mark.slow
    @settings(max_examples=200)
    @any_texts
    def test_hundreds_of_texts_are_read_back(self, texts):
        self.check_texts(texts)

    def check_texts(self, texts):
        assert [row["text"] for row in read_csv(written("csv", [{"text": text} for text in texts]))] == texts

    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    def test_on_demand_no_text_is_a_formula(self, kind):
        texts = ["=1+1", "+a", "-1+2", "@a", "\tb", "\rc", "\nd", "-5", "+0.25", "a=b", "", " =1", "'", "好"]
        rows = [{"text": text, "=a": -1, "probability": -0.5, "confidence": None} for text in texts]
        content = written(kind, rows, ("text", "=a"), csv_safe=True).decode()
        delimiter = "," if kind == "csv" else "\t"
        header, *cells = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
        assert header[:2] == ["text", "'=a"]
        assert [row[0] for row in cells] == [f"'{text}" for text in texts[:7]] + texts[7:]
        assert {tuple(row[1:]) for row in cells} == {("-1", "", "-0.5", "", "")}
        assert b"'=1" not in written(kind, rows, ("text", "=a"))

    def test_missing_values_are_empty_cells(self):
        rows = [{"text": "好", "label": "正面"}, {"problem": "row 3: no"}]
        assert written("csv", rows).decode() == (
            "text,label,probability,confidence,problem\n好,正面,,,\n,,,,row 3: no\n"
        )

    def test_the_byte_order_mark_is_written_once_and_only_in_csv(self):
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
    def test_a_value_that_is_not_text_is_written_as_text(self, value, cell):
        assert as_text(value) == cell
        assert read_csv(written("csv", [{"text": value}]))[0]["text"] == cell
