"""How scored rows are written: what a cell of each kind of file shows, and that it can be read back."""

import csv
import datetime
import decimal
import io
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.scoring.local_engine import VERDICT_TYPES
from system.errors import InputError
from text.tables.kinds import KIND_NAMES, kind_of, open_format
from text.tables.rows import as_text

VERDICTS = VERDICT_TYPES
AWKWARD = [
    "",
    " ",
    'he said "no"',
    '"',
    "a\tb",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "a,b",
    "😀",
    "\0",
    "\\",
    "'",
    "\u2028",
    "\ufeff",
]
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)


def written(kind, rows, columns=("text",), **options):
    """Returns what stands in a file of two parts."""
    writer = open_format(kind, columns, VERDICTS, "text", **options)
    return writer.encode(rows[:1], True) + writer.encode(rows[1:], False)


def read_csv(content, delimiter=","):
    return list(csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), delimiter=delimiter))


class TestDelimited:
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


class TestJsonLines:
    def test_fields_stay_as_they_are(self):
        rows = [{"text": text, "other": {"a": [1, None, True]}} for text in AWKWARD]
        content = written("jsonl", rows, ["text", "other"])
        assert content.count(b"\n") == len(rows)
        assert [json.loads(line) for line in content.decode().split("\n")[:-1]] == rows

    def test_a_field_that_a_row_has_not_stays_away(self):
        assert written("jsonl", [{"text": "好"}, {}], ["text", "other"]).decode() == '{"text": "好"}\n{}\n'

    def test_what_json_does_not_have(self):
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

    @settings(deadline=None, max_examples=200)
    @given(
        row=st.dictionaries(
            ANY_TEXT, st.recursive(st.none() | st.integers() | ANY_TEXT, lambda inner: st.lists(inner, max_size=3))
        )
    )
    def test_any_fields(self, row):
        # A surrogate pair in two halves, which no reader can make, is one character once it is read.
        expected = json.loads(json.dumps(row))
        assert json.loads(written("jsonl", [row], list(row)).decode("utf-8")) == expected


class TestPlainText:
    def test_a_line_a_row_with_the_text_last(self):
        row = {"id": 7, "text": "好\n\t坏\r", "more": None, "label": "正面", "probability": 0.5}
        assert (
            written("txt", [row, {}], ["id", "text", "more"]).decode() == "7\t\t正面\t0.5\t\t\t好  坏\n\t\t\t\t\t\t\n"
        )


class TestParquet:
    def read(self, tmp_path, kind, parts, columns, **options):
        writer = open_format("parquet", columns, VERDICTS, "text", **options)
        paths = []
        for number, rows in enumerate(parts):
            paths.append(tmp_path / f"{number}.part")
            paths[-1].write_bytes(writer.encode(rows, number == 0))
        with open(tmp_path / "a.parquet", "wb") as file:
            writer.join(paths, file)
        return pyarrow.parquet.ParquetFile(tmp_path / "a.parquet").read()

    def test_from_a_source_without_types_all_is_text(self, tmp_path):
        rows = [{"text": text, "other": [1]} for text in AWKWARD] + [{"text": "好\ud83d", "probability": 0.25}]
        table = self.read(tmp_path, "parquet", [rows[:3], rows[3:]], ["text", "other"])
        assert table.column_names == ["text", "other", *VERDICTS]
        assert [str(kind) for kind in table.schema.types] == ["string"] * 3 + ["double"] * 2 + ["string"]
        assert table["text"].to_pylist() == [*AWKWARD, "好\\ud83d"]
        assert table["other"].to_pylist() == ["[1]"] * len(AWKWARD) + [None]
        assert table["probability"].to_pylist()[-1] == 0.25

    def test_no_rows(self, tmp_path):
        assert self.read(tmp_path, "parquet", [[]], ["text"]).shape == (0, 5)

    def test_names_that_parquet_cannot_have(self, tmp_path):
        table = self.read(tmp_path, "parquet", [[{"\ud83d": 1, "\\ud83d": 2, "": 3}]], ["\ud83d", "\\ud83d", ""])
        assert [column.to_pylist() for column in table.columns[:3]] == [["1"], ["2"], ["3"]]

    def test_parts_in_a_folder_whose_name_looks_like_a_partition(self, tmp_path):
        folder = tmp_path / "text=good"
        folder.mkdir()
        assert self.read(folder, "parquet", [[{"text": "好"}]], ["text"])["text"].to_pylist() == ["好"]


class TestKinds:
    @pytest.mark.parametrize(
        ("path", "kind"),
        [("a.csv", "csv"), ("a.TSV", "tsv"), ("a.ndjson", "jsonl"), ("a.json", "jsonl"), ("a.b.parquet", "parquet")],
    )
    def test_by_suffix(self, path, kind):
        assert kind_of(path, None, "--format") == kind
        assert kind_of(path, "txt", "--format") == "txt"

    @pytest.mark.parametrize("path", ["a.xlsx", "a", "csv", "a.csv.gz"])
    def test_a_suffix_that_says_nothing(self, path):
        with pytest.raises(InputError, match="say it with --format"):
            kind_of(path, None, "--format")

    def test_the_command_line_knows_the_same(self):
        import application

        assert set(application.FILE_KINDS) == set(KIND_NAMES)
        assert set(VERDICT_TYPES) == {"label", "probability", "confidence", "problem"}
