"""Table files of every kind and encoding, damaged ones included, as the readers see them."""

import contextlib
import csv
import io
import itertools
import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from system.errors import InputError
from text.sources import iter_texts, read_labelled
from text.tables import delimited as tables
from text.tables import kinds, plain_text
from text.tables.rows import unique_names

TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=8)
LINES = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters='\t\n\r"'), max_size=30),
    min_size=1,
    max_size=8,
)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return str(path)


def csv_of(rows, **options):
    buffer = io.StringIO()
    csv.writer(buffer, **options).writerows(rows)
    return buffer.getvalue()


def labelled_rows(texts):
    return [(text, index % 2) for index, text in enumerate(texts)]


def check_read_back(path, texts):
    """Every text is read back equal, and every row is either usable or a problem."""
    if not any(text.strip() for text in texts):
        with pytest.raises(InputError, match="has no row that can be used"):
            read_labelled(path)
        return
    labelled = read_labelled(path)
    assert labelled.texts == texts
    assert labelled.usable.sum() + len(labelled.problems) == len(texts)
    for index, text in enumerate(texts):
        assert labelled.labels[index] == (index % 2 if text.strip() else -1)


class TestRoundTrips:
    @QUICK
    @given(texts=TEXTS, encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "gb18030"]))
    def test_csv(self, tmp_path, texts, encoding):
        content = csv_of([("text", "label"), *labelled_rows(texts)])
        assume(encoding != "gb18030" or not is_utf8(content.encode("gb18030")))
        check_read_back(write(tmp_path / "a.csv", content, encoding), texts)

    @QUICK
    @given(texts=LINES, encoding=st.sampled_from(["utf-8", "utf-8-sig"]))
    def test_tsv(self, tmp_path, texts, encoding):
        lines = ["text\tlabel", *(f"{text}\t{label}" for text, label in labelled_rows(texts))]
        check_read_back(write(tmp_path / "a.tsv", "\n".join(lines), encoding), texts)

    @QUICK
    @given(texts=TEXTS, ascii_only=st.booleans())
    def test_jsonl(self, tmp_path, texts, ascii_only):
        objects = [{"text": text, "label": label} for text, label in labelled_rows(texts)]
        content = "\n".join(json.dumps(each, ensure_ascii=ascii_only) for each in objects)
        check_read_back(write(tmp_path / "a.jsonl", content), texts)

    @QUICK
    @given(texts=TEXTS)
    def test_parquet(self, tmp_path, texts):
        table = pyarrow.table({"text": texts, "label": [label for _, label in labelled_rows(texts)]})
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        check_read_back(tmp_path / "a.parquet", texts)


def is_utf8(content):
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


