"""Read the rows of files: none is lost, whatever the file contains."""

import hashlib
import io
import json
import os
import sys
import threading
import tracemalloc
from types import SimpleNamespace

import pyarrow
import pyarrow.parquet
import pytest
from scored_files import score

from serving.scoring import source as source_module
from serving.scoring.source import blocks, open_source
from system.errors import InputError
from text.sources import read_labelled

LINES = ["好", "", '"没有结束', "a,b\tc", " "]


def lines_of_text(texts):
    return texts


def lines_of_csv(texts):
    return ["text,n", *(f"{text},1" for text in texts)]


def lines_of_tsv(texts):
    return ["text\tn", *(f"{text}\t1" for text in texts)]


def lines_of_json(texts):
    return [json.dumps({"text": text, "n": 1}, ensure_ascii=False) for text in texts]


LINES_OF = {"txt": lines_of_text, "csv": lines_of_csv, "tsv": lines_of_tsv, "jsonl": lines_of_json}


def read(path, kind=None, column=None, **options):
    with open_source(str(path), kind, column, **options) as source:
        return [row for block in blocks(source) for row in block], source


def texts_and_problems(path, kind=None, **options):
    found, source = read(path, kind, **options)
    return [source.text_of(row) for row in found]


@pytest.fixture
def write(tmp_path):
    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture
def standard_input(monkeypatch):
    def give(content):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return give


class TestLines:
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("has_last_end", [True, False])
    def test_plain_text(self, write, end, has_last_end):
        path = write("a.txt", end.join(LINES) + end * has_last_end)
        found, source = read(path)
        assert [row.values for row in found] == [{"text": line} for line in LINES]
        assert [row.number for row in found] == [1, 2, 3, 4, 5]
        assert source.text_column == "text"

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize(
        ("kind", "lines", "first_row"),
        [
            ("csv", ["text,n", "好,1", "", "坏,2"], 2),
            ("tsv", ["text\tn", "好\t1", "", "坏\t2"], 2),
            ("jsonl", ['{"text": "好", "n": "1"}', "", '{"text": "坏", "n": "2"}'], 1),
        ],
    )
    def test_tables(self, write, kind, lines, first_row, end):
        found, source = read(write(f"a.{kind}", end.join(lines) + end + end))
        assert [row.values for row in found] == [{"text": "好", "n": "1"}, {}, {"text": "坏", "n": "2"}, {}]
        assert [row.problem for row in found] == [None, "the line is empty"] * 2
        assert [row.number for row in found] == [first_row, first_row + 1, first_row + 2, first_row + 3]

    def test_a_carriage_return_within_a_line_does_not_end_it(self, write):
        assert texts_and_problems(write("a.txt", "a\rb\nc\u2028d\x0be\n")) == [("a\rb", None), ("c\u2028d\x0be", None)]

    # 上 has the byte of a line end in UTF-16.
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
    @pytest.mark.parametrize("kind", LINES_OF)
    def test_encodings(self, write, kind, encoding):
        lines = LINES_OF[kind](["上海", "坏"])
        assert texts_and_problems(write(f"a.{kind}", "\n".join(lines), encoding)) == [("上海", None), ("坏", None)]

    @pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("kind", LINES_OF)
    def test_utf16_without_a_byte_order_mark(self, write, kind, encoding):
        texts = ["上海", "一般", "房间很干净"]
        path = write(f"a.{kind}", "".join(f"{line}\n" for line in LINES_OF[kind](texts)), encoding)
        assert texts_and_problems(path) == [(text, None) for text in texts]
        source = read(path)[1]
        assert source.line_count == len(texts)
        assert source.has_spreadsheet_encoding == (kind == "csv")

    @pytest.mark.parametrize(("name", "header"), [("a.txt", ""), ("a.csv", "text\n"), ("a.tsv", "text\n")])
    def test_a_stray_nul_byte_is_a_problem_of_its_row(self, write, name, header):
        assert texts_and_problems(write(name, header + "好\n一\0般\n坏\n")) == [
            ("好", None),
            ("", "the text has a NUL byte"),
            ("坏", None),
        ]

    def test_undecodable_bytes_are_kept_and_reported(self, write):
        path = write("a.txt", "好\n坏".encode() + b"\xff\n")
        assert texts_and_problems(path) == [("好", None), ("坏\\xff", None)]
        assert read(path)[1].note == f"note: {path} has bytes that no known encoding can decode; they are kept as \\xNN"
        assert read(write("b.txt", "好\n"))[1].note is None
        with pytest.raises(InputError, match="byte 7 cannot be decoded"):
            read(path, strict=True)


