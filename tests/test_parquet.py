"""Parquet files of every type: written again to the last bit, and as text where text is asked."""

import contextlib
import decimal
import itertools
import json
import sys

import pyarrow
import pyarrow.parquet
import pytest
from table_files import AWKWARD

from serving.scoring.local_engine import PREDICTION_TYPES
from system.errors import InputError
from text.sources import read_labelled
from text.tables import kinds
from text.tables.kinds import open_format
from text.tables.parquet import ExactValue, exact_values, open_parquet
from text.tables.rows import as_text

VERDICTS = PREDICTION_TYPES
NANOSECOND = 1_700_000_000_123_456_789
NO_DATE = 2**62
COLUMNS = {
    "text": pyarrow.array(["好", None, "坏"]),
    "text in a dictionary": pyarrow.array(["a", None, "a"]).dictionary_encode(),
    "broken text": pyarrow.array([b"ok", None, b"ok"]).cast(pyarrow.string()),
    "int8": pyarrow.array([1, None, -128], pyarrow.int8()),
    "uint64": pyarrow.array([2**64 - 1, None, 0], pyarrow.uint64()),
    "float": pyarrow.array([0.1, None, float("nan")], pyarrow.float32()),
    "half": pyarrow.array([1.5, None, 2], pyarrow.float16()),
    "bool": pyarrow.array([True, None, False]),
    "nothing": pyarrow.nulls(3),
    "decimal": pyarrow.array([decimal.Decimal("1.10"), None, decimal.Decimal("-2.00")]),
    "binary": pyarrow.array([b"\xff\0", None, b""]),
    "fixed binary": pyarrow.array([b"ab", None, b"cd"], pyarrow.binary(2)),
    "date": pyarrow.array([1, None, 2**31 - 1], pyarrow.date32()),
    "time": pyarrow.array([1, None, 1_234_567_891], pyarrow.time64("ns")),
    "nanoseconds": pyarrow.array([NANOSECOND, None, 1], pyarrow.timestamp("ns")),
    "microseconds": pyarrow.array([0, None, NO_DATE], pyarrow.timestamp("us")),
    "zone": pyarrow.array([0, None, 1], pyarrow.timestamp("ms", tz="Asia/Shanghai")),
    "duration": pyarrow.array([1, None, NANOSECOND], pyarrow.duration("ns")),
    "list": pyarrow.array([[1, None], None, []], pyarrow.list_(pyarrow.int32())),
    "fixed list": pyarrow.array([[1, 2], None, [3, 4]], pyarrow.list_(pyarrow.int32(), 2)),
    "list of times": pyarrow.array([[NANOSECOND], None, []], pyarrow.list_(pyarrow.timestamp("ns"))),
    "struct": pyarrow.array([{"a": {"b": "好"}}, None, {"a": None}]),
    "map": pyarrow.array([[("a", 1.5)], None, []], pyarrow.map_(pyarrow.string(), pyarrow.float64())),
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.parquet"


def write(path, table, **options):
    pyarrow.parquet.write_table(table, path, **options)
    return open_parquet(path, exact_values)


def with_broken_text(table):
    index = table.column_names.index("broken text")
    broken = pyarrow.array([b"ok", None, b"\xff"]).view(pyarrow.string())
    return table.set_column(index, "broken text", broken)


@pytest.mark.parametrize("batch_rows", [1, 2, 256])
def test_every_type_is_written_as_it_was_read(path, tmp_path, monkeypatch, batch_rows):
    monkeypatch.setattr("text.tables.parquet.BATCH_ROWS", batch_rows)
    monkeypatch.setitem(sys.modules, "pandas", None)  # with which Python would have nanoseconds
    source = pyarrow.table(COLUMNS).replace_schema_metadata({"from": "a test"})
    table, schema, count = write(path, source)
    rows = [row.values for row in table.rows]
    assert (len(rows), count, table.columns) == (3, 3, list(COLUMNS))
    parts = [tmp_path / "0.part", tmp_path / "1.part"]
    writer = open_format("parquet", table.columns, VERDICTS, "text", schema=schema)
    parts[0].write_bytes(writer.encode(rows[:2], True))
    parts[1].write_bytes(writer.encode(rows[2:], False))
    with open(tmp_path / "out.parquet", "wb") as file:
        writer.join(parts, file)
    written = pyarrow.parquet.ParquetFile(tmp_path / "out.parquet").read()
    assert written.column_names == [*COLUMNS, *VERDICTS]
    read = pyarrow.parquet.ParquetFile(path).read()
    for column in COLUMNS:
        assert written.schema.field(column).type == read.schema.field(column).type, column
        # NaN equals no NaN, but each other's text.
        assert str(written[column].combine_chunks()) == str(read[column].combine_chunks()), column
    assert written.schema.metadata[b"from"] == b"a test"


def test_every_type_as_text(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    table, _, _ = write(path, pyarrow.table(COLUMNS))
    first, second, third = (row.values for row in table.rows)
    assert set(second.values()) == {None}
    assert as_text(first["nanoseconds"]) == "2023-11-14 22:13:20.123456789"
    assert as_text(first["microseconds"]) == "1970-01-01 00:00:00"
    assert str(NO_DATE) in as_text(third["microseconds"])
    assert as_text(first["decimal"]) == "1.10"
    assert as_text(first["struct"]) == '{"a": {"b": "好"}}'
    assert as_text(first["map"]) == '[["a", 1.5]]'
    assert "123456789" in as_text(first["list of times"])
    columns = list(COLUMNS)
    line = open_format("jsonl", columns, VERDICTS, "text").encode([third], True)
    assert json.loads(line)["float"] is None
    for kind in ("csv", "tsv", "jsonl", "txt"):
        assert open_format(kind, columns, VERDICTS, "text").encode([first, second, third], True)


def test_text_that_is_none_does_not_end_the_run(path):
    table, _, _ = write(path, with_broken_text(pyarrow.table(COLUMNS)))
    assert [row.values["broken text"] for row in table.rows] == ["ok", None, "\\xff"]


def test_text_from_a_dictionary_is_text(path):
    table, _, _ = write(path, pyarrow.table(COLUMNS))
    assert [row.values["text in a dictionary"] for row in table.rows] == ["a", None, "a"]


def test_a_value_without_a_python_one():
    assert isinstance(ExactValue(pyarrow.array([NO_DATE], pyarrow.timestamp("s"))).plain(), str)


def test_damaged_files(path):
    write(path, pyarrow.table({"text": ["好" * 50] * 50}))
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    with pytest.raises(InputError, match="cannot read .* as Parquet"):
        open_parquet(path)
    path.write_bytes(content[:4] + bytes(60) + content[64:])
    with pytest.raises(InputError, match="cannot read .* as Parquet"):
        list(open_parquet(path, exact_values)[0].rows)


class TestDamage:
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


class TestColumnNames:
    def test_of_parquet(self, tmp_path):
        arrays = [pyarrow.array(["好"]), pyarrow.array(["坏"])]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, ["text", "text"]), tmp_path / "a.parquet")
        table = kinds.open_table(tmp_path / "a.parquet")
        assert list(table.rows) == [(1, {"text": "好", "text (2)": "坏"}, None)]


class TestWriting:
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