class TestDamage:
    @settings(QUICK, max_examples=200)
    @given(
        content=st.one_of(st.binary(max_size=300), st.text('ab,"\t\n\r{}:1 \0', max_size=80).map(str.encode)),
        header=st.sampled_from([b"", b"text,label\n", b"text\tlabel\n", b'{"text": "a", "label": 1}\n', b"PAR1"]),
        suffix=st.sampled_from(kinds.TABLE_SUFFIXES),
    )
    def test_random_bytes_never_raise_anything_but_input_errors(self, tmp_path, content, header, suffix):
        path = tmp_path / f"random{suffix}"
        path.write_bytes(header + content)
        for read in (read_labelled, lambda source: list(iter_texts([source]))):
            try:
                read(path)
            except InputError as error:
                assert str(path) in str(error)

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

    def test_json_lines_that_are_no_objects(self, tmp_path):
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
        assert labelled.problems[4] == "row 6: the text is empty"
        assert labelled.problems[5] == "row 7: the text is not a string"

    def test_half_a_surrogate_pair(self, tmp_path):
        content = '{"text": "\\ud83d", "label": 1}\n{"text": "\\ud83d\\ude00", "label": 1}'
        labelled = read_labelled(write(tmp_path / "a.jsonl", content))
        assert labelled.problems == {0: "row 1: the text is not valid Unicode"}
        assert labelled.texts[1] == "😀"

    def test_truncated_parquet(self, tmp_path):
        path = tmp_path / "a.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": ["好"], "label": [1]}), path)
        path.write_bytes(path.read_bytes()[:-10])
        with pytest.raises(InputError, match="cannot read .*a.parquet as Parquet"):
            read_labelled(path)

    def test_no_damaged_byte_of_parquet_loses_a_row_without_a_word(self, tmp_path):
        path = tmp_path / "a.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": ["好", "坏"], "n": [1, 2]}), path)
        content = path.read_bytes()
        for position, value in itertools.product(range(len(content)), (0, 1, 255)):
            path.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            with contextlib.suppress(InputError):
                table = kinds.open_table(path)
                assert len(list(table.rows)) == pyarrow.parquet.read_metadata(path).num_rows


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
    def rows(self, path, **options):
        table = kinds.open_table(Path(path), lossless=True, **options)
        return table.columns, list(table.rows)

    def test_blank_lines_are_rows_after_the_header(self, tmp_path):
        path = write(tmp_path / "a.csv", "\n\ntext,n\n\n好,1\n\n")
        columns, rows = self.rows(path)
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
        assert [(row.number, row.values.get("text")) for row in self.rows(path)[1]] == [(2, "好"), (3, None), (4, "坏")]

    def test_a_problem_keeps_what_can_be_told(self, tmp_path):
        path = write(tmp_path / "a.csv", 'text,n\n"没有结束,1\n一\n一,二,三\n')
        assert self.rows(path)[1] == [
            (2, {"text": '"没有结束,1'}, tables.UNCLOSED_QUOTE),
            (3, {"text": "一"}, "1 columns where the first row has 2"),
            (4, {"text": "一", "n": "二,三"}, "3 columns where the first row has 2"),
        ]
        path = write(tmp_path / "a.tsv", "text\tn\n一\t二\t三\n")
        assert self.rows(path)[1] == [(2, {"text": "一", "n": "二\t三"}, "3 columns where the first row has 2")]

    def test_lines_that_are_not_read_again_are_rows_all_the_same(self, tmp_path):
        lines = ['",a",b"c,"'] * 5000
        _, rows = self.rows(write(tmp_path / "a.csv", "\n".join(["text,label", *lines])))
        assert len(rows) == 5000
        assert {row.values["text"] for row in rows} == {lines[0]}
        assert any(row.problem.startswith("in a row above") for row in rows)

    def test_all_json_lines_are_looked_at_for_columns(self, tmp_path):
        content = "\n" * 200 + '{"text": "好"}\n' * 200 + '{"late": 1}\n{\n'
        columns, rows = self.rows(write(tmp_path / "a.jsonl", content))
        assert columns == ["text", "late"]
        assert [row.number for row in rows] == list(range(1, 403))
        assert rows[0] == (1, {}, "the line is empty")

    def test_json_that_could_not_be_written_again(self, tmp_path):
        lines = ['{"a": ' + "[" * depth + "]" * depth + "}" for depth in (99, 100)]
        lines.append('{"a": "' + "[" * 500 + '"}')
        rows = self.rows(write(tmp_path / "a.jsonl", "\n".join(lines)))[1]
        assert [row.problem for row in rows] == [None, "JSON of more than 100 levels", None]

    def test_undecodable_bytes_are_kept(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_bytes("text,n\n好".encode() + b"\xff,1\n")
        assert self.rows(path)[1] == [(2, {"text": "好\\xff", "n": "1"}, None)]
        with pytest.raises(InputError, match="byte 10 cannot be decoded"):
            kinds.open_table(path)

    def test_a_kind_that_the_name_does_not_tell(self, tmp_path):
        assert self.rows(write(tmp_path / "a", "text\tn\n好\t1\n"), kind="tsv")[0] == ["text", "n"]

    def test_lines(self, tmp_path):
        table = plain_text.open_lines(Path(write(tmp_path / "a.txt", '好\n\n"坏,\t\n')), lossless=True)
        assert table.columns == ["text"]
        assert list(table.rows) == [(1, {"text": "好"}, None), (2, {"text": ""}, None), (3, {"text": '"坏,\t'}, None)]


class TestColumnNames:
    @pytest.mark.parametrize(
        ("given_names", "expected"),
        [
            (["a", "b"], ["a", "b"]),
            (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
            (["a", "a", "a (2)"], ["a", "a (3)", "a (2)"]),
            (["a (2)", "a", "a (2)", "a"], ["a (2)", "a", "a (2) (2)", "a (3)"]),
            ([""] * 20_000, ["", *(f" ({number})" for number in range(2, 20_001))]),
        ],
    )
    def test_are_told_apart(self, given_names, expected):
        assert unique_names(given_names) == expected

    def test_of_parquet(self, tmp_path):
        arrays = [pyarrow.array(["好"]), pyarrow.array(["坏"])]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, ["text", "text"]), tmp_path / "a.parquet")
        table = kinds.open_table(tmp_path / "a.parquet")
        assert list(table.rows) == [(1, {"text": "好", "text (2)": "坏"}, None)]