class TestProblems:
    def test_unusable_texts(self, write):
        lines = [{"text": 5}, {"text": None}, {}, {"text": "a\0b"}, {"text": ["好"]}, {"text": "好", "n": "\0"}]
        assert texts_and_problems(write("a.jsonl", "\n".join(map(json.dumps, lines)))) == [
            ("", "the text is not a string"),
            ("", "the text is empty"),
            ("", "the row has no column 'text'"),
            ("", "the text has a NUL byte"),
            ("", "the text is not a string"),
            ("好", None),
        ]

    def test_a_row_with_a_wrong_number_of_columns_keeps_its_values(self, write):
        found, source = read(write("a.csv", "text,n\n好\n贵,但是好,1\n坏,0\n"))
        assert [row.values for row in found] == [
            {"text": "好"},
            {"text": "贵", "n": "但是好,1"},
            {"text": "坏", "n": "0"},
        ]
        assert [row.problem for row in found] == [
            "the row has 1 column but the header has 2",
            "the row has 3 columns but the header has 2",
            None,
        ]
        assert source.text_of(found[1]) == ("", found[1].problem)

    def test_json_lines_after_many_damaged_lines(self, write):
        found, source = read(write("a.jsonl", "\n" * 150 + "{\n" * 150 + '{"text": "好"}\n{"new": 1}\n'))
        assert len(found) == 302
        assert source.table.columns == ["text", "new"]
        assert (found[300].values, found[300].problem) == ({"text": "好"}, None)

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            ("a.csv", "", "a.csv is empty"),
            ("a.csv", "\n\n", "a.csv is empty"),
            ("a.tsv", "", "a.tsv is empty"),
            ("a.jsonl", "", "nothing to read"),
            ("a.jsonl", "[1]\n{", "row 1: not a JSON object"),
            ("a.parquet", "PAR1", "cannot read .*a.parquet as Parquet"),
            ("a.csv", 'text,"n\n好,1\n', "row 1: a quotation mark is never closed; this row must name the columns"),
            ("a.csv", "a,b\n好,1\n", "no text column"),
            ("a.csv", "text,text\n好,1\n", "more than one text column"),
            ("a.xlsx", "text", "choose the kind with --format"),
        ],
    )
    def test_a_file_that_is_not_a_table(self, write, name, content, words):
        with pytest.raises(InputError, match=words):
            read(write(name, content))

    def test_no_such_file_or_column(self, tmp_path, write):
        with pytest.raises(InputError, match="missing.csv: no such file"):
            read(tmp_path / "missing.csv")
        with pytest.raises(InputError, match="this is a folder; name a file in it"):
            read(tmp_path)
        with pytest.raises(InputError, match="no column 'b'"):
            read(write("a.csv", "text,n\n好,1\n"), column="b")
        with pytest.raises(InputError, match="plain text has no column 'b'"):
            read(write("a.txt", "好\n"), column="b")

    def test_duplicate_columns_are_kept(self, write, tmp_path):
        expected = ["n", "text", "n (2)", "n (3)"]
        found, source = read(write("a.csv", "n,text,n,n\n1,好,2,3\n"))
        assert source.table.columns == list(found[0].values) == expected
        arrays = [pyarrow.array([value]) for value in ("1", "好", "2", "3")]
        pyarrow.parquet.write_table(pyarrow.Table.from_arrays(arrays, ["n", "text", "n", "n"]), tmp_path / "a.parquet")
        found, source = read(tmp_path / "a.parquet")
        assert source.table.columns == source.schema.names == expected
        assert list(found[0].values.values()) == ["1", "好", "2", "3"]


class TestBlocks:
    @pytest.fixture
    def small_blocks(self, monkeypatch):
        monkeypatch.setattr(source_module, "BLOCK_ROWS", 3)
        monkeypatch.setattr(source_module, "BLOCK_CHARACTERS", 10)

    def test_by_cells(self, write, monkeypatch):
        monkeypatch.setattr(source_module, "BLOCK_CELLS", 8)
        with open_source(str(write("a.csv", "text,a,b\n" + "好,1,2\n" * 5))) as source:
            assert [len(block) for block in blocks(source)] == [2, 2, 1]

    def test_by_the_characters_of_nested_values(self, write, small_blocks):
        lines = ['{"text": "好", "n": {"a": ["bcdefghij"]}}', '{"text": "好", "n": [0, 0, 0, 0, 0, 0, 0, 0, 0]}'] * 2
        with open_source(str(write("a.jsonl", "\n".join(lines)))) as source:
            assert [len(block) for block in blocks(source)] == [1, 1, 1, 1]

    @pytest.mark.parametrize(
        ("lines", "sizes"),
        [([], []), (["a"] * 7, [3, 3, 1]), (["a" * 10, "b", "c" * 9, "d"], [1, 2, 1]), (["a" * 50] * 2, [1, 1])],
    )
    def test_by_rows_and_characters(self, write, small_blocks, lines, sizes):
        with open_source(str(write("a.txt", "".join(f"{line}\n" for line in lines)))) as source:
            assert [len(block) for block in blocks(source)] == sizes
            assert source.line_count == len(lines)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
class TestNamedPipe:
    @pytest.fixture
    def pipe(self, tmp_path):
        path = tmp_path / "pipe.csv"
        os.mkfifo(path)
        return path

    def test_its_rows_are_read(self, pipe):
        writer = threading.Thread(target=pipe.write_text, args=("text\n好\n坏",), kwargs={"encoding": "utf-8"})
        writer.start()
        assert texts_and_problems(str(pipe)) == [("好", None), ("坏", None)]
        writer.join()

    def test_without_a_kind_it_is_refused(self, pipe):
        with pytest.raises(InputError, match="choose the kind with --format"):
            read(str(pipe.rename(pipe.with_suffix(""))))

    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_training_which_reads_a_file_twice_refuses_it(self, pipe, suffix):
        with pytest.raises(InputError, match="not a regular file; save its content in a file first"):
            read_labelled(pipe.rename(pipe.with_suffix(suffix)))


class TestStandardInput:
    def test_lines(self, standard_input):
        standard_input("好\n坏".encode("utf-16"))
        found, source = read("-")
        assert [row.values["text"] for row in found] == ["好", "坏"]
        assert (source.kind, source.name) == ("txt", "standard input")

    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    def test_tables(self, standard_input, kind):
        standard_input("review\n好\n".encode())
        assert texts_and_problems("-", kind) == [("好", None)]

    def test_parquet(self, standard_input):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table({"text": ["好"]}), buffer)
        standard_input(buffer.getvalue())
        assert texts_and_problems("-", "parquet") == [("好", None)]

    def test_closed_standard_input(self, monkeypatch):
        monkeypatch.setattr(sys, "stdin", None)
        with pytest.raises(InputError, match="standard input is closed"):
            read("-")


@pytest.mark.parametrize(
    ("name", "header", "line"),
    [
        ("a.txt", "", "好评如潮\n"),
        ("a.csv", "text,n\n", "好评如潮,1\n"),
        ("a.tsv", "text\tn\n", "好评如潮\t1\n"),
        ("a.jsonl", "", '{"text": "好评如潮"}\n'),
    ],
)
def test_scoring_reads_a_file_twice(write, tmp_path, count_bytes_read, name, header, line):
    path = write(name, header + line * 10_000)
    score(path, tmp_path / "out.jsonl")
    assert count_bytes_read[path] == 2 * path.stat().st_size
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == 10_000


class TestHash:
    def test_of_a_text_file(self, write):
        path = write("a.csv", "text\n好\n")
        assert read(path)[1].sha256() == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_of_a_parquet_file(self, tmp_path):
        path = tmp_path / "a.parquet"
        pyarrow.parquet.write_table(pyarrow.table({"text": ["好"]}), path)
        assert read(path)[1].sha256() == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("name", "header", "row"),
    [
        ("a.txt", "", "{}"),
        ("a.csv", "text\n", '"{}"'),
        ("a.tsv", "text\n", "{}"),
        ("a.jsonl", "", '{{"text":"{}"}}'),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r"])
def test_memory_is_constant(tmp_path, name, header, row, end):
    path = tmp_path / name
    path.write_bytes((header + (row.format("好" * 1000) + "\n") * 7000).replace("\n", end).encode())
    tracemalloc.start()
    with open_source(str(path)) as source:
        assert sum(1 for _ in source.table.rows) == 7000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.4 * path.stat().st_size
